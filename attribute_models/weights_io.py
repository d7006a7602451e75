"""Face networks as safetensors: half-precision tensors, the constructor's arguments in the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from manifests.atomic import write_bytes
from manifests.errors import DataError
from nn.safetensors_files import read_header, read_tensors, tensor_bytes


def save_network(path: Path, network: nn.Module, config: dict[str, Any]) -> None:
    """Write the state as float16 (integers as they are) with `config` as JSON in the header."""
    state = {
        name: (value.half() if value.dtype.is_floating_point else value).contiguous().clone()
        for name, value in network.state_dict().items()
    }
    write_bytes(path, tensor_bytes(state, {"config": json.dumps(config, sort_keys=True)}, sort=False))


def read_network(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """`(config, state)` of a file written by `save_network`, floats as float32.

    Raises:
        MissingError: no such file. DataError: not safetensors, truncated, or not of this `kind`.
    """
    config = read_header(path, "config", "give the path of a weight file, or run `fairforge weights list`")
    state = read_tensors(path)
    if config.get("kind") != kind:
        raise DataError(
            str(path),
            f"holds {config.get('kind', 'something else')!r}, not {kind!r}",
            f"give a file of kind {kind}",
        )
    return config, {k: v.float() if v.dtype == torch.float16 else v for k, v in state.items()}
