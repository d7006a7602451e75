"""Autoencoders as safetensors with the constructor's arguments in the header, and a picture through one of
them.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError

from generators.autoencoder.network import FACTOR, Autoencoder, AutoencoderConfig
from manifests.atomic import canonical_json, write_bytes
from manifests.errors import DataError
from manifests.weights import find_weight
from nn.blueprint import check_blueprint
from nn.devices import torch_threads
from nn.safetensors_files import read_header, read_metadata, read_tensors, tensor_bytes

FAMILY = "face-autoencoder"
KIND = "autoencoder"


def save_autoencoder(path: Path, network: Autoencoder, metadata: dict[str, str]) -> None:
    """Write half-precision weights; the same weights give the same bytes.

    Raises:
        PartialError: the disk is full. UsageError: the folder cannot be written.
    """
    text = {**metadata, "family": FAMILY, "config": canonical_json(network.config.model_dump(mode="json"))}
    tensors = {
        name: tensor.detach().cpu().half().contiguous() for name, tensor in network.state_dict().items()
    }
    write_bytes(path, tensor_bytes(tensors, text))


def load_autoencoder(name_or_path: str | Path) -> Autoencoder:
    """An autoencoder in inference mode, by catalogue name or path.

    Raises:
        MissingError: neither a known name nor a file. DataError: it is no autoencoder of ours, or damaged.
    """
    path = find_weight(name_or_path, KIND).path
    fix = "give a file that train-autoencoder wrote"
    if (family := read_metadata(path).get("family")) != FAMILY:
        raise DataError(str(path), f"is of family {family!r}", fix)
    try:
        config = AutoencoderConfig.model_validate(read_header(path))
    except ValidationError as error:
        raise DataError(
            str(path), f"has a config that is refused ({error.errors()[0]['msg']})", fix
        ) from error
    tensors = read_tensors(path)
    check_blueprint(lambda: Autoencoder(config), tensors, str(path), fix)
    network = Autoencoder(config)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network.requires_grad_(False).eval()


@lru_cache(maxsize=2)
def _kept(name: str, thread: int) -> Autoencoder:
    """`load_autoencoder`, once for a thread."""
    return load_autoencoder(name)


@torch.no_grad()
def decoded(image: npt.NDArray[np.float32], channels: int, model: str) -> npt.NDArray[np.float32]:
    """A picture as the decoder draws it, with so many channels of the bottleneck. One thread, one picture:
    the same bytes always.

    Args:
        image: float32 [H, W, 3] in [0, 255], RGB.
        channels: of the bottleneck, from 1; more than it has are all of them.
        model: name or path, as `load_autoencoder` takes it.

    Returns:
        float32 [H, W, 3] in [0, 255].

    Raises:
        MissingError, DataError: as `load_autoencoder`.
    """
    network = _kept(model, threading.get_ident())
    height, width = image.shape[:2]
    bottom, right = -height % FACTOR, -width % FACTOR
    padded = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")
    x = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch_threads(1):
        made = network(x, torch.tensor([channels]))
    out = ((made[0].clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(out[:height, :width])
