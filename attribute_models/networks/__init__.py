"""The small face networks: a timm trunk without its classifier, and heads.

Input: float32 [N, 3, S, S], RGB in [-1, 1], aligned to the template of
`attribute_models.detection.alignment`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attribute_models.weights_io import read_network
from manifests.errors import DataError
from nn.blueprint import check_blueprint

LARGEST_INPUT = 2048
"""Pixels of a side."""


def prepare(images: npt.NDArray[np.uint8], size: int) -> Tensor:
    """uint8 [N, H, W, 3] to the networks' input: float32 [N, 3, size, size] in [-1, 1], bilinear with
    antialiasing.
    """
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return x.contiguous(memory_format=torch.channels_last)


class AttributeNetwork(nn.Module):
    """Trunk, global average pooling, dropout and one linear head per attribute.

    heads: name -> number of classes. `forward` returns name -> float32 logits [N, classes].
    """

    trunk: Any

    def __init__(self, trunk: str, heads: Mapping[str, int], dropout: float = 0.2) -> None:
        super().__init__()
        self.trunk = timm.create_model(trunk, pretrained=False, num_classes=0)
        width = self.trunk.num_features
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name, classes in heads.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.dropout(self.trunk(images))
        return {name: head(features) for name, head in self.heads.items()}


class LandmarkNetwork(nn.Module):
    """Trunk up to one stage, its map squeezed, brought to one grid and flattened, and one linear layer to the
    points.

    Args:
        trunk: name of a timm model; only its layers up to `stage` exist (and are stored).
        points: number of landmarks.
        size: input side in pixels that the grid belongs to. Other sides work: their map is resampled to that
            grid.
        squeeze: channels per cell of the grid.
        stage: index of the trunk's feature map (3: stride 16 for the residual networks).

    `forward` returns float32 [N, points, 2] in units of the crop's side (0 to 1, pixel edges).
    `mean_shape`: float32 [points, 2], the network predicts offsets from it.
    """

    trunk: Any
    mean_shape: Tensor

    def __init__(self, trunk: str, points: int, size: int, squeeze: int = 48, stage: int = 3) -> None:
        super().__init__()
        self.trunk = timm.create_model(trunk, pretrained=False, features_only=True, out_indices=(stage,))
        channels = self.trunk.feature_info.channels()[-1]
        self.grid = math.ceil(size / self.trunk.feature_info.reduction()[-1])
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, squeeze, 1, bias=False), nn.BatchNorm2d(squeeze), nn.ReLU()
        )
        self.points = nn.Linear(squeeze * self.grid**2, points * 2)
        self.register_buffer("mean_shape", torch.full((points, 2), 0.5))

    def forward(self, images: Tensor) -> Tensor:
        cells = self.squeeze(self.trunk(images)[-1])
        if cells.shape[-1] != self.grid:
            cells = F.interpolate(cells, size=(self.grid, self.grid), mode="bilinear", align_corners=False)
        offsets = self.points(cells.flatten(1)).float()
        return self.mean_shape + 0.1 * offsets.view(len(images), -1, 2)


CONFIG_KEYS = {
    "attributes": ("trunk", "size", "heads", "temperature"),
    "landmarks": ("trunk", "size", "points", "scheme"),
}
"""What the config of a weight file must hold, by kind."""


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """The untrained network that a weight file's `config` describes (`kind` is `attributes` or `landmarks`).

    Raises:
        ValueError: its trunk is not one of timm's own models.
    """
    if not isinstance(config["trunk"], str) or not timm.is_model(config["trunk"]):
        raise ValueError(f"timm has no model {config['trunk']!r:.80}")
    if config["kind"] == "attributes":
        return AttributeNetwork(
            config["trunk"], {head: len(names) for head, names in config["heads"].items()}
        )
    return LandmarkNetwork(
        config["trunk"], config["points"], config["size"], config.get("squeeze", 48), config.get("stage", 3)
    )


def _wrong_value(config: Mapping[str, Any]) -> str:
    """The key of the first value that cannot be used; empty where there is none."""
    size, heads, temperature = config["size"], config.get("heads", {}), config.get("temperature", {})
    if type(size) is not int or not 1 <= size <= LARGEST_INPUT:
        return "size"
    if not isinstance(heads, dict) or not all(
        isinstance(n, list) and all(isinstance(c, str) for c in n) for n in heads.values()
    ):
        return "heads"
    numbers = (
        isinstance(temperature, dict)
        and set(heads) <= set(temperature)
        and all(isinstance(value, int | float) and 0 < value < math.inf for value in temperature.values())
    )
    return "" if numbers else "temperature"


def load_network(path: Path, kind: str) -> tuple[dict[str, Any], nn.Module]:
    """`(config, network)` of a weight file, float32, ready to predict.

    Raises:
        MissingError: no such file. DataError: corrupt, of another kind, or its tensors do not fit its config.
    """
    config, state = read_network(path, kind)
    lacking = [key for key in CONFIG_KEYS[kind] if key not in config]
    if lacking:
        raise DataError(str(path), f"its config lacks {', '.join(lacking)}", "fetch or make the file again")
    wrong = _wrong_value(config)
    if wrong:
        raise DataError(
            str(path), f"its config has {wrong}: {config[wrong]!r:.80}", "fetch or make the file again"
        )
    check_blueprint(lambda: build_network(config), state, str(path), "fetch or make the file again")
    network = build_network(config)
    network.load_state_dict(state)
    return config, network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
