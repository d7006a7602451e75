"""Detector checkpoints: safetensors weights with the network's configuration as JSON in the header; resume states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import save
from torch import Tensor

from detector.network import KIND, DetectorNetwork, NetworkConfig, config_from, create_network
from manifests.atomic import atomic_path, canonical_json, write_bytes
from manifests.errors import DataError
from manifests.text_files import parse_json
from nn import tensor_files
from nn.blueprint import check_blueprint
from nn.safetensors_files import read_metadata, read_tensors

ANEW = "remove it: training then starts again"
STATE: dict[str, type] = {"key": str, "metrics": list, "network": dict, "average": dict, "optimizer": dict}
"""What a resume state holds, beside the best epoch so far."""


def save_checkpoint(path: Path, config: NetworkConfig, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write weights and header atomically: the same content gives the same bytes.

    facts: further JSON values for the header (taxonomy, figures); not needed to build the network.
    """
    header = canonical_json({**facts, **config.model_dump(mode="json")})
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    write_bytes(path, save(tensors, metadata={"config": header}))


def read_checkpoint(path: Path) -> tuple[NetworkConfig, dict[str, Any], dict[str, Tensor]]:
    """`(network configuration, whole header, state)`.

    Raises:
        MissingError: no such file. DataError: not safetensors, truncated, or no detector.
    """
    again = "train it again, or fetch the file again"
    text = read_metadata(path, "train a detector first: `fairforge train`", again).get("config", "{}")
    state = read_tensors(path, fix=again)
    header = parse_json(text.encode("utf-8", "surrogatepass"), f"{path}: config in its header", dict)
    if header.get("kind") != KIND:
        raise DataError(
            str(path), f"holds {header.get('kind', 'something else')!r}, not a detector",
            "give a file of `fairforge train`",
        )
    try:
        return config_from(header), header, state
    except ValidationError as error:
        raise DataError(str(path), f"its header is not valid ({error})", "train it again") from error


def load_network(path: Path) -> tuple[DetectorNetwork, dict[str, Any]]:
    """The network of a checkpoint in evaluation mode, and the header.

    Raises:
        MissingError, DataError: see `read_checkpoint`; also weights that do not fit the header.
    """
    config, header, state = read_checkpoint(path)
    check_blueprint(lambda: create_network(config), state, str(path), "train it again, or fetch the file again")
    network = create_network(config)
    network.load_state_dict(state)
    return network.to(memory_format=torch.channels_last).eval(), header


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a resume state (tensors, numbers, strings, lists, dictionaries) atomically."""
    with atomic_path(path) as temporary:
        torch.save(dict(state), temporary)


def read_state(path: Path) -> dict[str, Any]:
    """A resume state; executes nothing from the file.

    Raises:
        DataError: the file is damaged.
    """
    return tensor_files.read_state(path, STATE, ANEW)
