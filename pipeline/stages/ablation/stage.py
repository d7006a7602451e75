"""Stage `ablation`: variants of training x seeds, each a shard; runs only where the configuration has
variants.

A shard trains one detector on one arm of the data and scores the test split, the held-out forgeries and the
second dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from detector.training.settings import ONLINE
from manifests.atomic import write_json, write_text
from manifests.contents import Digests
from manifests.store import read_images
from pipeline.engine.config import Config
from pipeline.engine.config_ablation import AblationVariant
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES
from pipeline.stages.ablation.arms import write_arm
from pipeline.stages.ablation.figures import PERMUTATIONS, effects, groups_over_seeds, measure, over_seeds
from pipeline.stages.ablation.text import as_markdown
from pipeline.stages.cross.source import has_cross, origin, with_cross
from pipeline.stages.evaluate.evaluation import PARTS, Source
from pipeline.stages.evaluate.floors import Predictor, policy_threshold, previous_digest
from pipeline.stages.evaluate.image_scores import COLUMNS, score_manifest
from pipeline.stages.evaluate.measuring import constant, scores_of
from pipeline.stages.evaluate.stage import (
    floor_weights,
    floors_of,
    scoring_of,
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


@dataclass(frozen=True)
class Phase:
    """One training of a variant. origins: of its images; none: all."""

    train: TrainSettings
    origins: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """What a shard needs: one variant under one seed.

    first: the training before `then`, where the variant has one. shares, arm: of the training data, see
    `write_arm`. threshold: a policy. sources: what it is measured on. feeding: threads that read images.
    """

    variant: str
    seed: int
    first: Phase | None
    then: Phase
    arm: str
    shares: Mapping[str, float]
    manifest: Path
    threshold: str
    sources: tuple[Source, ...]
    device: str
    feeding: int
    digests: Digests

    def folder(self, stage_folder: Path) -> Path:
        """Where it works."""
        return stage_folder / "work" / f"{self.variant}-{self.seed}"


def train_variant(task: Task[Trial]) -> pa.Table:
    """Train one variant under one seed and score every dataset; its scores, one row per image and dataset."""
    from detector import load_detector
    from detector.training.loop import train
    from detector.training.settings import TrainSettings
    from pipeline.engine.executors import one_thread
    from pipeline.stages.train.online import forge_of

    one_thread()
    trial = task.payload
    work = trial.folder(task.folder)
    arm, start = work / "data", ""
    for name, phase in (("first", trial.first), ("detector", trial.then)):
        if phase is None:
            continue
        data = work / f"{name}-data" if name == "first" else arm
        write_arm(trial.manifest, data, trial.shares, trial.arm, trial.seed, phase.origins)
        own = {"seed": trial.seed, "threads": 1, "start": start}
        settings = TrainSettings.model_validate({**phase.train.model_dump(mode="json"), **own})
        train(
            settings,
            data,
            work / name,
            lambda line: None,
            device=trial.device,
            workers=trial.feeding,
            build_forge=forge_of(settings.model_dump()),
            digests=trial.digests,
        )
        start = str(work / name)
    threads, digests = trial.feeding, trial.digests
    model = load_detector(work / "detector", device=trial.device)
    threshold = policy_threshold(trial.threshold, lambda: score_manifest(model, arm, "val", threads, digests))
    parts: dict[str, list[dict[str, Any]]] = {}
    for source in trial.sources:
        rows = score_manifest(model, source.manifest, source.split, threads, digests)
        parts |= source.parts(rows, source.name)
    same = {"variant": trial.variant, "seed": trial.seed, "threshold": threshold}
    return pa.Table.from_pylist(
        [{**row, **same, "dataset": name} for name, rows in parts.items() for row in rows], schema=SCHEMA
    )


def _first(variant: AblationVariant, phases: Sequence[TrainSettings]) -> Phase | None:
    """The training before the last one, where a variant has one."""
    return None if variant.first is None else Phase(phases[0], variant.first.origins)


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
        config, phases, jobs = context.config, self._phases(run), section.trainings
        feeding = max(1, config.execute.workers // min(len(jobs), context.executor.workers))
        trials = [
            Trial(
                variant=name,
                seed=seed,
                first=_first(section.variants[name], phases[name]),
                then=Phase(phases[name][-1], section.variants[name].origins),
                arm=section.variants[name].data,
                shares=section.shares_of(config.dataset.cells),
                manifest=run.folder("pair") / "manifest.parquet",
                threshold=config.evaluate.threshold,
                sources=tuple(sources_of(run)),
                device=config.execute.device,
                feeding=feeding,
                digests=config.execute.compares("whole"),
            )
            for seed, name in jobs
        ]
        return [
            Task(self.name, k, self.folder(run), key, train_variant, trial) for k, trial in enumerate(trials)
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
            whole = {
                variant: {
                    seed: measure(
                        scores_of(rows[name, variant, seed], name),
                        rows[name, variant, seed][0]["threshold"],
                        KIND,
                        min_n,
                        PERMUTATIONS,
                    )
                    for seed, of in section.trainings
                    if of == variant
                }
                for variant in section.variants
            }
            measured = {
                variant: {seed: one.figures for seed, one in of.items()} for variant, of in whole.items()
            }
            seed, variant = section.trainings[0]
            first = rows[name, variant, seed]
            alone = measure(constant(scores_of(first, name)), 0.5, KIND, min_n).figures
            factors = {
                variant: dict(facts.factors) for variant, facts in section.variants.items() if facts.factors
            }
            datasets[name] = {
                "images": len(first),
                "effects": effects(factors, measured),
                "measured": measured,
                "groups": {variant: groups_over_seeds(of) for variant, of in whole.items()},
                "chance": {
                    variant: {seed: one.chance for seed, one in of.items()} for variant, of in whole.items()
                },
                "variants": {
                    **{variant: over_seeds(figures) for variant, figures in measured.items()},
                    **{
                        title: over_seeds(
                            {0: measure(scores_of(scored[name], name), cut, KIND, min_n).figures}
                        )
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
        scoring = scoring_of(run, self.folder(run) / PARTS)
        scored: dict[str, list[dict[str, Any]]] = {}
        for source in sources_of(run):
            rows, _ = scoring.scored(floor, source.manifest, source.split)
            scored |= source.parts(rows, source.name)
        policy = run.config.evaluate.threshold
        cut = scoring.threshold(floor, policy, run.folder("pair") / "manifest.parquet")
        scoring.forget()
        return cut, scored

    def _training(self, context: Context, tasks: Sequence[Task]) -> dict[str, Any]:
        """Training images and identities of an arm (both arms have as many), and the precisions that were
        computed in.
        """
        work = [task.payload.folder(task.folder) for task in tasks]
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
