"""Stage `ablation`: variants of training x seeds, each a shard; runs only where the configuration has
variants.

A shard trains one detector on one arm of the data and scores the test split, the held-out forgeries and the
second dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from detector.training.settings import ONLINE
from manifests.atomic import write_json, write_text
from manifests.store import read_images
from pipeline.engine.config import Config
from pipeline.engine.config_ablation import AblationVariant
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES
from pipeline.stages.ablation.arms import write_arm
from pipeline.stages.ablation.figures import effects, figures_of, over_seeds
from pipeline.stages.ablation.text import as_markdown
from pipeline.stages.cross.source import has_cross, origin, with_cross
from pipeline.stages.evaluate.evaluation import PARTS
from pipeline.stages.evaluate.floors import Predictor, policy_threshold, previous_digest
from pipeline.stages.evaluate.image_scores import COLUMNS, score_manifest
from pipeline.stages.evaluate.measuring import constant, scores_of
from pipeline.stages.evaluate.stage import (
    evaluation_of,
    floor_weights,
    floors_of,
    parts_of,
    sources_of,
    wanted_floors,
)
from pipeline.stages.train.stage import training_weights

if TYPE_CHECKING:
    from detector.training.settings import TrainSettings

KIND = "cell"
CONSTANT = "constant predictor"
SCHEMA = pa.schema(
    [
        ("variant", pa.string()),
        ("seed", pa.int64()),
        ("dataset", pa.string()),
        ("threshold", pa.float64()),
        ("score", pa.float32()),
        *(
            (name, pa.int8() if name == "label" else pa.string()) for name in COLUMNS if name != "path"
        ),  # not a file of the shard's
    ]
)


def train_variant(task: Task) -> pa.Table:
    """Train one variant under one seed and score every dataset; its scores, one row per image and dataset."""
    from detector import load_detector
    from detector.training.loop import train
    from detector.training.settings import TrainSettings
    from pipeline.engine.executors import one_thread
    from pipeline.stages.train.online import forge_of

    one_thread()
    payload = task.payload
    work = task.folder / "work" / f"{payload['variant']}-{payload['seed']}"
    arm, start = work / "data", ""
    for name, phase in (("first", payload["first"]), ("detector", payload["then"])):
        if phase is None:
            continue
        data = work / f"{name}-data" if name == "first" else arm
        write_arm(
            Path(payload["manifest"]),
            data,
            payload["shares"],
            payload["arm"],
            payload["seed"],
            phase["origins"],
        )
        settings = TrainSettings.model_validate(
            {**phase["train"], "seed": payload["seed"], "threads": 1, "start": start}
        )
        train(
            settings,
            data,
            work / name,
            lambda line: None,
            device=payload["device"],
            workers=payload["feeding"],
            build_forge=forge_of(settings.model_dump()),
            digests=payload["digests"],
        )
        start = str(work / name)
    device, threads = payload["device"], payload["feeding"]
    model = load_detector(work / "detector", device=device)
    threshold = policy_threshold(
        payload["threshold"], lambda: score_manifest(model, arm, "val", threads, payload["digests"])
    )
    own = score_manifest(model, Path(payload["manifest"]), "test", threads, payload["digests"])
    parts = parts_of(own, "test", payload["held_out"])
    if payload["cross"]:
        other = score_manifest(model, Path(payload["cross"]), None, threads, payload["digests"])
        parts |= parts_of(other, payload["origin"], payload["held_out"])
    same = {"variant": payload["variant"], "seed": payload["seed"], "threshold": threshold}
    return pa.Table.from_pylist(
        [{**row, **same, "dataset": name} for name, rows in parts.items() for row in rows], schema=SCHEMA
    )


def _phases_payload(variant: AblationVariant, phases: Sequence[TrainSettings]) -> dict[str, Any]:
    """What a shard gets of a variant's trainings: `first` (None where it has none) and `then`."""
    then = {"origins": list(variant.origins), "train": phases[-1].model_dump(mode="json")}
    if variant.first is None:
        return {"first": None, "then": then}
    return {
        "first": {"origins": list(variant.first.origins), "train": phases[0].model_dump(mode="json")},
        "then": then,
    }


@STAGES.register("ablation")
class AblationStage(Stage):
    """Trains every variant of `[ablation]` under every seed, and measures them all on the same images."""

    name = "ablation"
    after = "report"
    optional = True
    version = 2
    needs = ("pair", "cross/pair")

    def skipped(self, config: Config) -> str:
        return "" if config.ablation.variants else "ablation.variants names none"

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        return with_cross(self.needs, run.config)

    def config(self, run: RunDirectory) -> dict[str, Any]:
        config = run.config
        return {
            "ablation": config.ablation.model_dump(mode="json"),
            "cells": config.dataset.cells,
            "train": {
                name: phases[-1].model_dump(mode="json", exclude={"seed"})
                for name, phases in self._phases(run).items()
            },
            "first": {
                name: phases[0].model_dump(mode="json", exclude={"seed"})
                for name, phases in self._phases(run).items()
                if len(phases) > 1
            },
            "threshold": config.evaluate.threshold,
            "min_n": config.evaluate.min_n,
            "held_out": config.forge.held_out,
            "origin": origin(config) if has_cross(config) else None,
            "floors": [config.evaluate.floors, config.evaluate.previous],
            "online": config.train.model_dump(mode="json", include=set(ONLINE)),
        }

    def weights(self, run: RunDirectory) -> dict[str, str]:
        return {
            **floor_weights(run),
            **{
                f"{name}/{what}": digest
                for name, phases in self._phases(run).items()
                for phase in phases
                for what, digest in training_weights(phase).items()
            },
        }

    def files(self, run: RunDirectory) -> dict[str, str]:
        return previous_digest(wanted_floors(run))

    def _phases(self, run: RunDirectory) -> dict[str, list[TrainSettings]]:
        """Settings of each variant's trainings: its own, after those of its `first` where it has one."""
        out = {}
        for name, variant in run.config.ablation.variants.items():
            own = self._train(run, name, variant.train)
            before = (
                []
                if variant.first is None
                else [self._train(run, f"{name}.first", {**variant.train, **variant.first.train})]
            )
            out[name] = [*before, own]
        return out

    def _train(self, run: RunDirectory, variant: str, own: Mapping[str, Any]) -> TrainSettings:
        """Settings of one training: its own over those of `[train]`.

        Raises:
            UsageError: they do not fit.
        """
        from pydantic import ValidationError

        from detector.training.settings import TrainSettings
        from manifests.errors import UsageError

        settings = {**run.config.train.model_dump(exclude={"seed"}), **own}
        try:
            return TrainSettings.model_validate(settings)
        except ValidationError as error:
            raise UsageError(
                f"ablation.variants.{variant}.train",
                "; ".join(f"{e['loc']}: {e['msg']}" for e in error.errors()),
                "see `fairforge config show`",
            ) from error

    def tasks(self, context: Context, key: str) -> list[Task]:
        run, section = context.run, context.config.ablation
        cross = str(run.folder("cross/pair") / "manifest.parquet") if has_cross(run.config) else ""
        same = {
            "manifest": str(run.folder("pair") / "manifest.parquet"),
            "cross": cross,
            "shares": section.shares_of(context.config.dataset.cells),
            "threshold": context.config.evaluate.threshold,
            "held_out": list(context.config.forge.held_out),
            "origin": f"cross-{origin(context.config)}",
            "device": context.config.execute.device,
            "digests": context.config.execute.compares("whole"),
        }
        phases = self._phases(run)
        jobs = section.trainings
        feeding = max(1, context.config.execute.workers // min(len(jobs), context.executor.workers))
        return [
            Task(
                self.name,
                k,
                self.folder(run),
                key,
                train_variant,
                {
                    **same,
                    **_phases_payload(section.variants[name], phases[name]),
                    "variant": name,
                    "seed": seed,
                    "arm": section.variants[name].data,
                    "feeding": feeding,
                },
            )
            for k, (seed, name) in enumerate(jobs)
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        run, section = context.run, context.config.ablation
        rows: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for row in read_shards(self.folder(run), len(tasks)).to_pylist():
            rows.setdefault((row["dataset"], row["variant"], row["seed"]), []).append(row)
        from pipeline.engine.executors import one_thread

        min_n = context.config.evaluate.min_n
        one_thread()
        floors, left_out = floors_of(run)
        below = {floor.title: self._floor(run, floor) for floor in floors}
        datasets: dict[str, Any] = {}
        for name in dict.fromkeys(dataset for dataset, _, _ in rows):
            measured = {
                variant: {
                    seed: figures_of(
                        scores_of(rows[name, variant, seed], name),
                        rows[name, variant, seed][0]["threshold"],
                        KIND,
                        min_n,
                    )
                    for seed, of in section.trainings
                    if of == variant
                }
                for variant in section.variants
            }
            seed, variant = section.trainings[0]
            first = rows[name, variant, seed]
            alone = figures_of(constant(scores_of(first, name)), 0.5, KIND, min_n)
            factors = {
                variant: dict(facts.factors) for variant, facts in section.variants.items() if facts.factors
            }
            datasets[name] = {
                "images": len(first),
                "effects": effects(factors, measured),
                "measured": measured,
                "variants": {
                    **{variant: over_seeds(figures) for variant, figures in measured.items()},
                    **{
                        title: over_seeds({0: figures_of(scores_of(scored[name], name), cut, KIND, min_n)})
                        for title, (cut, scored) in below.items()
                    },
                    CONSTANT: over_seeds({0: alone}),
                },
            }
        value = {
            "seeds": sorted({seed for seed, _ in section.trainings}),
            "kind": KIND,
            "datasets": datasets,
            "threshold": context.config.evaluate.threshold,
            "variants": {name: variant.model_dump(mode="json") for name, variant in section.variants.items()},
            "training": self._training(context, tasks),
            "floors_left_out": left_out,
        }
        folder = self.folder(run)
        write_json(folder / "ablation.json", value)
        write_text(folder / "ablation.md", as_markdown(value))
        return Outcome([folder / "ablation.json", folder / "ablation.md"], {"trainings": len(tasks)})

    def _floor(self, run: RunDirectory, floor: Predictor) -> tuple[float, dict[str, list[dict[str, Any]]]]:
        """The threshold of a floor, and its scores of every dataset."""
        evaluation = evaluation_of(run, floor, [], self.folder(run) / PARTS)
        scored: dict[str, list[dict[str, Any]]] = {}
        for source in sources_of(run):
            rows, _ = evaluation.scoring.scored(floor, source.manifest, source.split)
            scored |= source.parts(rows, source.name)
        cut = evaluation.cut(floor)
        evaluation.scoring.forget()
        return cut, scored

    def _training(self, context: Context, tasks: Sequence[Task]) -> dict[str, Any]:
        """Training images and identities of an arm (both arms have as many), and the precisions that were
        computed in.
        """
        work = [task.folder / "work" / f"{task.payload['variant']}-{task.payload['seed']}" for task in tasks]
        table = read_images(work[0] / "data")
        rows = [row for row in table.select(["split", "identity_id"]).to_pylist() if row["split"] == "train"]
        used = sorted(
            {str(read_json(folder / "detector" / "training.json").get("precision")) for folder in work}
        )
        if len(used) > 1:
            context.reporter.line(
                f"ablation: warning: trained in {' and '.join(used)}, on different machines; set"
                " train.precision"
            )
        return {
            "images": len(rows),
            "identities": len({row["identity_id"] for row in rows}),
            "precision": used,
        }
