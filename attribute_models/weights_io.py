"""Face networks as safetensors: half-precision tensors, the constructor's arguments in the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from manifests.atomic import write_bytes
from manifests.errors import DataError, MissingError
from manifests.text_files import parse_json


def save_network(path: Path, network: nn.Module, config: dict[str, Any]) -> None:
    """Write the state as float16 (integers as they are) with `config` as JSON in the header."""
    state = {
        name: (value.half() if value.dtype.is_floating_point else value).contiguous().clone()
        for name, value in network.state_dict().items()
    }
    write_bytes(path, save(state, metadata={"config": json.dumps(config, sort_keys=True)}))


def read_network(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """`(config, state)` of a file written by `save_network`, floats as float32.

    Raises:
        MissingError: no such file. DataError: not safetensors, truncated, or not of this `kind`.
    """
    if not path.is_file():
        raise MissingError(str(path), "is not there", "give the path of a weight file, or run `fairforge weights list`")
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("config", "{}")
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise DataError(
            str(path), f"is not a readable weight file ({error})", "fetch or make the file again"
        ) from error
    config = parse_json(text.encode("utf-8", "surrogatepass"), f"{path}: config in its header", dict)
    if config.get("kind") != kind:
        raise DataError(
            str(path), f"holds {config.get('kind', 'something else')!r}, not {kind!r}", f"give a file of kind {kind}"
        )
    return config, {k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()}
