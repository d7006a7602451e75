"""Stage `cross`: a second dataset of another origin, forged by the same methods, for testing alone.

Photographs where `cross.photographs` (or `$FAIRFORGE_DATA/fairface128/dev.parquet`) names some; else a
synthetic set with another seed, psi and codec, or none where the run itself uses no generator; see
`cross.source`. It is a run of its own inside this one: `cross/sample`, ..., `cross/dataset`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from pipeline.engine.config import Config
from pipeline.engine.markers import FileFact
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES
from pipeline.stages.cross.source import find_photographs, has_cross, origin
from pipeline.stages.forge.stage import ForgeStage
from pipeline.stages.pair.stage import PairStage
from pipeline.stages.sample.stage import SampleStage, cell_model_path
from pipeline.stages.verify.stage import VerifyStage

INNER: tuple[Stage, ...] = (SampleStage(), VerifyStage(), ForgeStage(), PairStage())


def inner_config(run: RunDirectory) -> Config:
    """The configuration of the second dataset: everything is its test split."""
    config, photographs = run.config, find_photographs(run.config)
    forge: dict[str, Any] = {}
    sample: dict[str, Any] = {
        "source": "generator",
        "photographs": (),
        "psi": config.cross.psi,
        "cell_model": str(cell_model_path(run)),
    }
    if photographs:
        sample = {"source": "photographs", "photographs": (str(photographs),), "counterfactual": False}
        forge = _methods_for_photographs(config)
    return config.with_values(
        run={"name": f"{config.run.name}-cross", "seed": (config.run.seed + config.cross.seed_shift) % 2**63},
        dataset={"per_cell": config.cross.per_cell, "splits": {"test": 1.0}, "generated_as": "real"},
        sample=sample,
        forge=forge,
        pair={"codec": config.cross.codec, "quality": config.cross.quality},
    )


def _methods_for_photographs(config: Config) -> dict[str, Any]:
    """The methods of section `forge` that do without a latent: a photograph has none. All of them where none
    would be left.
    """
    from generators.forgeries import FORGERIES

    kept = {
        key: tuple(name for name in getattr(config.forge, key) if not FORGERIES.get(name).facts["latent"])
        for key in ("methods", "held_out")
    }
    return dict(kept) if kept["methods"] else {}


@STAGES.register("cross")
class CrossStage(Stage):
    """Makes the second dataset by the stages sample, verify, forge and pair."""

    name = "cross"
    after = "audit"
    needs = ()

    @property
    def spreads(self) -> bool:
        return True  # its inner stages do

    def skipped(self, config: Config) -> str:
        return (
            ""
            if has_cross(config)
            else "no second dataset: cross.source is none, or auto without photographs and generator"
        )

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        return () if find_photographs(run.config) or run.config.sample.cell_model else ("cells",)

    def config(self, run: RunDirectory) -> dict[str, Any]:
        inner = self._inner(run)
        own = {"seed": inner.config.run.seed, "origin": origin(run.config), "wanted": has_cross(run.config)}
        return {**own, **{stage.name: {"version": stage.version, **stage.config(inner)} for stage in INNER}}

    def weights(self, run: RunDirectory) -> dict[str, str]:
        inner = self._inner(run)
        return {
            f"{stage.name}/{what}": digest for stage in INNER for what, digest in stage.weights(inner).items()
        }

    def files(self, run: RunDirectory) -> dict[str, str]:
        inner = self._inner(run)
        return {
            f"{stage.name}/{what}": digest for stage in INNER for what, digest in stage.files(inner).items()
        }

    def _inner(self, run: RunDirectory) -> RunDirectory:
        """The second dataset's run directory: what its stages read of configuration, weights and files is
        what this one reads.
        """
        return RunDirectory(self.folder(run), inner_config(run))

    def files_of(self, run: RunDirectory) -> Iterable[FileFact]:
        inner = self._inner(run)
        return chain.from_iterable(stage.files_of(inner) for stage in INNER)

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from pipeline.engine.runner import Flags, run_stage

        inner = self._inner(context.run)
        marker: dict[str, Any] = {}
        own = frozenset(stage.name for stage in INNER)
        work = Context(inner, context.executor, context.reporter.inside("cross"), context.fresh, own)
        for stage in INNER:
            marker = run_stage(work, stage, Flags(), context.config.execute.compares("whole"))
        folder = inner.folder("pair")
        return Outcome(
            [folder / "manifest.parquet", inner.folder("verify") / "acceptance.json"],
            {"origin": origin(context.config), "images": marker["summary"]["images"]},
        )
