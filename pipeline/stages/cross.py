"""Stage `cross`: a second dataset of another origin, forged by the same methods, for testing alone.

Photographs where `cross.photographs` (or `$FAIRFORGE_DATA/fairface128/dev.parquet`) names some; else a synthetic set
with another seed, psi and codec, or none where the run itself uses no generator; see `cross.source`. It is a run of its
own inside this one: `cross/sample`, ..., `cross/dataset`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from manifests.errors import MissingError
from pipeline.config import Config
from pipeline.markers import FileFact
from pipeline.run_directory import RunDirectory
from pipeline.shards import Task
from pipeline.stages.base import Context, Outcome, Stage
from pipeline.stages.forge import ForgeStage
from pipeline.stages.pair import PairStage
from pipeline.stages.sample import SampleStage, cell_model_path
from pipeline.stages.verify import VerifyStage

INNER: tuple[Stage, ...] = (SampleStage(), VerifyStage(), ForgeStage(), PairStage())


def find_photographs(config: Config) -> Path | None:
    """The photographs that the second dataset is made of, or None.

    Raises:
        MissingError: `cross.photographs` names something that is not there.
    """
    if config.cross.source != "auto":
        return None
    if config.cross.photographs:
        path = Path(config.cross.photographs)
        if not path.exists():
            raise MissingError(str(path), "is not there", "mend cross.photographs, or leave it empty")
        return path
    folder = os.environ.get("FAIRFORGE_DATA", "")
    path = Path(folder) / "fairface128" / "dev.parquet"
    if not folder or not path.is_file():
        return None
    return None if os.path.realpath(path) in map(os.path.realpath, config.sample.photographs) else path


def origin(config: Config) -> str:
    """`photographs` or `synthetic`."""
    return "photographs" if find_photographs(config) else "synthetic"


def fits_cells(config: Config) -> bool:
    """Whether a run fits cells of its own: its faces or those of its second dataset come from a generator, no fit is named."""
    if config.sample.cell_model:
        return False
    return config.sample.generates or _draws(config)


def has_cross(config: Config) -> bool:
    """Whether a run has a second dataset."""
    return _named(config) or _draws(config) or find_photographs(config) is not None


def with_cross(needs: tuple[str, ...], config: Config) -> tuple[str, ...]:
    """The names of stages, without `cross` where a run has none."""
    return needs if has_cross(config) else tuple(name for name in needs if name != "cross")


def _named(config: Config) -> bool:
    return config.cross.source == "auto" and bool(config.cross.photographs)


def _draws(config: Config) -> bool:
    """Whether the second dataset comes from a generator."""
    if config.cross.source != "auto":
        return config.cross.source == "generator"
    return config.sample.generates and not _named(config) and find_photographs(config) is None


def inner_config(run: RunDirectory) -> Config:
    """The configuration of the second dataset: everything is its test split."""
    config, photographs = run.config, find_photographs(run.config)
    forge: dict[str, Any] = {}
    sample: dict[str, Any] = {
        "source": "generator", "photographs": (), "psi": config.cross.psi, "cell_model": str(cell_model_path(run)),
    }
    if photographs:
        sample = {"source": "photographs", "photographs": (str(photographs),), "counterfactual": False}
        forge = _methods_for_photographs(config)
    return config.with_values(
        run={"name": f"{config.run.name}-cross", "seed": (config.run.seed + config.cross.seed_shift) % 2**63},
        dataset={"per_cell": config.cross.per_cell, "splits": {"test": 1.0}, "generated_as": "real"}, sample=sample,
        forge=forge, pair={"codec": config.cross.codec, "quality": config.cross.quality},
    )


def _methods_for_photographs(config: Config) -> dict[str, Any]:
    """The methods of section `forge` that do without a latent: a photograph has none. All of them where none would be left."""
    from generators.forgeries import FORGERIES

    kept = {key: tuple(name for name in getattr(config.forge, key) if not FORGERIES.get(name).facts["latent"])
            for key in ("methods", "held_out")}
    return dict(kept) if kept["methods"] else {}


class CrossStage(Stage):
    """Makes the second dataset by the stages sample, verify, forge and pair."""

    name = "cross"
    needs = ()

    @property
    def spreads(self) -> bool:
        return True  # its inner stages do

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        return () if find_photographs(run.config) or run.config.sample.cell_model else ("cells",)

    def config(self, run: RunDirectory) -> dict[str, Any]:
        inner = self._inner(run)
        own = {"seed": inner.config.run.seed, "origin": origin(run.config), "wanted": has_cross(run.config)}
        return {**own, **{stage.name: {"version": stage.version, **stage.config(inner)} for stage in INNER}}

    def weights(self, run: RunDirectory) -> dict[str, str]:
        inner = self._inner(run)
        return {f"{stage.name}/{what}": digest for stage in INNER for what, digest in stage.weights(inner).items()}

    def files(self, run: RunDirectory) -> dict[str, str]:
        inner = self._inner(run)
        return {f"{stage.name}/{what}": digest for stage in INNER for what, digest in stage.files(inner).items()}

    def _inner(self, run: RunDirectory) -> RunDirectory:
        """The second dataset's run directory: what its stages read of configuration, weights and files is what this one reads."""
        return RunDirectory(self.folder(run), inner_config(run))

    def files_of(self, run: RunDirectory) -> Iterable[FileFact]:
        inner = self._inner(run)
        return chain.from_iterable(stage.files_of(inner) for stage in INNER)

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from pipeline.runner import Flags, run_stage

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
