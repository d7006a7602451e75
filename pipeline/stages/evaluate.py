"""Stage `evaluate`: the detector's scores and fairness on the test split, on held-out forgeries, on the second dataset.

Each dataset stands with its unseen-family half (`*-heldout`) and beside a constant predictor, which is perfectly fair
and useless: a gap is only worth something next to its AUC.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.atomic import write_json
from manifests.images import read_image, resize
from manifests.store import read_manifest, write_table
from pipeline.run_directory import RunDirectory
from pipeline.shards import Task
from pipeline.stages.base import Context, Outcome, Stage
from pipeline.stages.cross import origin

COLUMNS = ("image_id", "label", "method", "race", "gender", "cell", "identity_id", "counterfactual_id", "split", "path")
SCORES = pa.schema([
    ("dataset", pa.string()), ("image_id", pa.string()), ("label", pa.int8()), ("score", pa.float32()),
    ("method", pa.string()), ("race", pa.string()), ("gender", pa.string()), ("cell", pa.string()),
    ("identity_id", pa.string()), ("counterfactual_id", pa.string()),
])


def score_manifest(model: Any, manifest: Path, split: str | None) -> list[dict[str, Any]]:
    """Rows of one split (all when None) with the detector's fake probability under `score`."""
    rows = read_manifest(manifest).select(list(COLUMNS)).to_pylist()
    rows = [row for row in rows if split is None or row["split"] == split]
    for start in range(0, len(rows), 512):
        piece = rows[start:start + 512]
        images = [resize(read_image(manifest.parent / row["path"]), model.input_size) for row in piece]
        for row, score in zip(piece, model.predict(np.stack(images)), strict=True):
            row["score"] = float(score)
    return rows


def parts_of(rows: list[dict[str, Any]], name: str, held_out: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The dataset `name` (families seen in training) and `name-heldout`; both have all the real images."""
    seen = [row for row in rows if row["method"] not in held_out]
    unseen = [row for row in rows if row["label"] == 0 or row["method"] in held_out]
    return {name: seen, f"{name}-heldout": unseen} if held_out else {name: seen}


def fairness_of(rows: list[dict[str, Any]], scores: np.ndarray, threshold: float, run: RunDirectory) -> dict[str, Any]:
    """`detector.fairness.report` and `pipeline.evaluation.beyond_rates` of these rows, as JSON-able values."""
    from detector import fairness
    from pipeline.evaluation import beyond_rates

    evaluate = run.config.evaluate
    column = {name: [row[name] for row in rows] for name in SCORES.names if name in COLUMNS}
    label = np.array([row["label"] for row in rows])
    groups = {kind: column[kind] for kind in ("race", "gender", "cell")}
    sizes = {"min_n": evaluate.min_n, "replicates": evaluate.replicates, "seed": run.config.run.seed}
    report = fairness.report(
        label, scores, groups, clusters=column["identity_id"], mode=evaluate.mode, threshold=threshold, **sizes)
    more = beyond_rates(
        label, scores, groups, column["method"], column["counterfactual_id"], column["identity_id"], threshold, **sizes)
    return {**report.to_dict(), **more}


class EvaluateStage(Stage):
    """Scores every dataset once, then measures utility and fairness at a threshold fixed before the test."""

    name = "evaluate"
    version = 2
    needs = ("pair", "train", "cross")

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {"evaluate": run.config.evaluate.model_dump(), "held_out": run.config.forge.held_out}

    def _threshold(self, model: Any, run: RunDirectory) -> float:
        if run.config.evaluate.threshold == "fixed":
            return 0.5
        from detector.metrics import eer

        rows = score_manifest(model, run.folder("pair") / "manifest.parquet", "val")
        return float(eer([row["label"] for row in rows], [row["score"] for row in rows]).threshold)

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from detector import load_detector
        from pipeline.executors import one_thread

        one_thread()
        run = context.run
        model = load_detector(run.folder("train") / "checkpoint.safetensors")
        threshold = self._threshold(model, run)
        held_out = run.config.forge.held_out
        cross = f"cross-{origin(run.config)}"
        own = score_manifest(model, run.folder("pair") / "manifest.parquet", "test")
        other = score_manifest(model, run.folder("cross") / "dataset" / "manifest.parquet", None)
        parts = {**parts_of(own, "test", held_out), **parts_of(other, cross, held_out)}
        results, constant, scores = {}, {}, []
        for name, rows in parts.items():
            values = np.array([row["score"] for row in rows])
            results[name] = {
                **fairness_of(rows, values, threshold, run),
                "methods": sorted({row["method"] for row in rows if row["label"] == 1}),
            }
            constant[name] = fairness_of(rows, np.ones(len(rows)), threshold, run)
            scores += [{**{k: row[k] for k in SCORES.names if k != "dataset"}, "dataset": name} for row in rows]
        folder = self.folder(run)
        write_table(pa.Table.from_pylist(scores, schema=SCORES), folder / "scores.parquet")
        write_json(folder / "results.json", {
            "threshold": {"policy": run.config.evaluate.threshold, "value": threshold},
            "datasets": results, "constant_predictor": constant,
        })
        auc = {f"auc_{name}": round(r["utility"]["AUC"], 4) for name, r in results.items()}
        return Outcome([folder / "results.json", folder / "scores.parquet"], auc)
