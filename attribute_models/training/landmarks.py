"""Train the landmark model (scheme `mesh148`) on aligned faces and measure it per cell.

The error is the mean distance over the points, as a percentage of the distance between the eye centres (NME).
Loss: Wing (Feng et al., "Wing loss for robust facial landmark localisation with convolutional neural
networks", CVPR 2018, eq. 5) on offsets in units of that distance, so that small and large faces weigh the
same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attribute_models.networks import LandmarkNetwork, prepare
from attribute_models.training.augmentation import move_points, swap_sides
from attribute_models.training.face_data import FaceData, load_faces
from attribute_models.training.fitting import Fit, FitSettings
from attribute_models.weights_io import save_network
from manifests.atomic import make_folder, write_json
from manifests.errors import DataError
from manifests.mesh148 import GROUPS, INDICES, MIRROR, five_of
from manifests.taxonomy import GENDERS, get_taxonomy

SETTINGS = FitSettings(sizes=((64, 8), (80, 10)), batch=64, lr=2e-3, weight_decay=0.02)
JITTER = {"rotate": 18.0, "scale": 0.15, "shift": 0.08}
FAILED = 10.0
"""A face counts as failed when its error exceeds this percentage."""


def wing(offset: Tensor, width: float = 0.1, curvature: float = 0.02) -> Tensor:
    """Wing loss of offsets (any shape), element-wise: logarithmic below `width`, linear above, continuous.

    The paper's w = 10 and epsilon = 2 pixels are about these shares of the eye distance in its 256 px faces.
    """
    size = offset.abs()
    return torch.where(
        size < width,
        width * torch.log1p(size / curvature),
        size - width * (1 - math.log1p(width / curvature)),
    )


def eye_distance(points: Tensor) -> Tensor:
    """Distance between the eye centres: points float32 [N, 148, 2] to float32 [N]."""
    right, left = (points[:, list(GROUPS[eye])].mean(1) for eye in ("right_eye", "left_eye"))
    return (left - right).norm(dim=1)


def _loss(network: nn.Module, images: Tensor, theta: Tensor, rows: FaceData) -> Tensor:
    assert rows.mesh is not None
    points = move_points(torch.from_numpy(rows.mesh), theta, rows.images.shape[2], 1)
    points = swap_sides(points, theta, torch.from_numpy(MIRROR))
    scale = eye_distance(points).clamp_min(0.05)
    offset = (network(images).float() - points) / scale[:, None, None]
    return wing(offset).mean() * 10


@torch.no_grad()
def points_of(
    network: nn.Module,
    images: npt.NDArray[np.uint8],
    size: int,
    mirror: bool = True,
) -> npt.NDArray[np.float32]:
    """Landmarks in units of the image's side: float32 [N, 148, 2]. images: uint8 [N, H, H, 3].

    With `mirror`, the mean of the prediction and that of the mirrored image, mirrored back.
    """
    network.eval()
    swap = torch.from_numpy(MIRROR)
    parts = []
    for start in range(0, len(images), 256):
        x = prepare(images[start : start + 256], size)
        points = network(x)
        if mirror:
            other = network(x.flip(3))[:, swap]
            points = (points + torch.stack([1 - other[..., 0], other[..., 1]], -1)) / 2
        parts.append(points)
    return torch.cat(parts).numpy()


def errors_of(
    predicted: npt.NDArray[np.float32],
    label: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """Distance per face and point in % of the labels' eye distance: both float32 [N, 148, 2] to float64 [N,
    148].
    """
    five = five_of(label)
    scale = np.linalg.norm(five[:, 1] - five[:, 0], axis=1)
    return 100 * np.linalg.norm(predicted.astype(np.float64) - label, axis=2) / scale[:, None]


def measure(predicted: npt.NDArray[np.float32], data: FaceData) -> dict[str, object]:
    """Error figures over all faces, per group of points and per cell (fairface4 x gender), each cell with its
    n.

    predicted: float32 [N, 148, 2] in pixels of `data.images`.
    """
    assert data.mesh is not None
    errors = errors_of(predicted, data.mesh)
    face = errors.mean(1)
    races = get_taxonomy("fairface4").races
    cells = {}
    for r, race in enumerate(races):
        for g, gender in enumerate(GENDERS):
            mask = (data.race4 == r) & (data.gender == g)
            cells[f"{race}/{gender}"] = {
                "n": int(mask.sum()),
                "error_percent": float(face[mask].mean()) if mask.any() else None,
                "failed": float((face[mask] > FAILED).mean()) if mask.any() else None,
            }
    return {
        "n": len(face),
        "error_percent": float(face.mean()),
        "error_percent_median": float(np.median(face)),
        "error_percent_p90": float(np.quantile(face, 0.9)),
        "failed": float((face > FAILED).mean()),
        "groups": {name: float(errors[:, list(group)].mean()) for name, group in GROUPS.items()},
        "cells": cells,
    }


def _shrunk(images: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return x.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def _load(paths: Sequence[Path]) -> FaceData:
    data = load_faces(paths)
    if data.mesh is None:
        raise DataError(
            ", ".join(map(str, paths)),
            "lacks the column mesh148_x64 (148 landmarks)",
            "give faces with landmarks",
        )
    return data


def train_landmarks(
    train: Sequence[Path],
    dev: Path,
    out: Path,
    settings: FitSettings | None = None,
    *,
    trunk: str = "resnet10t",
    report: Callable[[str], None] = print,
) -> dict[str, object]:
    """Train and measure; writes `landmarks.safetensors` (float16) and `measured.json` into `out`.

    Raises:
        DataError: the files have no landmarks. UserError: as `load_faces`; a checkpoint in `out` made with
            other settings.
    """
    settings = settings or SETTINGS
    make_folder(out)
    data, dev_data = _load(train), _load([dev])
    assert data.mesh is not None
    width = dev_data.images.shape[2]
    size = settings.sizes[-1][0]
    report(f"{len(data)} training faces, {len(dev_data)} for measuring")
    torch.manual_seed(settings.seed)
    network = LandmarkNetwork(trunk, len(INDICES), size)
    mean = data.mesh.mean(0, dtype=np.float64) / data.images.shape[2]
    mirrored = np.stack([1 - mean[MIRROR, 0], mean[MIRROR, 1]], 1)
    network.mean_shape.copy_(torch.from_numpy((mean + mirrored) / 2))

    def evaluate(model: nn.Module, side: int) -> dict[str, float]:
        figures = measure(points_of(model, dev_data.images, side, mirror=False) * width, dev_data)
        return {k: float(v) for k, v in figures.items() if isinstance(v, float)}

    fit = Fit(network, _loss, data, settings, out, jitter=JITTER)
    best = fit.run(evaluate, report)
    config = {"kind": "landmarks", "trunk": trunk, "size": size, "scheme": "mesh148", "points": len(INDICES)}
    save_network(out / "landmarks.safetensors", best, config)
    measured = measure(points_of(best, dev_data.images, size) * width, dev_data)
    for side in (64, 48):
        small = measure(points_of(best, _shrunk(dev_data.images, side), size) * width, dev_data)
        measured[f"error_percent_from_{side}px"] = small["error_percent"]
    measured["precision"] = fit.choice.used
    write_json(out / "measured.json", measured)
    return measured
