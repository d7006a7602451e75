"""StyleGAN2's parts, written once more from the papers: numpy in float64, one weight per sample, FIR by
scipy.signal.

Slow and plain on purpose. Nothing here is shared with the code under test.
"""

import numpy as np
import scipy.signal as signal

GAIN = np.sqrt(2.0)


def lrelu(x):
    return np.where(x > 0, x, 0.2 * x) * GAIN


def normalised(x):
    return x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-8)


def dense(x, weight, bias, multiplier=1.0):
    return x @ weight.T * (multiplier / np.sqrt(weight.shape[1])) + bias * multiplier


def low_pass(taps=(1, 3, 3, 1)):
    taps = np.asarray(taps, np.float64)
    return np.outer(taps, taps) / taps.sum() ** 2


def zeros_between(x):
    """[H, W] -> [2H - 1, 2W - 1]."""
    out = np.zeros((2 * x.shape[0] - 1, 2 * x.shape[1] - 1))
    out[::2, ::2] = x
    return out


def per_map(function, x):
    """`function` on each [H, W] of [N, C, H, W]."""
    return np.stack([np.stack([function(m) for m in sample]) for sample in x])


def upsampled(x, kernel):
    """Twice the size: zeros in between, then a low-pass of gain 4 that is centred between the samples."""

    def one(m):
        full = signal.convolve2d(zeros_between(m), 4 * kernel)
        padded = np.pad(full, ((0, 1), (0, 1)))
        return padded[1 : 1 + 2 * m.shape[0], 1 : 1 + 2 * m.shape[1]]

    return per_map(one, x)


def convolved(sample, weight):
    """[I, H, W] with [O, I, k, k], same size, correlation as networks have it."""
    return np.stack(
        [
            sum(signal.correlate2d(m, k, mode="same") for m, k in zip(sample, kernels, strict=True))
            for kernels in weight
        ]
    )


def up_convolved(sample, weight, kernel):
    """Transposed convolution of stride 2, then a low-pass of gain 4: [I, H, W] -> [O, 2H, 2W]."""
    out = []
    for kernels in weight:
        grown = sum(signal.convolve2d(zeros_between(m), k) for m, k in zip(sample, kernels, strict=True))
        out.append(signal.convolve2d(grown, 4 * kernel)[2:-2, 2:-2])
    return np.stack(out)


def modulated(x, weight, style, *, demodulate=True, up=None):
    """Each sample with a weight of its own: w s, divided by its norm per output map (arXiv 1912.04958,
    equations 1, 3).
    """
    out = []
    for sample, s in zip(x, style, strict=True):
        own = weight * s[None, :, None, None]
        if demodulate:
            own = own / np.sqrt((own**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        out.append(convolved(sample, own) if up is None else up_convolved(sample, own, up))
    return np.stack(out)


def arrays(generator):
    return {name: value.numpy().astype(np.float64) for name, value in generator.state_dict().items()}


def mapped(generator, z, c=None, psi=1.0, cutoff=None):
    """w: [N, num_ws, w_dim]."""
    state, config = arrays(generator), generator.config
    x = normalised(np.asarray(z, np.float64))
    if config.c_dim:
        y = dense(np.asarray(c, np.float64), state["mapping.embed.weight"], state["mapping.embed.bias"])
        x = np.concatenate([x, normalised(y)], axis=1)
    for k in range(config.mapping_kwargs.num_layers):
        weight, bias = state[f"mapping.fc{k}.weight"], state[f"mapping.fc{k}.bias"]
        x = lrelu(dense(x, weight, bias, config.mapping_kwargs.lr_multiplier))
    w = np.repeat(x[:, None], config.num_ws, axis=1)
    mean = state["mapping.w_avg"]
    for layer in range(config.num_ws if cutoff is None else cutoff):
        w[:, layer] = mean + psi * (w[:, layer] - mean)
    return w


def synthesised(generator, w, noise=None):
    """Images [N, C, H, W]. `noise(layer index, constant map)` gives what a layer adds (None: the constant
    map).
    """
    state, config = arrays(generator), generator.config
    kwargs = config.synthesis_kwargs
    kernel, limit = low_pass(kwargs.resample_filter), kwargs.conv_clamp or np.inf
    w = np.asarray(w, np.float64)
    counter = iter(range(100))

    def style(prefix, at):
        return dense(w[:, at], state[f"{prefix}.affine.weight"], state[f"{prefix}.affine.bias"])

    def layer(prefix, x, at, up, gain=1.0):
        y = modulated(x, state[f"{prefix}.weight"], style(prefix, at), up=kernel if up else None)
        index = next(counter)
        if kwargs.use_noise:
            constant = state[f"{prefix}.noise_const"]
            y = (
                y
                + (constant if noise is None else noise(index, constant)) * state[f"{prefix}.noise_strength"]
            )
        y = lrelu(y + state[f"{prefix}.bias"][:, None, None]) * gain
        return np.clip(y, -limit * gain, limit * gain)

    x, image, at = None, None, 0
    for r in config.block_resolutions:
        b = f"synthesis.b{r}"
        if r == 4:
            x = layer(f"{b}.conv1", np.repeat(state[f"{b}.const"][None], len(w), axis=0), 0, False)
            at = 1
        else:
            gain = np.sqrt(0.5) if kwargs.architecture == "resnet" else 1.0
            y = layer(f"{b}.conv1", layer(f"{b}.conv0", x, at, True), at + 1, False, gain)
            if kwargs.architecture == "resnet":
                weight = state[f"{b}.skip.weight"]
                short = np.stack([convolved(s, weight / np.sqrt(weight.shape[1])) for s in x])
                y = y + np.clip(upsampled(short, kernel) * gain, -limit * gain, limit * gain)
            x, at = y, at + 2
        image = None if image is None else upsampled(image, kernel)
        if f"{b}.torgb.weight" in state:
            weight = state[f"{b}.torgb.weight"]
            rgb = modulated(x, weight / np.sqrt(weight.shape[1]), style(f"{b}.torgb", at), demodulate=False)
            rgb = np.clip(rgb + state[f"{b}.torgb.bias"][:, None, None], -limit, limit)
            image = rgb if image is None else image + rgb
    return image
