"""Stages `cross/sample`, `cross/verify`, `cross/forge`, `cross/pair`: a second dataset of another origin, for
testing alone.

Photographs where `cross.photographs` (or `$FAIRFORGE_DATA/fairface128/dev.parquet`) names some; else a
synthetic set with another seed, psi and codec, or none where the run itself uses no generator; see
`cross.source`. The stages are those of the dataset itself, in the folder `cross` and with a configuration of
their own.
"""

from __future__ import annotations

from typing import Any

from pipeline.engine.config import Config
from pipeline.engine.nested import NestedStage
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.stage import group_of
from pipeline.engine.stages import STAGES
from pipeline.stages.cross.source import find_photographs, has_cross
from pipeline.stages.forge.stage import ForgeStage
from pipeline.stages.pair.stage import PairStage
from pipeline.stages.sample.stage import SampleStage, cell_model_path
from pipeline.stages.verify.stage import VerifyStage


def inner_config(run: RunDirectory) -> Config:
    """The configuration of the second dataset: everything is its test split."""
    config, photographs = run.config, find_photographs(run.config)
    forge: dict[str, Any] = {}
    sample: dict[str, Any] = {
        "source": "generator",
        "photographs": (),
        "psi": config.cross.psi,
        "cell_model": config.sample.cell_model or str(cell_model_path(run)),
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


class CrossStage(NestedStage):
    """A stage of the second dataset, with the configuration `inner_config`."""

    remedy = "set cross.source = generator, or name cross.photographs"

    def scope(self, run: RunDirectory) -> RunDirectory:
        return RunDirectory(run.folder(group_of(self.name)), inner_config(run))

    def skipped(self, config: Config) -> str:
        if has_cross(config):
            return ""
        return "no second dataset: cross.source is none, or auto without photographs and generator"


@STAGES.register("cross/sample")
class CrossSample(CrossStage):
    """Candidates of the second dataset."""

    name = "cross/sample"
    after = "audit"
    inner = SampleStage()

    def outer_inputs(self, run: RunDirectory) -> tuple[str, ...]:
        return () if find_photographs(run.config) or run.config.sample.cell_model else ("cells",)


@STAGES.register("cross/verify")
class CrossVerify(CrossStage):
    """Which candidates of the second dataset are accepted."""

    name = "cross/verify"
    after = "cross/sample"
    inner = VerifyStage()


@STAGES.register("cross/forge")
class CrossForge(CrossStage):
    """Fakes of the second dataset's faces."""

    name = "cross/forge"
    after = "cross/verify"
    inner = ForgeStage()


@STAGES.register("cross/pair")
class CrossPair(CrossStage):
    """The second dataset's manifest."""

    name = "cross/pair"
    after = "cross/forge"
    inner = PairStage()
