"""`fairforge detector-card`: what a detector's model card says, out of its file and of evaluations of it.

Figures per cell come from the evaluations' results, those per method from their scores; real images are
scored anew as blurred, dark, small and compressed ones. `pipeline.commands.evaluate.card_text` makes Markdown
of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import MissingError, UsageError
from manifests.proportions import share
from manifests.seeding import seed_of
from manifests.store import read_images
from pipeline.commands.evaluate.card_text import FIGURES, as_markdown
from pipeline.commands.evaluate.perturbations import PERTURBATIONS, parse_perturbations
from pipeline.commands.evaluate.robustness import sweep_scores
from pipeline.commands.evaluate.table import read_results
from pipeline.stages.evaluate.score_files import read_scores
from pipeline.stages.evaluate.scores import Scores

QUALITIES = "blur:1:2,brightness:0.5,resize:0.5:0.25,jpeg:30,h264:40"
"""What real photographs are put through: blurred, dark, small, JPEG 30, and as hard as FaceForensics++'s
c40.
"""


def _evaluations(paths: Sequence[Path], sha256: str) -> list[dict[str, Any]]:
    """The results of evaluations of one detector at one threshold.

    Raises:
        UsageError: of another detector, at another threshold than the first, or a dataset twice.
        MissingError, DataError: as `read_results`.
    """
    found = [read_results(path) for path in paths]
    for path, value in zip(paths, found, strict=True):
        checkpoint = value.get("checkpoint")
        if not isinstance(checkpoint, dict) or checkpoint.get("sha256") != sha256:
            raise UsageError(
                str(path),
                "is no evaluation of this detector",
                "evaluate it: `fairforge evaluate --checkpoint`",
            )
        if value["threshold"] != found[0]["threshold"]:
            raise UsageError(
                str(path), "was measured at another threshold than the first", "evaluate both with the same"
            )
    names = [name for value in found for name in value["datasets"]]
    if len(set(names)) < len(names):
        raise UsageError("a dataset", "stands in two of the evaluations", "give each once")
    return found


def _with_intervals(row: Mapping[str, Any]) -> dict[str, Any]:
    """AUC, TPR and FPR with intervals, and counts."""
    between = row.get("intervals") or {}
    return {
        **{f: row.get(f) for f in FIGURES},
        "intervals": {f: between.get(f) for f in FIGURES},
        "n_real": row.get("n_real"),
        "n_fake": row.get("n_fake"),
    }


def _methods(scores: Scores, threshold: float, replicates: int, seed: int) -> dict[str, dict[str, Any]]:
    """Utility on the real images and the fakes of each method apart."""
    from detector import fairness

    out = {}
    methods = np.array([method or "unknown" for method in scores.methods or ["unknown"] * len(scores.keys)])
    finest = "cell" if "cell" in scores.groups else next(iter(scores.groups), None)
    for name in sorted(set(methods[scores.label == 1])):
        rows = np.flatnonzero((scores.label == 0) | (methods == name)).tolist()
        kinds = {} if finest is None else {finest: [scores.groups[finest][k] for k in rows]}
        clusters = None if scores.clusters is None else [scores.clusters[k] for k in rows]
        report = fairness.report(
            scores.label[rows],
            scores.score[rows],
            kinds,
            clusters,
            threshold=threshold,
            replicates=replicates,
            seed=seed,
        )
        out[str(name)] = _with_intervals(report.to_dict()["utility"])
    return out


def _real_rows(manifest: Path, split: str, most: int) -> list[dict[str, Any]]:
    """At most so many real rows of a split, by an order hashed from their names."""
    rows = [
        row
        for row in read_images(manifest).to_pylist()
        if row["label"] == 0 and split in ("all", row["split"])
    ]
    return sorted(rows, key=lambda row: seed_of(0, "detector card", row["image_id"]))[:most]


def _available(perturbations: str) -> tuple[list[tuple[str, tuple[float, ...]]], list[str]]:
    """The perturbations that can be done here, and why others cannot."""
    chosen, left_out = [], []
    for name, strengths in parse_perturbations(perturbations):
        try:
            PERTURBATIONS[name].apply(np.zeros((16, 16, 3), np.uint8), strengths[0], "")
        except MissingError as error:
            left_out.append(f"{name}: {error.why}")
            continue
        chosen.append((name, strengths))
    return chosen, left_out


def _quality(
    model: Any, manifest: Path, rows: list[dict[str, Any]], chosen: Any, threshold: float
) -> list[dict[str, Any]]:
    """FPR of real images as they are, then at each strength of each perturbation."""
    _, scores, _ = sweep_scores(model, manifest, rows, chosen)
    return [
        {
            "quality": name,
            "strength": strength,
            "unit": "" if name == "clean" else PERTURBATIONS[name].unit,
            "FPR": share(int((np.array(values) >= threshold).sum()), len(values)),
            "n": len(values),
        }
        for (name, strength), values in scores.items()
    ]


def card_values(
    evaluations: Sequence[Path],
    checkpoint: Path,
    perturbations: str,
    images: int,
    replicates: int,
    seed: int,
    device: str,
) -> dict[str, Any]:
    """What the card says, JSON-able.

    Args:
        evaluations: folders of `fairforge evaluate --checkpoint ... --manifest ...`.
        checkpoint: the detector: file, folder of its training, or name.
        perturbations: as `parse_perturbations` takes them.
        images: most real images of each dataset that are put through them.
        replicates: of the bootstrap behind the figures per method.
        seed: of that bootstrap.
        device: torch device.

    Raises:
        UsageError: see `_evaluations`; an unknown perturbation. MissingError, DataError: no detector,
            results, scores or images.
    """
    from detector import load_detector
    from detector.inference.checkpoints import find_detector
    from pipeline.commands.weights.embedding import training_facts
    from pipeline.engine.executors import one_thread

    weight = find_detector(checkpoint)
    results = _evaluations(evaluations, weight.sha256)
    chosen, without = _available(perturbations)
    one_thread()
    model = load_detector(checkpoint, device=device)
    training = training_facts(weight.path) or model.header.get("training", {})
    threshold = float(results[0]["threshold"]["value"])
    online = (training.get("settings") or {}).get("online") or {}
    datasets: dict[str, Any] = {}
    for path, value in zip(evaluations, results, strict=True):
        scores = read_scores(path)
        for name, entry in value["datasets"].items():
            manifest, split = Path(entry["manifest"]), entry["split"]
            rows = _real_rows(manifest, split, images)
            datasets[name] = {
                "split": split,
                "overall": _with_intervals(entry["utility"]),
                "gaps": entry["gaps"].get("cell", {}),
                "cells": {
                    cell: _with_intervals(row) for cell, row in entry["groups"].get("cell", {}).items()
                },
                "methods": _methods(scores[name], threshold, replicates, seed),
                "qualities": _quality(model, manifest, rows, chosen, threshold) if rows else [],
                "floors": {
                    **{
                        title: found[name]["utility"]["AUC"]
                        for title, found in value.get("floors", {}).items()
                        if name in found
                    },
                    "constant predictor": value["constant_predictor"][name]["utility"]["AUC"],
                },
            }
    return {
        "name": weight.name,
        "sha256": weight.sha256,
        "bytes": weight.path.stat().st_size,
        "licence": model.header.get("licence"),
        "data": model.header.get("data"),
        "training": training,
        "input_size": model.input_size,
        "backbone": model.network.config.backbone,
        "beside": [other.name for other in model.network.config.beside],
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "temperature": model.network.config.temperature,
        "calibration": model.header.get("calibration"),
        "threshold": results[0]["threshold"],
        "trained_on": sorted(online) or None,
        "datasets": datasets,
        "without": without,
    }


def write_card(
    evaluations: list[Path],
    checkpoint: Path,
    out: Path,
    perturbations: str,
    images: int,
    replicates: int,
    seed: int,
    device: str,
) -> tuple[dict[str, Any], str]:
    """The card as values and as Markdown, written to `out`; errors as `card_values`."""
    from manifests.atomic import write_text

    value = card_values(evaluations, checkpoint, perturbations, images, replicates, seed, device)
    write_text(out, as_markdown(value))
    return value, str(out)
