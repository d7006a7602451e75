"""Finding and loading generators: by catalogue name, or by path of any checkpoint format that is read."""

from __future__ import annotations

from pathlib import Path

import torch

from generators.checkpoints.files import load_checkpoint
from generators.checkpoints.official_pickle import read_official_pickle
from generators.checkpoints.rosinality import read_rosinality
from generators.stylegan2.generator import Generator, build_generator
from manifests.errors import UsageError
from manifests.weights import Weight, find_weight
from nn.devices import torch_device

UNKNOWN = "unknown"


def load_generator(name_or_path: str | Path, device: str = "cpu") -> Generator:
    """A generator in inference mode, its provenance in `.name`, `.sha256`, `.licence` and `.notes`.

    Args:
        name_or_path: a catalogue name (`starter64`), a `.safetensors` file of ours, an official `.pkl`
            snapshot (its G_ema is taken), or a `.pt` or `.pth` file of stylegan2-pytorch (its g_ema). Nothing
            in a file is executed.
        device: `cpu`, `cuda`, `cuda:N`.

    Raises:
        MissingError: neither a known name nor a file. DataError: corrupt, truncated or of another family.
        UsageError: unknown device, or a file of another suffix. MissingError: also no such device here.
    """
    where = torch_device(device)
    weight = find_weight(name_or_path, "generator")
    generator = _load(weight)
    generator.name, generator.sha256 = weight.name, weight.sha256
    if weight.licence != UNKNOWN:
        generator.licence = weight.licence
    return generator.to(where, memory_format=torch.channels_last)


def _load(weight: Weight) -> Generator:
    suffix, metadata, notes = weight.path.suffix.lower(), {}, ()
    if suffix == ".safetensors":
        config, state, metadata = load_checkpoint(weight.path)
    elif suffix == ".pkl":
        config, state = read_official_pickle(weight.path)
    elif suffix in (".pt", ".pth"):
        config, state, notes = read_rosinality(weight.path)
    else:
        raise UsageError(
            str(weight.path),
            f"has suffix {suffix!r}",
            "give a .safetensors, an official .pkl or a stylegan2-pytorch .pt file",
        )
    generator = build_generator(config, state, str(weight.path))
    generator.licence, generator.notes = metadata.get("licence", UNKNOWN), notes
    return generator
