"""The stages, in the order they run, and those that run only where the configuration asks for them."""

from pipeline.config import Config
from pipeline.stages.ablation import AblationStage
from pipeline.stages.audit import AuditStage
from pipeline.stages.base import Stage
from pipeline.stages.cells import CellsStage
from pipeline.stages.cross import CrossStage, fits_cells, has_cross
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
    """The stages of a run with this configuration, in order; see `skipped`."""
    stages = [stage for stage in STAGES if stage.name not in skipped(config)]
    return [*stages, *(OPTIONAL if config.ablation.variants else [])]


def skipped(config: Config) -> dict[str, str]:
    """Why a run with this configuration has no stage of a name: `cells` only where something draws from its fit."""
    out = {}
    if not fits_cells(config):
        fit = "its fit is given by sample.cell_model" if config.sample.cell_model else "no face comes from a generator"
        out["cells"] = fit
    if not has_cross(config):
        out["cross"] = "no second dataset: cross.source is none, or auto without photographs and generator"
    return out
