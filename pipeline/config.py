"""The configuration: frozen pydantic models, one per section of the TOML file.

Sections under `KEYED` enter cache keys; `[execute]` (how to run) does not: the result is the same at any worker count.
Loading, `--set` and error texts are in `pipeline.config_file`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from manifests.errors import UsageError
from manifests.registry import nearest
from manifests.taxonomy import TAXONOMIES, get_taxonomy
from pipeline.ablation.section import AblationSection

DEFAULT_STRATEGY = "projection"
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunSection(Section):
    """Who this run is."""

    name: str = "demo"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 2026


class ExecuteSection(Section):
    """How to run; never part of a cache key."""

    executor: Literal["local", "process"] = "process"
    workers: Count = 2
    device: str = "cpu"


class DatasetSection(Section):
    """What the dataset is: taxonomy, size in pixels, identities per cell, split shares.

    only: the cells wanted, none for all of the taxonomy. weights: times `per_cell`, for cells that shall have more or fewer.
    """

    taxonomy: str = "fairface4"
    image_size: Annotated[int, Field(ge=32, le=2048)] = 64
    per_cell: Annotated[int, Field(ge=1, le=10_000_000)] = 56
    splits: dict[str, Share] = {"train": 0.6, "val": 0.2, "test": 0.2}
    only: tuple[str, ...] = ()
    weights: dict[str, Annotated[float, Field(gt=0, le=100)]] = {}

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
        return {known[name]: w for name, w in value.items()} if isinstance(value, dict) else tuple(known.values())

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells wanted, in the order of the taxonomy."""
        known = get_taxonomy(self.taxonomy).cells
        return tuple(cell for cell in known if not self.only or cell in self.only)

    def wanted(self, cell: str) -> int:
        """Identities of a cell: `per_cell` times its weight, at least 1."""
        return max(1, round(self.per_cell * self.weights.get(cell, 1.0)))


class CellsSection(Section):
    """How the cell model is fitted: latents drawn and labelled, confidence kept, draws to measure hit rates.

    refine_rounds, refine_draws: the model is fitted again on so many labelled draws of itself, per round and cell. tries: draws
    of which the latent reader keeps one: the first that it gives probability `sure`, else (and at 1) the likeliest. strengths: of
    the cell's mean, chosen per cell: the weakest whose hit rate is about the best or `enough` (see `generators.cells.refine`).
    readers: networks whose mean is the latent reader.
    """

    generator: str = "starter64"
    attribute_model: str = "fairforge-small"
    latents: Annotated[int, Field(ge=200)] = 6000
    min_race_prob: Share = 0.5
    min_gender_prob: Share = 0.7
    min_age_prob: Share = 0.4
    min_latents: Annotated[int, Field(ge=4)] = 30
    keep_most: Annotated[int, Field(ge=10)] = 100
    refine_rounds: Annotated[int, Field(ge=0, le=20)] = 2
    refine_draws: Annotated[int, Field(ge=6)] = 96
    tries: Annotated[int, Field(ge=1, le=256)] = 4
    sure: Annotated[float, Field(gt=0, le=1)] = 1.0
    strengths: Annotated[tuple[Annotated[float, Field(gt=0, le=5)], ...], Field(min_length=1)] = (1.0, 1.5, 2.0)
    enough: Annotated[float, Field(gt=0, le=1)] = 1.0
    readers: Annotated[int, Field(ge=1, le=32)] = 1
    hit_rate_draws: Annotated[int, Field(ge=8)] = 96
    shard_size: Count = 500

    @property
    def minima(self) -> dict[str, float]:
        """Axis -> the least probability of a sure label."""
        return {"race": self.min_race_prob, "gender": self.min_gender_prob, "age": self.min_age_prob}


class SampleSection(Section):
    """Candidates: from the generator's cells, or from a parquet of annotated photographs.

    strategy: one of `fairforge list strategies`: `projection` draws from the fitted cells, `rejection` from the generator as it
    is, `search` around confident latents. psi shrinks towards the cell's own mean; strength, times the one chosen for the
    cell, moves the cell away from the mean of all cells: above 1 faces are more typical of their cell. step: of `search`, in Z.
    counterfactual: candidates come in sets, the same complement draw under every cell.
    """

    source: Literal["generator", "photographs"] = "generator"
    photographs: str = ""
    cell_model: str = ""
    psi: Annotated[float, Field(gt=0.0, le=2.0)] = 0.8
    strategy: str = DEFAULT_STRATEGY
    strength: Annotated[float, Field(ge=0.0, le=3.0)] = 1.0
    step: Annotated[float, Field(gt=0.0, le=2.0)] = 0.5
    counterfactual: bool = False
    oversample: Annotated[float, Field(ge=1.0, le=20.0)] = 1.25
    max_per_cell: Count = 100_000
    shard_size: Count = 64

    @field_validator("strategy")
    @classmethod
    def _registered(cls, name: str) -> str:
        if name != DEFAULT_STRATEGY:  # the registry brings torch, which most commands do without
            from generators.strategies import STRATEGIES

            if name not in STRATEGIES.names():
                raise ValueError(f"{name!r} is none of: {', '.join(STRATEGIES.names())}{nearest(name, STRATEGIES.names())}")
        return name


class VerifySection(Section):
    """What makes a candidate an accepted face. Probabilities are calibrated; sharpness is the Laplacian's variance.

    training_index: an index of training faces (`fairforge identity-index`); a face nearer to one of them than
    min_training_distance is refused. policy: a file of `fairforge verification-policy`; its thresholds then take the place of
    the min_*_prob. These keys are written out only where they are used: without them, results and cache keys are those of a
    program that does not know them.
    """

    face_detector: str = "mtcnn"
    attribute_model: str = "fairforge-small"
    landmarker: str = "fairforge-mesh148"
    identity_model: str = "dlib-resnet"
    min_face_score: Share = 0.9
    min_race_prob: Share = 0.5
    min_gender_prob: Share = 0.7
    min_age_prob: Share = 0.4
    min_sharpness: Annotated[float, Field(ge=0.0)] = 20.0
    min_identity_distance: Annotated[float, Field(ge=0.0, le=2.0)] = 0.25
    training_index: str = ""
    min_training_distance: Annotated[float, Field(ge=0.0, le=2.0)] = 0.3
    policy: str = ""
    slack: Annotated[float, Field(ge=1.0, le=10.0)] = 1.15
    shard_size: Count = 64

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if not self.training_index:
            del values["training_index"], values["min_training_distance"]
        if not self.policy:
            del values["policy"]
        return values


class ForgeSection(Section):
    """Which fakes: `methods` for every split, `held_out` for the test split alone; and the gates each must pass.

    With `gates` a fake that fails one is made again with another second face, then refused with the reason; see
    `pipeline.forging.gates`. Distances are between identity embeddings. swap_margin: by how much nearer the source than
    the target a swap must be. max_identity_drift: how far from the target a reenactment may be. min_transferred: share
    of the driver's motion that must arrive. max_seam: grey levels per 1/64 face width by which the mask's edge may be
    steeper than in the target.
    """

    methods: tuple[str, ...] = ("swap-delaunay", "blend-self")
    held_out: tuple[str, ...] = ("reenact-warp",)
    params: dict[str, dict[str, Any]] = {}
    min_mask_share: Share = 0.02
    max_mask_share: Share = 0.9
    gates: bool = True
    swap_margin: Annotated[float, Field(ge=-2.0, le=2.0)] = 0.0
    max_identity_drift: Annotated[float, Field(ge=0.0, le=2.0)] = 0.6
    min_transferred: Annotated[float, Field(ge=-10.0, le=10.0)] = 0.25
    max_seam: Annotated[float, Field(ge=0.0)] = 4.0
    shard_size: Count = 64

    @model_validator(mode="after")
    def _apart(self) -> ForgeSection:
        both = sorted(set(self.methods) & set(self.held_out))
        if both:
            raise ValueError(f"{', '.join(both)} cannot be trained on and held out at once")
        if not self.methods:
            raise ValueError("name at least one method")
        return self


class PairSection(Section):
    """How real and fake are encoded: one codec, one quality draw per pair.

    qualities: where any are named, every image is there once in each, pixel by pixel aligned, with a common `tuple_id`, and
    `codec` is not used: `raw` (PNG), `c23` and `c40` (H.264 at that rate factor, kept as PNG), `jpeg` and `webp` at the pair's
    quality draw.
    """

    qualities: tuple[Literal["raw", "c23", "c40", "jpeg", "webp"], ...] = ()
    codec: Literal["jpeg", "webp", "png"] = "jpeg"
    quality: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = (80, 95)
    allow_short: bool = False
    shard_size: Count = 128

    @field_validator("quality")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError("the lower quality comes first")
        return value

    @field_validator("qualities")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each quality is named once")
        return value

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if not self.qualities:
            del values["qualities"]
        return values


class AuditSection(Section):
    """Which audits, with which limits."""

    audits: tuple[str, ...] = ("balance", "duplicates", "leaks", "shortcut")
    params: dict[str, dict[str, Any]] = {}


class CrossSection(Section):
    """The second dataset, of another origin: photographs where there are some, else another synthetic set."""

    photographs: str = ""
    per_cell: Annotated[int, Field(ge=1)] = 24
    seed_shift: Annotated[int, Field(ge=1)] = 1
    psi: Annotated[float, Field(gt=0.0, le=2.0)] = 0.9
    codec: Literal["jpeg", "webp", "png"] = "webp"
    quality: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = (70, 90)


class EvaluateSection(Section):
    """Threshold policy and how fairness is measured."""

    threshold: Annotated[str, Field(pattern=r"^(fixed|val-eer|val-fpr@(0?\.\d+|[01])|0?\.\d+|[01])$")] = "fixed"
    mode: Literal["corrected", "purdue"] = "corrected"
    replicates: Annotated[int, Field(ge=10, le=100_000)] = 500
    min_n: Count = 5


class ReleaseSection(Section):
    """Who gives the dataset away, and under which terms. `date`, of publication, is given: none is said where it is empty."""

    name: str = "FairForge demo"
    version: str = "0.1.0"
    date: str = ""
    creators: tuple[str, ...] = ("FairForge maintainers",)
    licence: str = "CC BY 4.0"
    description: str = (
        "Balanced real/fake faces: synthetic faces of every perceived race x gender cell, and forgeries made of them."
    )
    citation: str = ""
    url: str = ""


class ReportSection(Section):
    """The HTML page: how many identities per cell the contact sheet shows."""

    columns: Annotated[int, Field(ge=1, le=32)] = 4


class Config(Section):
    """The whole configuration of a run."""

    run: RunSection = RunSection()
    execute: ExecuteSection = ExecuteSection()
    dataset: DatasetSection = DatasetSection()
    cells: CellsSection = CellsSection()
    sample: SampleSection = SampleSection()
    verify: VerifySection = VerifySection()
    forge: ForgeSection = ForgeSection()
    pair: PairSection = PairSection()
    audit: AuditSection = AuditSection()
    cross: CrossSection = CrossSection()
    train: dict[str, Any] = {}
    evaluate: EvaluateSection = EvaluateSection()
    ablation: AblationSection = AblationSection()
    release: ReleaseSection = ReleaseSection()
    report: ReportSection = ReportSection()

    def with_values(self, **sections: dict[str, Any]) -> Config:
        """A copy with some keys of some sections replaced, checked again."""
        data = self.model_dump()
        for name, values in sections.items():
            data[name] = {**data[name], **values}
        return Config.model_validate(data)
