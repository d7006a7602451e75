"""The layout of stylegan2-pytorch, written once more from what it computes: random states, and their images
in float64.
"""

from collections import OrderedDict

import numpy as np
import torch

from tests.generators import brute_force


def random_state(size=16, style_dim=12, layers=3, channels=None, seed=0, noises=True, kernels=True):
    """A state dict with every name of that layout; `channels` by resolution."""
    rng = torch.Generator().manual_seed(seed)
    channels = channels or {4: 8, 8: 8, 16: 4}
    state = OrderedDict()

    def draw(name, *shape, scale=1.0, add=0.0):
        state[name] = torch.randn(*shape, generator=rng) * scale + add

    def modulated(prefix, fan_in, fan_out, k):
        draw(f"{prefix}.conv.weight", 1, fan_out, fan_in, k, k)
        draw(f"{prefix}.conv.modulation.weight", fan_in, style_dim)
        draw(f"{prefix}.conv.modulation.bias", fan_in, scale=0.3, add=1.0)

    def styled(prefix, fan_in, fan_out, up):
        modulated(prefix, fan_in, fan_out, 3)
        if up and kernels:
            state[f"{prefix}.conv.blur.kernel"] = torch.tensor(
                4 * brute_force.low_pass(), dtype=torch.float32
            )
        draw(f"{prefix}.noise.weight", 1, scale=0.5)
        draw(f"{prefix}.activate.bias", fan_out, scale=0.3)

    def to_rgb(prefix, fan_in, up):
        if up and kernels:
            state[f"{prefix}.upsample.kernel"] = torch.tensor(4 * brute_force.low_pass(), dtype=torch.float32)
        modulated(prefix, fan_in, 3, 1)
        draw(f"{prefix}.bias", 1, 3, 1, 1, scale=0.3)

    for k in range(1, layers + 1):
        draw(f"style.{k}.weight", style_dim, style_dim, scale=100)
        draw(f"style.{k}.bias", style_dim, scale=10)
    draw("input.input", 1, channels[4], 4, 4)
    styled("conv1", channels[4], channels[4], False)
    to_rgb("to_rgb1", channels[4], False)
    resolutions = [r for r in sorted(channels) if 4 < r <= size]
    for k, r in enumerate(resolutions):
        styled(f"convs.{2 * k}", channels[r // 2], channels[r], True)
        styled(f"convs.{2 * k + 1}", channels[r], channels[r], False)
        to_rgb(f"to_rgbs.{k}", channels[r], True)
    if noises:
        for k, r in enumerate([4, *[r for r in resolutions for _ in range(2)]]):
            draw(f"noises.noise_{k}", 1, 1, r, r)
    return state


def latents(state, z):
    """The `style` network: pixel norm, then dense layers of learning-rate multiplier 0.01 with fused leaky
    ReLU.
    """
    x = brute_force.normalised(np.asarray(z, np.float64))
    k = 1
    while f"style.{k}.weight" in state:
        x = brute_force.lrelu(
            brute_force.dense(
                x,
                state[f"style.{k}.weight"].double().numpy(),
                state[f"style.{k}.bias"].double().numpy(),
                0.01,
            )
        )
        k += 1
    return x


def images(state, w):
    """The images of latents w [N, style_dim] with the stored noise, by that layout's own order of
    operations.
    """
    a = {name: value.double().numpy() for name, value in state.items()}
    kernel = brute_force.low_pass()
    used = iter(range(100))

    def convolution(x, prefix, up=None, demodulate=True):
        weight = a[f"{prefix}.weight"][0]
        scaled = weight / np.sqrt(weight[0].size)
        style = brute_force.dense(w, a[f"{prefix}.modulation.weight"], a[f"{prefix}.modulation.bias"])
        return brute_force.modulated(x, scaled, style, demodulate=demodulate, up=up)

    def styled(x, prefix, up=None):
        y = (
            convolution(x, f"{prefix}.conv", up)
            + a[f"{prefix}.noise.weight"] * a[f"noises.noise_{next(used)}"]
        )
        return brute_force.lrelu(y + a[f"{prefix}.activate.bias"].reshape(1, -1, 1, 1))

    def to_rgb(x, prefix, skip=None):
        y = convolution(x, f"{prefix}.conv", demodulate=False) + a[f"{prefix}.bias"]
        return y if skip is None else y + brute_force.upsampled(skip, kernel)

    x = styled(np.repeat(a["input.input"], len(w), axis=0), "conv1")
    skip, k = to_rgb(x, "to_rgb1"), 0
    while f"to_rgbs.{k}.bias" in a:
        x = styled(styled(x, f"convs.{2 * k}", kernel), f"convs.{2 * k + 1}")
        skip, k = to_rgb(x, f"to_rgbs.{k}", skip), k + 1
    return skip
