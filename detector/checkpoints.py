"""Detector checkpoints: safetensors weights with the network's configuration as JSON in the header; resume states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from detector.network import KIND, DetectorNetwork, NetworkConfig, config_from, create_network
from manifests.archives import BROKEN
from manifests.atomic import canonical_json, write_bytes
from manifests.errors import DataError, MissingError
from manifests.text_files import parse_json


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
    if not path.is_file():
        raise MissingError(str(path), "is not there", "train a detector first: `fairforge train`")
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("config", "{}")
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise DataError(
            str(path), f"is not a readable detector checkpoint ({error})", "train it again, or fetch the file again"
        ) from error
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
    network = create_network(config)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise DataError(str(path), f"its weights do not fit its header ({error})", "train it again") from error
    return network.to(memory_format=torch.channels_last).eval(), header


def read_state(path: Path) -> dict[str, Any]:
    """A resume state; executes nothing from the file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        state = torch.load(path, weights_only=True)
        if not isinstance(state, Mapping):
            raise ValueError(f"it holds a {type(state).__name__}")
    except BROKEN as error:
        raise DataError(
            str(path), f"is not a readable training state ({error})", "remove it: training then starts again"
        ) from error
    return dict(state)
