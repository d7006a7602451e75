"""Generators in the layout of rosinality's stylegan2-pytorch: `.pt` files with `g_ema`, `g`, `d` and
`latent_avg`.

The network is StyleGAN2's config with `skip` images, under other names; sizes are read from the shapes. Its
weights are scaled by 1/sqrt(fan_in) at run time, which demodulation takes away and our toRGB does as well;
its up-convolution is the same transposed convolution; so every tensor is taken over as it stands, less a
leading 1 of its shape. What such a file may lack is made up by fixed seeds, and said so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generators.checkpoints.formats import GENERATOR_FORMATS, GeneratorFormat, StoredGenerator
from generators.stylegan2.config import GeneratorConfig, parse_config
from generators.stylegan2.generator import build_generator
from generators.stylegan2.operations import fir_kernel
from manifests.errors import DataError, UsageError
from manifests.registry import nearest
from manifests.seeding import rng_of, seed_of
from nn.tensor_files import load_tensor_file, plain_tensors

NETWORKS = ("g_ema", "g")
MEAN_SAMPLES = 10_000
LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
}
"""A styled convolution: its names there and here."""
TO_RGB = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "bias": "bias",
}
"""A toRGB layer: its names there and here."""
_FIX = "give a .pt file of a StyleGAN2 generator that was saved by stylegan2-pytorch, or an official .pkl"


def read_rosinality(
    path: Path | str, which: str = "g_ema"
) -> tuple[GeneratorConfig, dict[str, Tensor], tuple[str, ...]]:
    """Config and state of a generator in this layout, without executing anything in the file.

    Args:
        path: a `.pt` file.
        which: `g_ema` (the averaged weights, to sample from) or `g`.

    Returns:
        `(config, state, notes)`: constructor arguments; float32 tensors by official state-dict name, which
        `build_generator` checks against the config; and one sentence for each thing the file lacks. Constant
        noise is then drawn from N(0, 1), and `w_avg` is the mean of `MEAN_SAMPLES` mapped latents.

    Raises:
        MissingError: no such file. UsageError: `which` is not a generator.
        DataError: truncated, calls something, is of another layout, or holds tensors that fit no such
            network.
    """
    if which not in NETWORKS:
        raise UsageError(
            f"network {which!r}", f"is not known{nearest(which, list(NETWORKS))}", "choose g_ema or g"
        )
    source, content = str(path), load_tensor_file(path)
    if which not in content:
        raise DataError(
            source, f"has no network {which} (it has {', '.join(list(content)[:6]) or 'nothing'})", _FIX
        )
    found = plain_tensors(content[which], which, source)
    config = _config(found, source)
    state, left = _rename(found, config, source)
    notes: list[str] = []
    _take_noise(left, state, config, source, notes)
    _take_kernels(left, state, config, source)
    if left:
        raise DataError(
            source, f"{which} has tensors that this layout does not know: {', '.join(sorted(left)[:3])}", _FIX
        )
    state = {name: tensor.detach().to(torch.float32).contiguous() for name, tensor in state.items()}
    _take_mean(content.get("latent_avg"), state, config, source, notes)
    return config, state, tuple(notes)


def _shape(found: Mapping[str, Tensor], name: str, dims: int, source: str) -> tuple[int, ...]:
    if name not in found:
        raise DataError(source, f"{name} is missing: this is not the layout of stylegan2-pytorch", _FIX)
    shape = tuple(found[name].shape)
    if len(shape) != dims or 0 in shape:
        raise DataError(source, f"{name} has shape {list(shape)}, which fits no layer", _FIX)
    return shape


def _config(found: Mapping[str, Tensor], source: str) -> GeneratorConfig:
    """Sizes from shapes. Channels must be min(channel_base / resolution, channel_max) at each resolution."""
    first = _shape(found, "input.input", 4, source)
    if first[::2] != (1, 4) or first[3] != 4:
        raise DataError(source, f"input.input has shape {list(first)}, not [1, C, 4, 4]", _FIX)
    ups = len({match[1] for match in (re.match(r"to_rgbs\.(\d+)\.", name) for name in found) if match})
    layers = len({match[1] for match in (re.match(r"style\.(\d+)\.", name) for name in found) if match})
    w_dim, z_dim = _shape(found, "style.1.weight", 2, source)
    channels = {4: first[1]}
    for k in range(min(ups, 16)):
        channels[8 << k] = _shape(found, f"convs.{2 * k + 1}.conv.weight", 5, source)[1]
    bases = {resolution * count for resolution, count in channels.items() if count < max(channels.values())}
    resolution = max(channels)
    config = parse_config(
        {
            "z_dim": z_dim,
            "w_dim": w_dim,
            "img_resolution": resolution,
            "img_channels": _shape(found, "to_rgb1.conv.weight", 5, source)[1],
            "mapping_kwargs": {"num_layers": layers},
            "synthesis_kwargs": {
                "channel_base": max(bases, default=resolution * first[1]),
                "channel_max": max(channels.values()),
            },
        },
        source,
    )
    for at, count in channels.items():
        if config.channels(at) != count:
            raise DataError(
                source,
                f"has {count} channels at {at} px where its other layers ask for {config.channels(at)}",
                _FIX,
            )
    return config


def _rename(
    found: Mapping[str, Tensor], config: GeneratorConfig, source: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Learned tensors by official name, and what is left over."""
    pairs = {"input.input": "synthesis.b4.const"}
    for k in range(config.mapping_kwargs.num_layers):
        pairs |= {f"style.{k + 1}.{kind}": f"mapping.fc{k}.{kind}" for kind in ("weight", "bias")}
    layers = {"conv1": "b4.conv1"}
    heads = {"to_rgb1": "b4.torgb"}
    for k, resolution in enumerate(config.block_resolutions[1:]):
        layers |= {f"convs.{2 * k}": f"b{resolution}.conv0", f"convs.{2 * k + 1}": f"b{resolution}.conv1"}
        heads[f"to_rgbs.{k}"] = f"b{resolution}.torgb"
    for groups, names in ((layers, LAYER), (heads, TO_RGB)):
        for theirs, ours in groups.items():
            pairs |= {f"{theirs}.{there}": f"synthesis.{ours}.{here}" for there, here in names.items()}
    left, state = dict(found), {}
    for theirs, ours in pairs.items():
        if theirs not in left:
            raise DataError(source, f"{theirs} is missing", _FIX)
        state[ours] = _without_batch(left.pop(theirs), ours)
    return state, left


def _without_batch(tensor: Tensor, name: str) -> Tensor:
    """[1, ...] as [...] for constants and weights, [1] as [], [1, C, 1, 1] as [C]; others as they are."""
    if name.endswith("noise_strength") and tensor.numel() == 1:
        return tensor.reshape([])
    if name.endswith(".bias") and tensor.ndim == 4:
        return tensor.reshape(-1)
    if (tensor.ndim == 5 or name.endswith("const")) and tensor.shape[0] == 1:
        return tensor[0]
    return tensor


def _layers(config: GeneratorConfig) -> list[tuple[str, int]]:
    """State-dict prefix and resolution of each convolution, in the order of `noises.noise_0`,
    `noises.noise_1`, ...
    """
    order = [("synthesis.b4.conv1", 4)]
    for r in config.block_resolutions[1:]:
        order += [(f"synthesis.b{r}.conv0", r), (f"synthesis.b{r}.conv1", r)]
    return order


def _take_noise(
    left: dict[str, Tensor], state: dict[str, Tensor], config: GeneratorConfig, source: str, notes: list[str]
) -> None:
    lacking = 0
    for index, (prefix, resolution) in enumerate(_layers(config)):
        theirs = left.pop(f"noises.noise_{index}", None)
        if theirs is None:
            rng = torch.Generator().manual_seed(seed_of(0, "rosinality", "noise", index))
            theirs, lacking = torch.randn(1, 1, resolution, resolution, generator=rng), lacking + 1
        if theirs.numel() != resolution**2:
            why = (
                f"noises.noise_{index} has shape {list(theirs.shape)}, not [1, 1, {resolution}, {resolution}]"
            )
            raise DataError(source, why, _FIX)
        state[f"{prefix}.noise_const"] = theirs.reshape(resolution, resolution)
    if lacking:
        notes.append(f"The file lacks {lacking} constant noise maps: they were drawn by a fixed seed.")


def _take_kernels(
    left: dict[str, Tensor], state: dict[str, Tensor], config: GeneratorConfig, source: str
) -> None:
    """Low-pass buffers: ours from the config, after theirs were seen to be the same (they carry the gain of
    4).
    """
    ours = fir_kernel(config.synthesis_kwargs.resample_filter)
    for name in [n for n in left if n.endswith(("conv.blur.kernel", "upsample.kernel"))]:
        theirs = left.pop(name)
        if theirs.shape != ours.shape or not torch.allclose(theirs.float(), ours * 4, atol=1e-5):
            raise DataError(source, f"{name} is not the low-pass of [1, 3, 3, 1]", _FIX)
    for prefix, resolution in _layers(config):
        state[f"{prefix}.resample_filter"] = ours.clone()
        state[f"synthesis.b{resolution}.resample_filter"] = ours.clone()


def _take_mean(
    value: Any, state: dict[str, Tensor], config: GeneratorConfig, source: str, notes: list[str]
) -> None:
    if value is not None:
        mean = plain_tensors({"latent_avg": value}, "the file", source)["latent_avg"].to(torch.float32)
        if mean.numel() != config.w_dim:
            raise DataError(source, f"latent_avg has shape {list(mean.shape)}, not [{config.w_dim}]", _FIX)
        state["mapping.w_avg"] = mean.reshape(-1)
        return
    generator = build_generator(config, {**state, "mapping.w_avg": torch.zeros(config.w_dim)}, source)
    z = rng_of(0, "rosinality", "mean").standard_normal((MEAN_SAMPLES, config.z_dim), dtype=np.float32)
    state["mapping.w_avg"] = generator.mapping(z)[:, 0].double().mean(dim=0).float()
    notes.append(
        f"The file lacks latent_avg: w_avg is the mean of {MEAN_SAMPLES} mapped latents, drawn by a fixed"
        " seed."
    )


@GENERATOR_FORMATS.register("stylegan2-pytorch", family="stylegan2")
class StyleGAN2Pytorch(GeneratorFormat):
    """Files of rosinality's stylegan2-pytorch, of which the averaged generator is taken."""

    endings = (".pt", ".pth")
    licence_note = "whoever trained the weights says; the files do not"

    def read(self, path: Path) -> StoredGenerator:
        """See `GeneratorFormat.read`."""
        config, state, notes = read_rosinality(path)
        return StoredGenerator(config, state, notes=notes)
