"""Stage `evaluate`: the detector's scores and fairness on the test split, on held-out forgeries, on the second dataset.

Each dataset stands with its unseen-family half (`*-heldout`) and beside a constant predictor, which is perfectly fair
and useless: a gap is only worth something next to its AUC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from manifests.atomic import write_json
from manifests.store import write_table
from manifests.watching import watched
from pipeline.measuring import Measure, constant, scores_of
from pipeline.run_directory import RunDirectory
from pipeline.scoring import score_manifest
from pipeline.shards import Task
from pipeline.stages.base import Context, Outcome, Stage
from pipeline.stages.cross import origin

SCORES = pa.schema([
    ("dataset", pa.string()), ("image_id", pa.string()), ("label", pa.int8()), ("score", pa.float32()),
    ("method", pa.string()), ("race", pa.string()), ("gender", pa.string()), ("cell", pa.string()),
    ("identity_id", pa.string()), ("video_id", pa.string()), ("counterfactual_id", pa.string()),
])


def parts_of(rows: list[dict[str, Any]], name: str, held_out: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The dataset `name` (families seen in training) and `name-heldout`; both have all the real images."""
    seen = [row for row in rows if row["method"] not in held_out]
    unseen = [row for row in rows if row["label"] == 0 or row["method"] in held_out]
    return {name: seen, f"{name}-heldout": unseen} if held_out else {name: seen}


class EvaluateStage(Stage):
    """Scores every dataset once, then measures utility and fairness at a threshold fixed before the test."""

    name = "evaluate"
    version = 4
    needs = ("pair", "train", "cross")

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {
            "evaluate": run.config.evaluate.model_dump(), "held_out": run.config.forge.held_out, "origin": origin(run.config),
        }

    def _threshold(self, model: Any, run: RunDirectory) -> float:
        from detector.thresholds import needs_validation, threshold_of

        policy = run.config.evaluate.threshold
        if not needs_validation(policy):
            return threshold_of(policy)
        rows = score_manifest(model, run.folder("pair") / "manifest.parquet", "val",
            run.config.execute.workers)
        return threshold_of(policy, [row["label"] for row in rows], [row["score"] for row in rows])

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from detector import load_detector
        from pipeline.executors import one_thread

        one_thread()
        run, execute = context.run, context.config.execute
        model = load_detector(run.folder("train") / "checkpoint.safetensors", device=execute.device)
        threshold = self._threshold(model, run)
        held_out = run.config.forge.held_out
        cross = f"cross-{origin(run.config)}"
        own = score_manifest(model, run.folder("pair") / "manifest.parquet", "test", execute.workers)
        other = score_manifest(model, run.folder("cross") / "dataset" / "manifest.parquet", None,
            execute.workers)
        parts = {**parts_of(own, "test", held_out), **parts_of(other, cross, held_out)}
        evaluate = run.config.evaluate
        measure = Measure(evaluate.mode, evaluate.min_n, evaluate.replicates, run.config.run.seed)
        results, beside, table = {}, {}, []
        for name, rows in watched(parts.items(), "measuring", "datasets"):
            scores = scores_of(rows, name)
            results[name] = {
                **measure.of(scores, threshold), "methods": sorted({row["method"] for row in rows if row["label"] == 1}),
            }
            beside[name] = measure.of(constant(scores), threshold)
            table += [{**row, "dataset": name} for row in rows]
        folder = self.folder(run)
        write_table(pa.Table.from_pylist(table, schema=SCORES), folder / "scores.parquet")
        write_json(folder / "results.json", {
            "threshold": {"policy": run.config.evaluate.threshold, "value": threshold},
            "datasets": results, "constant_predictor": beside,
        })
        auc = {f"auc_{name}": round(r["utility"]["AUC"], 4) for name, r in results.items()}
        return Outcome([folder / "results.json", folder / "scores.parquet"], auc)
