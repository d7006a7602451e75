"""Train the race x gender x age model on labelled aligned faces, calibrate it, and measure it per cell.

Temperatures (Guo et al., "On calibration of modern neural networks", ICML 2017) are fitted on the development
file, which is used for nothing but choosing and reporting. The calibration error is cross-fitted: each half
of that file is judged with the temperatures of the other. A part of the training files takes no part in
training and says what the error is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attribute_models.networks import AttributeNetwork, prepare
from attribute_models.training.face_data import RACES, FaceData, load_faces
from attribute_models.training.fitting import Fit, FitSettings, Loss
from attribute_models.weights_io import save_network
from manifests.atomic import make_folder, write_json
from manifests.errors import UsageError
from manifests.seeding import rng_of
from manifests.taxonomy import AGES, GENDERS, get_taxonomy
from nn.calibration import calibration_error, fit_temperature
from nn.packaged import start_packaged
from nn.precision import autocast

HEADS = {"race": RACES, "gender": GENDERS, "age": AGES}
SETTINGS = FitSettings(sizes=((64, 6), (96, 12)), balance=0.3)


def cell_weights(data: FaceData, balance: float) -> Tensor:
    """How much a face weighs by its fairface4 race (row) and gender (column): float32 [4, 2], mean 1 over the
    faces.

    Proportional to the size of its cell to the power of -balance: 0 leaves the data as they are, 1 makes
    cells equal.
    """
    counts = np.zeros((4, len(GENDERS)))
    np.add.at(counts, (data.race4, data.gender), 1)
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -balance, 0.0)
    return torch.from_numpy(weights * counts.sum() / (weights * counts).sum()).float()


def loss_of(weights: Tensor) -> Loss:
    """The loss of all heads; faces weigh by `weights` of `cell_weights`."""
    parts = {"race": 1.0, "gender": 0.5, "age": 0.4}

    def loss(network: nn.Module, images: Tensor, theta: Tensor, rows: FaceData) -> Tensor:
        logits, weight = network(images), weights[rows.race4, rows.gender]
        total: Any = sum(
            share
            * torch.mean(
                weight
                * F.cross_entropy(
                    logits[head].float(),
                    torch.from_numpy(getattr(rows, head)),
                    label_smoothing=0.05,
                    reduction="none",
                )
            )
            for head, share in parts.items()
        )
        return total

    return loss


@torch.no_grad()
def logits_of(
    network: nn.Module,
    images: np.ndarray,
    size: int,
    precision: str,
    mirror: bool = True,
) -> dict[str, Tensor]:
    """Logits of every head, mean over the image and its mirror: name -> float32 [N, classes].

    images: uint8 [N, H, W, 3]. precision: `float32`, or `bfloat16` by autocast.
    """
    network.eval()
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(images), 256):
        x = prepare(images[start : start + 256], size)
        with autocast("cpu", precision):
            views = [network(x), network(x.flip(3))] if mirror else [network(x)]
        for name in views[0]:
            parts.setdefault(name, []).append(torch.stack([v[name].float() for v in views]).mean(0))
    return {name: torch.cat(rows) for name, rows in parts.items()}


def temperatures(logits: dict[str, Tensor], data: FaceData) -> dict[str, float]:
    """`fit_temperature` of every head."""
    return {h: fit_temperature(v, torch.from_numpy(getattr(data, h))) for h, v in logits.items()}


def probabilities_at(
    logits: dict[str, Tensor], temperature: dict[str, float]
) -> dict[str, npt.NDArray[np.float32]]:
    """Softmax of logits over their temperature: name -> float32 [N, classes]."""
    return {h: (v / temperature[h]).softmax(1).numpy() for h, v in logits.items()}


def cross_fitted(logits: dict[str, Tensor], data: FaceData, seed: int) -> object:
    """The calibration errors where each half of the faces is judged with the temperatures that the other half
    chose.
    """
    order = rng_of(seed, "temperature").permutation(len(data))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    judged = {h: np.zeros(v.shape, np.float32) for h, v in logits.items()}
    for own, other in (halves, halves[::-1]):
        fitted = temperatures({h: v[other] for h, v in logits.items()}, data.subset(other))
        for h, values in probabilities_at({h: v[own] for h, v in logits.items()}, fitted).items():
            judged[h][own] = values
    return measure(judged, data)["calibration_error"]


def balanced_accuracy(predicted: np.ndarray, label: np.ndarray) -> float:
    """Mean over the classes present of the share of right answers."""
    return float(np.mean([(predicted[label == c] == c).mean() for c in np.unique(label)]))


def measure(probabilities: dict[str, np.ndarray], data: FaceData) -> dict[str, object]:
    """Accuracies, calibration error and 4-group accuracy per cell, each cell with its n."""
    seven, four = get_taxonomy("fairface7"), get_taxonomy("fairface4")
    race4 = data.race4
    prob4 = seven.aggregate(probabilities["race"], "fairface4")
    top4 = prob4.argmax(1)
    confident = prob4.max(1) >= np.quantile(prob4.max(1), 0.3)
    cells = {}
    for r, race in enumerate(four.races):
        for g, gender in enumerate(GENDERS):
            mask = (race4 == r) & (data.gender == g)
            cells[f"{race}/{gender}"] = {
                "n": int(mask.sum()),
                "race4_accuracy": float((top4[mask] == r).mean()) if mask.any() else None,
                "gender_accuracy": float((probabilities["gender"][mask].argmax(1) == g).mean())
                if mask.any()
                else None,
            }
    return {
        "n": len(data),
        "race7_balanced_accuracy": balanced_accuracy(probabilities["race"].argmax(1), data.race),
        "race4_balanced_accuracy": balanced_accuracy(top4, race4),
        "race4_accuracy_at_70_percent_coverage": float((top4 == race4)[confident].mean()),
        "gender_balanced_accuracy": balanced_accuracy(probabilities["gender"].argmax(1), data.gender),
        "age_accuracy": float((probabilities["age"].argmax(1) == data.age).mean()),
        "calibration_error": {
            "race4": calibration_error(prob4, race4),
            **{h: calibration_error(probabilities[h], getattr(data, h)) for h in HEADS},
        },
        "cells": cells,
    }


def train_attributes(
    train: Sequence[Path],
    dev: Path,
    out: Path,
    settings: FitSettings | None = None,
    *,
    trunk: str = "resnet10t",
    held_out: float = 0.05,
    report: Callable[[str], None] = print,
) -> dict[str, object]:
    """Train, calibrate, measure; writes `attributes.safetensors` and `measured.json` into `out`.

    Args:
        train: FairFace parquet files of aligned faces.
        dev: one more, for choosing and measuring.
        out: folder, made if needed; a training that was stopped goes on.
        settings: default: `SETTINGS`.
        trunk: timm's name of the network; `tf_efficientnet_lite0` and `-lite1` start from the ImageNet
            weights that are installed, all others from random ones.
        held_out: share of the training faces that take no part in training, for the calibration error.
        report: gets a line per epoch.

    Raises:
        UsageError: timm has no such trunk. UserError: as `load_faces`; a checkpoint in `out` made with other
            settings.
    """
    if not timm.is_model(trunk):
        raise UsageError(
            f"--trunk {trunk}", "is no model of timm", "choose one of timm.list_models(), such as resnet10t"
        )
    settings = settings or SETTINGS
    make_folder(out)
    data, dev_data = load_faces(train), load_faces([dev])
    order = rng_of(settings.seed, "held-out").permutation(len(data))
    cut = round(len(data) * (1 - held_out))
    aside, data = data.subset(order[cut:]), data.subset(order[:cut])
    report(f"{len(data)} training faces, {len(aside)} held out, {len(dev_data)} for measuring")
    torch.manual_seed(settings.seed)
    network = AttributeNetwork(trunk, {head: len(classes) for head, classes in HEADS.items()})
    if start_packaged(network.trunk, trunk):
        report(f"{trunk} starts from its ImageNet weights")

    def evaluate(model: nn.Module, size: int) -> dict[str, float]:
        logits = logits_of(model, dev_data.images, size, precision, mirror=False)
        prob = {h: v.softmax(1).numpy() for h, v in logits.items()}
        figures = measure(prob, dev_data)
        return {k: float(v) for k, v in figures.items() if isinstance(v, float)}

    fit = Fit(network, loss_of(cell_weights(data, settings.balance)), data, settings, out)
    precision = fit.choice.used
    best = fit.run(evaluate, report)
    size = settings.sizes[-1][0]
    logits, held = (logits_of(best, images, size, precision) for images in (dev_data.images, aside.images))
    temperature = temperatures(logits, dev_data)
    measured = measure(probabilities_at(logits, temperature), dev_data)
    measured["calibration_error"] = cross_fitted(logits, dev_data, settings.seed)
    on_held_out = measure(probabilities_at(held, temperature), aside)
    measured["calibration_error_on_held_out_training_faces"] = on_held_out["calibration_error"]
    config = {
        "kind": "attributes",
        "trunk": trunk,
        "size": size,
        "temperature": temperature,
        "heads": {h: list(c) for h, c in HEADS.items()},
    }
    save_network(out / "attributes.safetensors", best, config)
    measured["precision"] = precision
    write_json(out / "measured.json", measured)
    return measured
