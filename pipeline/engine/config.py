"""The configuration: frozen pydantic models, one per section of the TOML file.

Every field's description is its line in docs/configuration.md (`fairforge config reference`). `[execute]`
(how to run) enters no cache key: the result is the same at any worker count. Loading, `--set` and error texts
are in `pipeline.engine.config_file`, the section `cells` in `pipeline.engine.config_cells`, `sample` in
`pipeline.engine.config_sample`, `forge` and `pair` in `pipeline.engine.config_fakes`, those of what comes
after the dataset in `pipeline.engine.config_outcome`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from detector.training.settings import TrainSettings
from manifests.errors import UsageError
from manifests.schema import PHOTOGRAPH
from manifests.taxonomy import TAXONOMIES, get_taxonomy
from pipeline.engine.config_ablation import AblationSection
from pipeline.engine.config_cells import CellsSection
from pipeline.engine.config_execute import ExecuteSection
from pipeline.engine.config_fakes import ForgeSection, PairSection
from pipeline.engine.config_outcome import (
    AuditSection,
    CrossSection,
    EvaluateSection,
    ReleaseSection,
    ReportSection,
)
from pipeline.engine.config_sample import SampleSection
from pipeline.engine.config_section import Count, Section, Share, check_names
from pipeline.engine.executors.registry import EXECUTORS

KNOWN_EXECUTORS = ("local", "process", "ray", "slurm")
"""Known without their registry."""


class RunSection(Section):
    """Who this run is."""

    name: str = Field("demo", description="Of the run, and of its dataset in the manifest.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        2026,
        description=(
            "All draws of the run come from it; `--seed`. The detector's training follows it unless "
            "`train.seed` is a number."
        ),
    )


class RunExecuteSection(ExecuteSection):
    """How to run; never part of a cache key."""

    @field_validator("executor")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in KNOWN_EXECUTORS:
            check_names(EXECUTORS, [value])
        return value


class DatasetSection(Section):
    """What the dataset is."""

    taxonomy: str = Field("fairface4", description="The cells: see `fairforge list taxonomies`.")
    image_size: Annotated[int, Field(ge=32, le=2048)] = Field(64, description="Side of every image, pixels.")
    per_cell: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        56, description="Identities per cell, and per origin where there are several; `--limit`."
    )
    splits: dict[str, Share] = Field(
        {"train": 0.6, "val": 0.2, "test": 0.2},
        description="Share of the identities in train, val and test; the sum is 1.",
    )
    only: tuple[str, ...] = Field(
        (), description="The cells wanted, e.g. Black-Female; none for all of the taxonomy."
    )
    weights: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(
        {}, description="Times `per_cell`, by cell, for cells that shall have more or fewer identities."
    )
    generated_as: Literal["real", "fake"] = Field(
        "real",
        description=(
            "With `sample.source` both: generated faces are real images beside the photographs, or fakes of"
            " family synthesis, as many as photographs in each cell, of which nothing is forged."
        ),
    )

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in TAXONOMIES:
            raise ValueError(f"unknown taxonomy; choose one of {', '.join(TAXONOMIES)}")
        return value

    @model_validator(mode="after")
    def _shares(self) -> DatasetSection:
        if set(self.splits) - {"train", "val", "test"}:
            raise ValueError("splits are named train, val, test")
        if abs(sum(self.splits.values()) - 1) > 1e-6:
            raise ValueError(f"the split shares sum to {sum(self.splits.values()):g}, not 1")
        return self

    @field_validator("only", "weights")
    @classmethod
    def _cells_by_name(cls, value: Any, info: ValidationInfo) -> Any:
        if "taxonomy" not in info.data:
            return value
        taxonomy, known = get_taxonomy(info.data["taxonomy"]), {}
        for name in value:
            try:
                known[name] = taxonomy.find_cell(name)
            except UsageError:
                cells = ", ".join(taxonomy.cells)
                raise ValueError(f"{name} is no cell of {taxonomy.name}; choose among {cells}") from None
        return (
            {known[name]: w for name, w in value.items()}
            if isinstance(value, dict)
            else tuple(known.values())
        )

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells wanted, in the order of the taxonomy."""
        known = get_taxonomy(self.taxonomy).cells
        return tuple(cell for cell in known if not self.only or cell in self.only)

    def wanted(self, cell: str) -> int:
        """Identities of a cell: `per_cell` times its weight, at least 1."""
        return max(1, round(self.per_cell * self.weights.get(cell, 1.0)))


class VerifySection(Section):
    """What makes a candidate an accepted face.

    `training_index`, `min_training_distance` and `policy` are written out only where they are used: without
    them, results and cache keys are those of a program that does not know them.
    """

    face_detector: str = Field(
        "mtcnn", description="See `fairforge list attribute-models`, family detection."
    )
    attribute_model: str = Field(
        "fairforge-small", description="Perceived race, gender, age: a name, weight file or .toml."
    )
    landmarker: str = Field("fairforge-mesh148", description="The landmark model.")
    identity_model: str = Field(
        "dlib-resnet", description="The identity embedding, and so the unit of its distances."
    )
    min_face_score: Share = Field(0.9, description="Least score of the face detector.")
    min_race_prob: Share = Field(0.5, description="Least calibrated probability of the cell's race.")
    min_gender_prob: Share = Field(0.7, description="Least calibrated probability of the cell's gender.")
    min_age_prob: Share = Field(
        0.4, description="Least calibrated probability of the cell's age, where cells have ages."
    )
    min_sharpness: Annotated[float, Field(ge=0.0)] = Field(
        20.0, description="Least variance of the Laplacian."
    )
    min_identity_distance: Annotated[float, Field(ge=0.0, le=2.0)] = Field(
        0.25, description="A face nearer than this to one accepted before it is a duplicate."
    )
    training_index: str = Field(
        "", description="Index of training faces (`fairforge identity-index`); empty: none."
    )
    min_training_distance: Annotated[float, Field(ge=0.0, le=2.0)] = Field(
        0.3, description="A face nearer than this to one of `training_index` is refused."
    )
    policy: str = Field(
        "",
        description=(
            "File of `fairforge verification-policy`; its thresholds then take the place of the min_*_prob."
        ),
    )
    slack: Annotated[float, Field(ge=1.0, le=10.0)] = Field(
        1.15, description="Accepted faces per cell over `dataset.per_cell`, for forgeries that fail."
    )
    shard_size: Count = Field(64, description="Candidates per shard.")

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if not self.training_index:
            del values["training_index"], values["min_training_distance"]
        if not self.policy:
            del values["policy"]
        return values


class Config(Section):
    """The whole configuration of a run."""

    run: RunSection = RunSection()
    execute: RunExecuteSection = RunExecuteSection()
    dataset: DatasetSection = DatasetSection()
    cells: CellsSection = CellsSection()
    sample: SampleSection = SampleSection()
    verify: VerifySection = VerifySection()
    forge: ForgeSection = ForgeSection()
    pair: PairSection = PairSection()
    audit: AuditSection = AuditSection()
    cross: CrossSection = CrossSection()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSection = EvaluateSection()
    ablation: AblationSection = AblationSection()
    release: ReleaseSection = ReleaseSection()
    report: ReportSection = ReportSection()

    @model_validator(mode="after")
    def _sources(self) -> Config:
        if self.dataset.generated_as == "fake" and self.sample.source != "both":
            raise ValueError(
                "dataset.generated_as = fake needs photographs as the real class: set sample.source = both"
            )
        return self

    @model_validator(mode="after")
    def _looks(self) -> Config:
        self.cells.looks.check(self.dataset.taxonomy, self.dataset.cells)
        return self

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of the real images, in the order in which identities are settled."""
        return (PHOTOGRAPH,) if self.fakes_are_generated else self.sample.origins

    @property
    def fakes_are_generated(self) -> bool:
        """Whether generated faces are fakes beside real photographs."""
        return self.sample.source == "both" and self.dataset.generated_as == "fake"

    def training(self) -> TrainSettings:
        """The settings of `[train]`; their seed is `run.seed` where `train.seed` is `auto`."""
        return self.train.seeded(self.run.seed)

    def with_values(self, **sections: dict[str, Any]) -> Config:
        """A copy with some keys of some sections replaced, checked again."""
        data = self.model_dump()
        for name, values in sections.items():
            data[name] = {**data[name], **values}
        return Config.model_validate(data)
