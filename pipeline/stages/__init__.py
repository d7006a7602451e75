"""The stages, in the order they run, and those that run only where the configuration asks for them."""

from pipeline.config import Config
from pipeline.stages.ablation import AblationStage
from pipeline.stages.audit import AuditStage
from pipeline.stages.base import Stage
from pipeline.stages.cells import CellsStage
from pipeline.stages.cross import CrossStage, fits_cells
from pipeline.stages.evaluate import EvaluateStage
from pipeline.stages.forge import ForgeStage
from pipeline.stages.pair import PairStage
from pipeline.stages.release import ReleaseStage
from pipeline.stages.report import ReportStage
from pipeline.stages.sample import SampleStage
from pipeline.stages.train import TrainStage
from pipeline.stages.verify import VerifyStage

STAGES: list[Stage] = [
    CellsStage(), SampleStage(), VerifyStage(), ForgeStage(), PairStage(), AuditStage(), CrossStage(), TrainStage(),
    EvaluateStage(), ReleaseStage(), ReportStage(),
]

OPTIONAL: list[Stage] = [AblationStage()]


def stages_of(config: Config) -> list[Stage]:
    """The stages of a run with this configuration, in order: `cells` only where something draws from its fit."""
    stages = STAGES if fits_cells(config) else [stage for stage in STAGES if stage.name != "cells"]
    return [*stages, *(OPTIONAL if config.ablation.variants else [])]
