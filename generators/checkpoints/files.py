"""Generators as safetensors, with the constructor's config in the header; nothing in such a file can execute.

Header metadata: `family` (`stylegan2-ada`), `config` (JSON; see `generators.stylegan2.config`), and any more
strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from generators.checkpoints.formats import GENERATOR_FORMATS, UNKNOWN, GeneratorFormat, StoredGenerator
from generators.stylegan2.config import GeneratorConfig, parse_config
from generators.stylegan2.generator import Generator
from manifests.atomic import canonical_json, write_bytes
from manifests.errors import DataError
from nn.safetensors_files import read_header, read_metadata, read_tensors, tensor_bytes

FAMILY = "stylegan2-ada"


def save_checkpoint(
    path: Path | str,
    config: GeneratorConfig,
    state: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a generator's config and tensors atomically; the same content gives the same bytes.

    Args:
        path: the file, `.safetensors`.
        config: the constructor's arguments.
        state: tensors by official state-dict name.
        metadata: more strings for the header (`data`, `licence`, `kimg_total`, ...).

    Raises:
        PartialError: the disk is full. UsageError: the folder cannot be written.
    """
    text = {**(metadata or {}), "family": FAMILY, "config": canonical_json(config.model_dump(mode="json"))}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_bytes(path, tensor_bytes(tensors, text))


def save_generator(path: Path | str, generator: Generator, metadata: Mapping[str, str] | None = None) -> None:
    """Write a generator; see `save_checkpoint`."""
    save_checkpoint(path, generator.config, generator.state_dict(), metadata)


def load_checkpoint(path: Path | str) -> tuple[GeneratorConfig, dict[str, Tensor], dict[str, str]]:
    """Read `(config, state, metadata)` of a generator's safetensors file.

    Raises:
        MissingError: no such file.
        DataError: not safetensors, truncated, of another family, or without a usable config.
    """
    path = Path(path)
    metadata = read_metadata(path)
    family = metadata.get("family", FAMILY)
    if "config" not in metadata or family != FAMILY:
        why = f"is of family {family!r}" if "config" in metadata else "has no generator config in its header"
        raise DataError(
            str(path), why, "give a checkpoint written by this program, or an official .pkl snapshot"
        )
    config = parse_config(read_header(path), str(path))
    return config, read_tensors(path), metadata


@GENERATOR_FORMATS.register("safetensors", family="stylegan2")
class SafetensorsFormat(GeneratorFormat):
    """Safetensors with the constructor's arguments in the header, as this program writes them."""

    endings = (".safetensors",)
    licence_note = "the header says under which licence the weights are"

    def read(self, path: Path) -> StoredGenerator:
        """See `GeneratorFormat.read`."""
        config, state, metadata = load_checkpoint(path)
        return StoredGenerator(config, state, metadata.get("licence", UNKNOWN))
