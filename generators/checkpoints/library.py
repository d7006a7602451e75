"""Finding and loading generators: by catalogue name, or by path of any checkpoint format that is read."""

from __future__ import annotations

from pathlib import Path

import torch

from generators.checkpoints.formats import UNKNOWN, format_of
from generators.stylegan2.generator import Generator, build_generator
from manifests.weights import Weight, find_weight
from nn.devices import torch_device


def checkpoint_of(named: str | Path) -> str:
    """The generator's file where the folder of a training run is named, else what was named."""
    folder = Path(named)
    return str(folder / "generator.safetensors") if (folder / "state.pt").is_file() else str(named)


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
    return generator.to(where).to(memory_format=torch.channels_last)


def _load(weight: Weight) -> Generator:
    stored = format_of(weight.path).read(weight.path)
    generator = build_generator(stored.config, stored.state, str(weight.path))
    generator.licence, generator.notes = stored.licence, stored.notes
    return generator
