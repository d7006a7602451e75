"""Generators as safetensors, with the constructor's config in the header; nothing in such a file can execute.

Header metadata: `family` (`stylegan2-ada`), `config` (JSON; see `generators.stylegan2.config`), and any more
strings.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from generators.stylegan2.config import GeneratorConfig, parse_config
from generators.stylegan2.generator import Generator
from manifests.atomic import canonical_json, write_bytes
from manifests.errors import DataError
from manifests.text_files import parse_json
from nn.safetensors_files import read_metadata, read_tensors

FAMILY = "stylegan2-ada"


def canonical_header(data: bytes) -> bytes:
    """The same safetensors file with its header in sorted JSON, so that equal content gives equal bytes.

    The writer keeps metadata in a hash map, whose order changes from call to call. Offsets count from the
    header's end, so the tensors stay as they are; the header is padded with spaces to a multiple of 8.
    """
    length = struct.unpack("<Q", data[:8])[0]
    header = canonical_json(json.loads(data[8 : 8 + length])).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def header_metadata(path: Path | str) -> dict[str, str]:
    """The metadata strings in a safetensors header.

    Raises:
        MissingError: no such file. DataError: not safetensors, or truncated.
    """
    return read_metadata(path)


def header_json(path: Path | str, name: str) -> dict[str, Any]:
    """The JSON object in one entry of a safetensors header; empty where there is no such entry.

    Raises:
        MissingError: no such file. DataError: not safetensors, truncated, or the entry is no JSON object.
    """
    text = header_metadata(path).get(name, "{}")
    value: dict[str, Any] = parse_json(
        text.encode("utf-8", "surrogatepass"), f"{path}: {name} in its header", dict
    )
    return value


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
    write_bytes(path, canonical_header(safetensors.torch.save(tensors, metadata=text)))


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
    metadata = header_metadata(path)
    family = metadata.get("family", FAMILY)
    if "config" not in metadata or family != FAMILY:
        why = f"is of family {family!r}" if "config" in metadata else "has no generator config in its header"
        raise DataError(
            str(path), why, "give a checkpoint written by this program, or an official .pkl snapshot"
        )
    config = parse_config(header_json(path, "config"), str(path))
    return config, read_tensors(path), metadata
