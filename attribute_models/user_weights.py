"""Weights that the user brings: finding the file, and reading a state dict without executing anything in
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from manifests.errors import DataError, MissingError
from manifests.weights import Weight, catalogue, find_weight
from nn.safetensors_files import read_tensors
from nn.tensor_files import finite_tensors, plain_tensors, read_plain


def user_weight(name: str, given: str, kind: str, origin: str) -> Weight:
    """The weight file of model `name`: the path `given`, else the one catalogued under the model's own name.

    Args:
        kind: of the catalogue: `attributes`, `identity`.
        origin: where the file comes from, and its licence.

    Raises:
        MissingError: no such file; it names the origin. DataError: the file is not the one catalogued.
    """
    if given and not Path(given).is_file():
        raise MissingError(
            f"weights of {name!r}: {given}", "is not there", f"give the path of an existing file. {origin}"
        )
    if not given and name not in catalogue(kind):
        raise MissingError(
            f"weights of {name!r}",
            "do not come with this program",
            f"name your file (--model-file). {origin}",
        )
    return find_weight(given or name, kind)


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a state dict: `.safetensors`, or a file of `torch.save`.

    A `state_dict` entry and the prefix `module.` (as parallel training leaves them) are taken off.

    Raises:
        DataError: not such a file, or one that wants code executed.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)
    found = read_plain(path)
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise DataError(str(path), "is not a state dict: names and tensors", "save model.state_dict() alone")
    tensors = plain_tensors(
        {str(key).removeprefix("module."): value for key, value in found.items()}, "it", str(path)
    )
    finite_tensors(tensors, str(path))
    return tensors


def fill(network: nn.Module, path: Path, ignore: tuple[str, ...] = ()) -> nn.Module:
    """The network with the tensors of `path`, in float32, ready to predict. ignore: prefixes of tensors not
    wanted.

    Raises:
        DataError: tensors lack, are left over, or have other shapes.
    """
    state = {key: value for key, value in read_state(path).items() if not key.startswith(ignore or ("\0",))}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).split("\n")[1:3]]
        raise DataError(
            str(path), f"does not fit the network ({' '.join(lines)[:300]})", "give the file of this model"
        ) from error
    return network.float().eval().requires_grad_(False)
