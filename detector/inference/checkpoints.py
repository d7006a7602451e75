"""Detector checkpoints: safetensors weights with the network's configuration as JSON in the header; resume
states.

Weights may be stored in half precision; they are read as float32. A detector is named by its file, by the
folder of its training, or by its name in the catalogue of weights; `find_detector` is the one place that
knows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from detector.models.architectures import ARCHITECTURES, DEFAULT
from detector.models.network import DetectorNetwork, create_network
from detector.models.network_config import KIND, NetworkConfig, config_from
from manifests.atomic import canonical_json, write_bytes
from manifests.errors import DataError, MissingError
from manifests.weights import Weight, catalogue, find_weight
from nn import tensor_files
from nn.blueprint import check_blueprint
from nn.safetensors_files import read_header, read_tensors, tensor_bytes

PHOTOGRAPHS = "photographs"
"""Name of the detector in the repository: what `predict` uses where none is named."""
CHECKPOINT = "checkpoint.safetensors"
ANEW = "remove it: training then starts again"
STATE: dict[str, type] = {"key": str, "metrics": list, "network": dict, "average": dict, "optimizer": dict}
"""What a resume state holds, beside the best epoch so far."""
HALVES = (torch.float16, torch.bfloat16)


def find_detector(named: str | Path) -> Weight:
    """The file of a detector with its sha256, called by its catalogued name, else by the folder it lies in.

    named: a checkpoint's file, a training's folder, or a name of `fairforge weights list`. A folder of that
    name that holds no checkpoint does not hide the catalogued one.

    Raises:
        MissingError: none of these, or the embedded detector is not in this installation. DataError: the file
            is not the one
        catalogued.
    """
    path, known = Path(named), catalogue("detector")
    file = path / CHECKPOINT if path.is_dir() else path
    if not file.is_file() and str(named) in known:
        return find_weight(str(named), "detector")
    if not file.is_file() and str(named) == PHOTOGRAPHS:
        raise MissingError(
            f"the embedded detector {PHOTOGRAPHS!r}",
            "is not in this installation",
            "give --checkpoint with a detector of your own, or give one this name: `fairforge weights embed"
            f" DETECTOR --name {PHOTOGRAPHS} --validation MANIFEST`",
        )
    if not file.is_file() and file.parent != Path():
        raise MissingError(str(file), "is not there", "train a detector first: `fairforge train`")
    found = find_weight(str(file), "detector")
    folder = Path(os.path.realpath(found.path)).parent
    return replace(found, name=(folder.parent if folder.name == "detector" else folder).name)


def save_checkpoint(
    path: Path, config: NetworkConfig, state: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write weights and header atomically: the same content gives the same bytes.

    facts: further JSON values for the header (taxonomy, figures); not needed to build the network.
    """
    header = canonical_json({**facts, **config.model_dump(mode="json")})
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    write_bytes(path, tensor_bytes(tensors, {"config": header}, sort=False))


def read_checkpoint(path: Path) -> tuple[NetworkConfig, dict[str, Any], dict[str, Tensor]]:
    """`(network configuration, whole header, state)`; what is stored in half precision comes as float32.

    Raises:
        MissingError: no such file. DataError: not safetensors, truncated, or no detector.
    """
    again = "train it again, or fetch the file again"
    header = read_header(path, "config", "train a detector first: `fairforge train`", again)
    stored = read_tensors(path, fix=again)
    state = {name: value.float() if value.dtype in HALVES else value for name, value in stored.items()}
    if header.get("kind") != KIND:
        raise DataError(
            str(path),
            f"holds {header.get('kind', 'something else')!r}, not a detector",
            "give a file of `fairforge train`",
        )
    known = ARCHITECTURES.names()
    if header.get("architecture", DEFAULT) not in known:
        why = f"is of architecture {str(header.get('architecture'))[:80]!r}, which is not known here"
        raise DataError(str(path), why, f"install the package that has it; known are: {', '.join(known)}")
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
    check_blueprint(
        lambda: create_network(config), state, str(path), "train it again, or fetch the file again"
    )
    network = create_network(config)
    network.load_state_dict(state)
    return network.to(memory_format=torch.channels_last).eval(), header


def read_state(path: Path) -> dict[str, Any]:
    """A resume state; executes nothing from the file.

    Raises:
        DataError: the file is damaged.
    """
    return tensor_files.read_state(path, STATE, ANEW)
