"""`fairforge robustness`: how a detector's utility and gaps change as pictures get worse.

Real and fake images are perturbed alike, at their own size, before they are brought to the detector's. An
image that cannot be read is left out of every strength, and named.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from manifests.atomic import write_json, write_text
from manifests.containment import inside
from manifests.contents import compared
from manifests.errors import DataError, UserError
from manifests.escaping import one_line
from manifests.images import Image, read_image, resize
from manifests.sanity import swapped_labels
from manifests.store import manifest_file, read_images
from pipeline.commands.evaluate.perturbations import PERTURBATIONS, parse_perturbations
from pipeline.stages.evaluate.image_scores import Model
from pipeline.stages.evaluate.score_reports import table_text, text_of

BATCH = 256
KINDS = ("race", "gender", "cell")
CLEAN = ("clean", 0.0)


def _batches(
    manifest: Path, rows: list[dict[str, Any]], left: list[str]
) -> Iterator[list[tuple[dict[str, Any], Image]]]:
    batch: list[tuple[dict[str, Any], Image]] = []
    for row in rows:
        try:
            batch.append(
                (row, read_image(inside(manifest.parent, row["path"]), compared(row["sha256"], "whole")))
            )
        except UserError as error:
            left.append(f"{row['image_id']}: {error.why}")
            continue
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def sweep_scores(
    model: Model,
    manifest: Path,
    rows: list[dict[str, Any]],
    chosen: list[tuple[str, tuple[float, ...]]],
) -> tuple[list[dict[str, Any]], dict[tuple[str, float], list[float]], list[str]]:
    """Rows that could be read, their scores at every strength (and clean), and what was left out."""
    kept: list[dict[str, Any]] = []
    left: list[str] = []
    points = [CLEAN, *((name, strength) for name, strengths in chosen for strength in strengths)]
    scores: dict[tuple[str, float], list[float]] = {point: [] for point in points}
    for batch in _batches(manifest, rows, left):
        kept += [row for row, _ in batch]
        for name, strength in points:
            images = [
                resize(
                    image if name == "clean" else PERTURBATIONS[name].apply(image, strength, row["image_id"]),
                    model.input_size,
                )
                for row, image in batch
            ]
            scores[name, strength] += map(float, model.predict(np.stack(images)))
    return kept, scores, left


def measure(
    model: Model,
    manifest: Path,
    split: str | None,
    perturbations: str,
    threshold: float,
    min_n: int,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """`{"clean": report, "perturbations": {name: {"unit", "points": [{"strength", **report}]}}, "warnings"}`.

    Raises:
        UsageError: an unknown perturbation. MissingError, DataError: no manifest, or no image that can be
            read in the split.
    """
    from detector import fairness

    chosen = parse_perturbations(perturbations)
    manifest = manifest_file(manifest)
    rows = [row for row in read_images(manifest).to_pylist() if split in (None, row["split"])]
    kept, scores, left = sweep_scores(model, manifest, rows, chosen)
    if not kept:
        raise DataError(
            str(manifest),
            f"has no readable image in split {split}",
            "choose another --split, or make it again",
        )
    label = np.array([row["label"] for row in kept])
    groups = {kind: [row[kind] for row in kept] for kind in KINDS if any(row[kind] for row in kept)}
    clusters = [row["identity_id"] or row["video_id"] for row in kept]
    reports = {
        point: fairness.report(
            label,
            np.array(values),
            groups,
            clusters,
            threshold=threshold,
            min_n=min_n,
            replicates=replicates,
            seed=seed,
        ).to_dict()
        for point, values in scores.items()
    }
    warnings = swapped_labels(label.tolist(), [row["path"] for row in kept])
    return {
        "clean": reports[CLEAN],
        "warnings": [*warnings, *(f"left out {text}" for text in left)],
        "perturbations": {
            name: {
                "unit": PERTURBATIONS[name].unit,
                "points": [{"strength": strength, **reports[name, strength]} for strength in strengths],
            }
            for name, strengths in chosen
        },
    }


def _row(name: str, strength: str, report: dict[str, Any], kind: str) -> list[str]:
    use, gaps = report["utility"], report["gaps"].get(kind, {})
    figures = [
        use["AUC"],
        use["ACC"],
        use["TPR"],
        use["FPR"],
        *(gaps.get(gap) for gap in ("F_FPR", "F_TPR", "F_OAE", "G_AUC")),
    ]
    return [name, strength, *map(text_of, figures)]


def as_markdown(value: dict[str, Any], kind: str = "cell") -> str:
    """Utility and gaps against strength, one row per strength."""
    rows = [_row("clean", "", value["clean"], kind)]
    for name, sweep in value["perturbations"].items():
        rows += [
            _row(f"{name} ({sweep['unit']})", f"{point['strength']:g}", point, kind)
            for point in sweep["points"]
        ]
    head = ["perturbation", "strength", "AUC", "ACC", "TPR", "FPR", "F_FPR", "F_TPR", "F_OAE", "G_AUC"]
    return "\n".join(
        [
            *(f"warning: {one_line(text)}" for text in value["warnings"]),
            table_text(head, rows),
            "",
            f"Gaps between groups of kind {kind}.",
        ]
    )


def robustness(
    checkpoint: Path,
    manifest: Path,
    out: Path | None,
    split: str | None,
    perturbations: str,
    threshold: float,
    min_n: int,
    replicates: int,
    seed: int,
    device: str,
) -> tuple[dict[str, Any], str]:
    """The sweep of a checkpoint, as values and Markdown; into `robustness.json` and `robustness.md` where
    there is an `out`.
    """
    from detector import load_detector
    from pipeline.engine.executors import one_thread

    parse_perturbations(perturbations)
    one_thread()
    value = measure(
        load_detector(checkpoint, device=device),
        manifest,
        split,
        perturbations,
        threshold,
        min_n,
        replicates,
        seed,
    )
    text = as_markdown(value)
    if out:
        write_json(out / "robustness.json", value)
        write_text(out / "robustness.md", text)
    return value, text
