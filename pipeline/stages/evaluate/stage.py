"""Stage `evaluate`: the detector's scores and fairness on the test split, on held-out forgeries, on the
second dataset.

Each dataset stands with its unseen-family half (`*-heldout`) and beside a constant predictor, which is
perfectly fair and useless: a gap is only worth something next to its AUC. The other floors
(`pipeline.stages.evaluate.floors`) are measured alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from detector.training.settings import ONLINE
from manifests.atomic import write_json
from manifests.store import write_table
from manifests.watching import watched
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES
from pipeline.stages.cross.source import has_cross, origin, with_cross
from pipeline.stages.evaluate.floors import (
    Floor,
    Floors,
    build_floors,
    policy_threshold,
    previous_digest,
    probe_digest,
    training_of,
)
from pipeline.stages.evaluate.image_scores import score_manifest
from pipeline.stages.evaluate.measuring import Measure, constant, scores_of
from pipeline.stages.train.online import online_digests

SCORES = pa.schema(
    [
        ("dataset", pa.string()),
        ("image_id", pa.string()),
        ("label", pa.int8()),
        ("score", pa.float32()),
        ("method", pa.string()),
        ("race", pa.string()),
        ("gender", pa.string()),
        ("cell", pa.string()),
        ("identity_id", pa.string()),
        ("video_id", pa.string()),
        ("counterfactual_id", pa.string()),
    ]
)


def parts_of(
    rows: list[dict[str, Any]], name: str, held_out: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """The dataset `name` (methods seen in training) and `name-heldout`, both with all the real images.

    Where the real images are of several origins, those of each origin and what was forged of them stand by
    themselves too: `name-photograph`, `name-photograph-heldout`, ...
    """
    origins = sorted({row["origin"] or "unknown" for row in rows if row["label"] == 0})
    out = {}
    for kind in ("", *(f"-{one}" for one in (origins if len(origins) > 1 else ()))):
        own = [row for row in rows if not kind or kind == f"-{row['origin'] or 'unknown'}"]
        out[f"{name}{kind}"] = [row for row in own if row["method"] not in held_out]
        if held_out:
            out[f"{name}{kind}-heldout"] = [
                row for row in own if row["label"] == 0 or row["method"] in held_out
            ]
    return out


def scored_parts(model: Any, run: RunDirectory) -> dict[str, list[dict[str, Any]]]:
    """Every dataset of a run with this detector's scores, each beside its held-out half."""
    held_out, execute = run.config.forge.held_out, run.config.execute
    digests = execute.compares("whole")
    own = score_manifest(model, run.folder("pair") / "manifest.parquet", "test", execute.workers, digests)
    parts = parts_of(own, "test", held_out)
    if has_cross(run.config):
        other = score_manifest(
            model, run.folder("cross") / "dataset" / "manifest.parquet", None, execute.workers, digests
        )
        parts |= parts_of(other, f"cross-{origin(run.config)}", held_out)
    return parts


def threshold_for(model: Any, run: RunDirectory) -> float:
    """The threshold of the run's policy for this detector, by its own validation scores where the policy asks
    for them.
    """
    manifest, execute = run.folder("pair") / "manifest.parquet", run.config.execute
    return policy_threshold(
        run.config.evaluate.threshold,
        lambda: score_manifest(model, manifest, "val", execute.workers, execute.compares("whole")),
    )


def wanted_floors(run: RunDirectory) -> Floors:
    """Which floors `[evaluate]` asks for."""
    return Floors(run.config.evaluate.floors, run.config.evaluate.previous)


def floor_weights(run: RunDirectory) -> dict[str, str]:
    """sha256 of the weights that the floors need, by what they are: those of the probe, and of the fakes that
    it is fitted to.
    """
    wanted, train = probe_digest(wanted_floors(run)), run.config.train
    return wanted | online_digests(train.online, train.online_params) if wanted else {}


def floors_of(run: RunDirectory) -> tuple[list[Floor], dict[str, str]]:
    """The floors of a run, see `build_floors`; the probe is fitted to the training split of its dataset."""
    settings = run.config.train.model_dump(include=set(ONLINE))
    return build_floors(
        wanted_floors(run),
        training_of([run.folder("pair") / "manifest.parquet"], settings),
        run.config.execute.device,
    )


@STAGES.register("evaluate")
class EvaluateStage(Stage):
    """Scores every dataset once, then measures utility and fairness at a threshold fixed before the test."""

    name = "evaluate"
    after = "train"
    version = 4
    needs = ("pair", "train", "cross")

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        return with_cross(self.needs, run.config)

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {
            "evaluate": run.config.evaluate.model_dump(),
            "held_out": run.config.forge.held_out,
            "origin": origin(run.config) if has_cross(run.config) else None,
            "online": run.config.train.model_dump(mode="json", include=set(ONLINE)),
        }

    def weights(self, run: RunDirectory) -> dict[str, str]:
        return floor_weights(run)

    def files(self, run: RunDirectory) -> dict[str, str]:
        return previous_digest(wanted_floors(run))

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from detector import load_detector
        from pipeline.engine.executors import one_thread

        one_thread()
        run = context.run
        model = load_detector(
            run.folder("train") / "checkpoint.safetensors", device=context.config.execute.device
        )
        threshold = threshold_for(model, run)
        parts = scored_parts(model, run)
        evaluate = run.config.evaluate
        measure = Measure(
            evaluate.mode, evaluate.min_n, evaluate.replicates, run.config.run.seed, evaluate.ties
        )
        results, beside, table = {}, {}, []
        for name, rows in watched(parts.items(), "measuring", "datasets"):
            scores = scores_of(rows, name)
            results[name] = {
                **measure.of(scores, threshold),
                "methods": sorted({row["method"] for row in rows if row["label"] == 1}),
            }
            beside[name] = measure.of(constant(scores), threshold)
            table += [{**row, "dataset": name} for row in rows]
        floors, left_out = floors_of(run)
        below = {}
        for floor in floors:
            cut = threshold_for(floor.model, run)
            below[floor.title] = {
                name: measure.of(scores_of(rows, name), cut)
                for name, rows in scored_parts(floor.model, run).items()
            }
        folder = self.folder(run)
        write_table(pa.Table.from_pylist(table, schema=SCORES), folder / "scores.parquet")
        write_json(
            folder / "results.json",
            {
                "threshold": {"policy": run.config.evaluate.threshold, "value": threshold},
                "datasets": results,
                "constant_predictor": beside,
                "floors": below,
                "floors_left_out": left_out,
            },
        )
        auc = {f"auc_{name}": round(r["utility"]["AUC"], 4) for name, r in results.items()}
        return Outcome([folder / "results.json", folder / "scores.parquet"], auc)
