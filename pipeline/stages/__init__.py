"""The stages, in the order they run."""

from pipeline.stages.audit import AuditStage
from pipeline.stages.base import Stage
from pipeline.stages.cells import CellsStage
from pipeline.stages.cross import CrossStage
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
