"""`fairforge weights embed`: a trained detector as one small file with a name, calibrated, which
`--checkpoint NAME` finds.

Weights in half precision (what rounding does to mean activations taken back), the temperature fitted and the
threshold fixed on validation images, and in the header what the training was, so that a card can be written
from the file alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from manifests.errors import DataError, MissingError, UsageError
from manifests.text_files import read_json
from manifests.weights import catalogue, user_folder
from pipeline.commands.weights.records import check_name, record
from pipeline.stages.evaluate.image_scores import BATCH

if TYPE_CHECKING:
    from torch import Tensor

    from detector.inference.prediction import Detector
    from detector.models.network_config import NetworkConfig
    from detector.training.data import SplitData

LARGEST = 8_000_000
"""Bytes of weights that such a file may have."""
CHANGE = 1e-3
"""How much half precision may change a validation image's fake probability."""
WATCHED = 256
"""Validation images on which it is measured how rounding moves mean activations."""
RECIPE = "fairforge train with the settings in the file's header, then fairforge weights embed"
TRAINING = ("settings", "images", "val", "kept_epoch", "val_auc", "parameters", "precision")
"""What is kept of a training's facts."""


def training_facts(file: Path, seen: frozenset[Path] = frozenset()) -> dict[str, Any]:
    """What `training.json` beside a detector says of its training; nothing where there is none.

    With `steps` and `images_seen` up to the weights that were kept, where it has what these are computed of;
    `before` holds those of the detector that it went on from, and of the ones before that.

    Args:
        file: the detector's.
        seen: files that were looked at on the way here.

    Raises:
        DataError: it is no JSON object, or its settings are none.
    """
    path = file.parent / "training.json"
    if not path.is_file():
        return {}
    found = read_json(path, dict)
    kept = {name: found[name] for name in TRAINING if name in found}
    settings, val = kept.setdefault("settings", {}), kept.get("val", {})
    if not isinstance(settings, dict) or not isinstance(val, dict):
        raise DataError(str(path), "is not a training's facts", "remove it, or train again")
    if settings.get("start"):
        kept["before"] = _before(str(settings["start"]), seen | {Path(os.path.realpath(file))})
    steps, epochs, batch = val.get("steps"), kept.get("kept_epoch"), settings.get("batch")
    if not (isinstance(steps, int) and isinstance(epochs, int) and isinstance(batch, int)):
        return kept
    return {**kept, "steps": steps * epochs, "images_seen": steps * epochs * batch}


def _before(start: str, seen: frozenset[Path]) -> dict[str, int]:
    """Steps and images seen of the detector that a training went on from; nothing where nobody knows."""
    from detector.inference.checkpoints import find_detector, read_checkpoint

    try:
        file = find_detector(start).path
    except MissingError:
        return {}
    if Path(os.path.realpath(file)) in seen:
        return {}
    facts = training_facts(file, seen) or read_checkpoint(file)[1].get("training", {})
    earlier = facts.get("before", {})
    return {name: facts[name] + earlier.get(name, 0) for name in ("steps", "images_seen") if name in facts}


def _checked_place(name: str, folder: Path) -> Path:
    """The file to write.

    Raises:
        UsageError: no file's name, or one that another place has already.
    """
    check_name(name)
    known, file = catalogue().get(name), folder / f"{name}.safetensors"
    if known is not None and os.path.realpath(known.path) != os.path.realpath(file):
        raise UsageError(f"weight {name!r}", f"is known already ({known.path})", "choose another --name")
    return file


def _validation(manifest: Path, size: int, training: Mapping[str, Any]) -> SplitData:
    """The val split, its stored fakes or else fakes drawn once as the training drew its own.

    Raises:
        UsageError: no val row. DataError: an image cannot be read. Others as `forge_of`.
    """
    from detector.training.data import open_manifest
    from detector.training.online import judged_split
    from pipeline.stages.train.online import forge_of

    settings = training.get("settings", {})
    table, folder, classes = open_manifest(manifest)
    data, _ = judged_split(
        table,
        folder,
        "val",
        classes,
        size,
        forge_of(settings),
        int(settings.get("seed") or 0),
        digests="whole",
    )
    if not len(data):
        raise UsageError(f"--validation {manifest}", "has no val row", "name a manifest with a val split")
    return data


def _detector(config: NetworkConfig, state: Mapping[str, Tensor], device: str) -> Detector:
    from detector.inference.prediction import Detector
    from detector.models.network import create_network

    network = create_network(config)
    network.load_state_dict(state)
    return Detector(network, {}, device)


def _scores(model: Detector, data: SplitData, most: int | None = None) -> list[float]:
    """Fake probability of each image, or of the first `most`."""
    end, out = min(len(data), most or len(data)), []
    for start in range(0, end, BATCH):
        out += model.predict(data.batch(range(start, min(start + BATCH, end)))).tolist()
    return out


def embed_detector(
    detector: Path,
    name: str,
    licence: str,
    data: str,
    recipe: str | None,
    validation: Path,
    threshold: str,
    out: Path | None,
    device: str,
) -> tuple[dict[str, Any], str]:
    """Write a detector as `NAME.safetensors` into a folder of weights and record it there.

    Args:
        detector: file, folder of a training, or name.
        licence: of the weights.
        data: what it was trained on, with attribution.
        recipe: how to make it again; None: `RECIPE`.
        validation: a manifest whose val rows fit the temperature and fix the threshold; without a fake among
            them, fakes are drawn once by the methods that the training drew.
        threshold: policy of `detector.metrics.thresholds`.
        out: folder; None: the user's.
        device: torch device of the detector.

    Raises:
        MissingError: no detector, no manifest. DataError: damaged, or half precision changes a score by more
            than `CHANGE`.
        UsageError: a name that is taken, an unknown policy, no val row of a class, a detector larger than
            `LARGEST`.
    """
    from detector.inference.calibration import at_temperature, cross_fitted, figures, temperature_of
    from detector.inference.checkpoints import find_detector, load_network, save_checkpoint
    from detector.inference.rounding import corrected, mean_shifts
    from detector.metrics.thresholds import needs_validation, threshold_of
    from nn.half_precision import half_precision
    from pipeline.engine.executors import one_thread

    needs_validation(threshold)
    file = _checked_place(name, out or user_folder())
    weight = find_detector(detector)
    network, header = load_network(weight.path)
    config, state = network.config, network.state_dict()
    small = half_precision(state)
    size = sum(value.numel() * value.element_size() for value in small.values())
    if size > LARGEST:
        raise UsageError(
            f"detector {weight.name!r}",
            f"has {size / 1e6:.1f} MB in half precision, more than {LARGEST / 1e6:g}",
            "train it without train.beside: a detector beside others has their weights too"
            if config.beside
            else "train one with a smaller backbone",
        )
    one_thread()
    training = training_facts(weight.path) or header.get("training", {})
    val = _validation(validation, config.input_size, training)
    labels = val.labels.tolist()
    plain = _detector(config.model_copy(update={"temperature": 1.0}), state, device)
    before = _scores(plain, val)
    fitted = config.model_copy(update={"temperature": temperature_of(labels, before)})
    with mean_shifts(plain.network, small) as shifts:
        _scores(plain, val, WATCHED)
    small = corrected(small, shifts)
    after = _scores(_detector(fitted, small, device), val)
    change = float(np.abs(at_temperature(before, fitted.temperature) - np.array(after)).max())
    if change > CHANGE:
        raise DataError(
            f"detector {weight.name!r}",
            f"changes a score by {change:.2g} in half precision, more than {CHANGE:g}",
            "train with more weight decay",
        )
    facts: dict[str, Any] = {
        "licence": licence,
        "data": data,
        "made_of": weight.sha256,
        "training": training,
        "threshold": {"policy": threshold, "value": threshold_of(threshold, labels, after)},
        "calibration": {
            "n": len(labels),
            "before": figures(labels, before),
            "after": figures(labels, cross_fitted(labels, before)),
        },
    }
    measured = {
        "val_images": len(labels),
        "temperature": round(fitted.temperature, 4),
        "threshold": round(facts["threshold"]["value"], 4),
        "calibration_error": round(facts["calibration"]["after"]["ece"], 4),
        "half_precision_change": float(f"{change:.2g}"),
    }
    entry = record(
        file,
        {
            "kind": "detector",
            "licence": licence,
            "data": data,
            "recipe": recipe or RECIPE,
            "measured": measured,
        },
        lambda: _checked_place(name, file.parent),
        lambda: save_checkpoint(file, fitted, small, {**header, **facts}),
    )
    text = (
        f"{name}: {file} ({file.stat().st_size / 1e6:.2f} MB); temperature {fitted.temperature:.3f},"
        f" calibration error {facts['calibration']['before']['ece']:.3f} before,"
        f" {facts['calibration']['after']['ece']:.3f} after; called fake from"
        f" {facts['threshold']['value']:.3f} on ({threshold}); half precision moves a score by {change:.1e}"
        " at most"
    )
    return {"name": name, "path": str(file), **entry}, text
