"""Stage `evaluate`: the detector's scores and fairness on the test split, on held-out forgeries, on the
second dataset.

Each dataset stands with its unseen-family half (`*-heldout`) and beside a constant predictor, which is
perfectly fair and useless: a gap is only worth something next to its AUC. The other floors
(`pipeline.stages.evaluate.floors`) are measured alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from detector.training.settings import ONLINE
from manifests.atomic import digest_file
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES
from pipeline.stages.cross.source import has_cross, origin, with_cross
from pipeline.stages.evaluate.evaluation import (
    PARTS,
    Evaluation,
    Scoring,
    Source,
    results_of,
    write_evaluation,
)
from pipeline.stages.evaluate.floors import (
    PROBE,
    Floors,
    Predictor,
    build_floors,
    previous_digest,
    probe_digest,
    training_of,
)
from pipeline.stages.evaluate.measuring import Measure
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


def sources_of(run: RunDirectory) -> list[Source]:
    """What a run's detectors are measured on: its test split and its second dataset, beside their held-out
    halves.
    """
    parts = partial(parts_of, held_out=run.config.forge.held_out)
    found = [Source("test", run.folder("pair") / "manifest.parquet", "test", parts)]
    if has_cross(run.config):
        manifest = run.folder("cross/pair") / "manifest.parquet"
        found.append(Source(f"cross-{origin(run.config)}", manifest, None, parts))
    return found


def scoring_of(run: RunDirectory, out: Path) -> Scoring:
    """How images of this run are scored. out: a folder for scores while they are made."""
    execute = run.config.execute
    return Scoring(out, execute.workers, execute.compares("whole"), strict=True)


def evaluation_of(
    run: RunDirectory, detector: Predictor, floors: Sequence[Predictor], out: Path
) -> Evaluation:
    """How `[evaluate]` measures a detector of this run. out: see `scoring_of`."""
    evaluate = run.config.evaluate
    return Evaluation(
        detector,
        floors,
        evaluate.threshold,
        run.folder("pair") / "manifest.parquet",
        Measure(evaluate.mode, evaluate.min_n, evaluate.replicates, run.config.run.seed, evaluate.ties),
        scoring_of(run, out),
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


def floors_of(run: RunDirectory) -> tuple[list[Predictor], dict[str, str]]:
    """The floors of a run, see `build_floors`; the probe is fitted to the training split of its dataset."""
    wanted, settings = wanted_floors(run), run.config.train.model_dump(include=set(ONLINE))
    manifests = [run.folder("pair") / "manifest.parquet"] if PROBE in wanted.floors else []
    return build_floors(wanted, training_of(manifests, settings), run.config.execute.device)


@STAGES.register("evaluate")
class EvaluateStage(Stage):
    """Scores every dataset once, then measures utility and fairness at a threshold fixed before the test."""

    name = "evaluate"
    after = "train"
    version = 4
    needs = ("pair", "train", "cross/pair")

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
        run, folder = context.run, self.folder(context.run)
        checkpoint = run.folder("train") / "checkpoint.safetensors"
        model = load_detector(checkpoint, device=context.config.execute.device)
        floors, left_out = floors_of(run)
        detector = Predictor("detector", model, digest_file(checkpoint))
        evaluation = evaluation_of(run, detector, floors, folder / PARTS)
        measured = [one for source in sources_of(run) for one in evaluation.of(source)]
        cut = {"policy": evaluation.policy, "value": evaluation.cut(detector)}
        outputs = write_evaluation(
            folder, measured, results_of(measured, floors, left_out, threshold=cut), SCORES
        )
        evaluation.scoring.forget()
        return Outcome(
            outputs, {f"auc_{one.name}": round(one.entry["utility"]["AUC"], 4) for one in measured}
        )
