"""The section `sample`: where candidate faces come from, and which photographs are tried."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from manifests.registry import nearest
from manifests.schema import PHOTOGRAPH, SYNTHETIC
from manifests.taxonomy import AGES
from pipeline.engine.config_section import Count, Section, Share

DEFAULT_STRATEGY = "projection"
"""Known without its registry."""
STRICT = {
    "max_outside_frac": 0.05,
    "max_yaw": 0.3,
    "min_sharpness": 25.0,
    "min_brightness": 45.0,
    "ages": AGES,
}
"""The limits of `filters = "strict"`: clean borders, about frontal, sharp, lit; of any age."""
Limit = Annotated[float, Field(ge=0.0)]


class PhotographFilters(Section):
    """Which photographs are tried at all. A limit applies where the parquet file has its column."""

    max_outside_frac: Share = Field(
        0.2, description="Largest share of the crop that lies outside the picture."
    )
    max_yaw: Limit = Field(
        0.45, description="Largest turn of the head to either side, as `yaw_proxy` has it."
    )
    max_residual: Limit = Field(1.0, description="Largest distance of the five points from their template.")
    min_sharpness: Limit = Field(15.0, description="Least variance of the Laplacian.")
    min_brightness: Limit = Field(35.0, description="Least mean grey level, 0 to 255.")
    min_face_prob: Share = Field(0.0, description="Least score of the face detector that made the file.")
    ages: tuple[str, ...] = Field(AGES[2:], description=f"Perceived ages, among {', '.join(AGES)}.")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return STRICT if value == "strict" else value

    @field_validator("ages")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [age for age in value if age not in AGES]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is none of: {', '.join(AGES)}")
        return value


class SampleSection(Section):
    """Candidates: from the generator's cells, from photographs, or from both."""

    source: Literal["generator", "photographs", "both"] = Field(
        "generator",
        description=(
            "Where candidate faces come from; with both, each cell has as many of the one as of the other."
        ),
    )
    photographs: tuple[str, ...] = Field(
        (),
        description=(
            "Where photographs are: imported manifests, folders of images (with `attributes.csv` or"
            " `.parquet`, or without annotations), or parquet files of annotated faces; one path or a list."
        ),
    )
    filters: PhotographFilters = Field(
        PhotographFilters(),
        description=(
            "Which photographs of a parquet file are tried; a table, or `strict` for the limits of earlier"
            " versions."
        ),
    )
    tries: Annotated[int, Field(ge=1, le=1000)] = Field(
        3,
        description=(
            "Photographs tried per identity wanted; of those without an annotated cell, per identity of all"
            " cells together."
        ),
    )
    cell_model: str = Field(
        "",
        description=(
            "Cells fitted before: the file of another run (cells/model.safetensors), or a name of `fairforge"
            " weights list`; empty: those of this run."
        ),
    )
    psi: Annotated[float, Field(gt=0.0, le=2.0)] = Field(
        0.8, description="Shrinks towards the cell's own mean; 1: not at all."
    )
    strategy: str = Field(
        DEFAULT_STRATEGY,
        description=(
            "How latents are drawn: `projection` from the fitted cells, `rejection` from the generator as it "
            "is, `search` around "
            "confident latents, ...; see `fairforge list strategies`."
        ),
    )
    strength: Annotated[float, Field(ge=0.0, le=3.0)] = Field(
        1.0,
        description=(
            "Times the one chosen for the cell, moves it away from the mean of all cells: above 1 faces are "
            "more typical of it."
        ),
    )
    step: Annotated[float, Field(gt=0.0, le=2.0)] = Field(0.5, description="Of the strategy `search`, in Z.")
    counterfactual: bool = Field(
        False, description="Candidates come in sets: the same complement draw under every cell."
    )
    oversample: Annotated[float, Field(ge=1.0, le=20.0)] = Field(
        1.25, description="Candidates over what the quotas and hit rates ask for."
    )
    max_per_cell: Count = Field(
        100_000, description="A cell that would need more candidates ends the run (exit 4)."
    )
    shard_size: Count = Field(64, description="Candidates per shard.")

    @field_validator("photographs", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return ((value,) if value else ()) if isinstance(value, str) else value

    @field_validator("photographs")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each source is named once")
        return value

    @model_validator(mode="after")
    def _sets(self) -> SampleSection:
        if self.counterfactual and self.source != "generator":
            raise ValueError("counterfactual sets come from a generator alone: set source = generator")
        return self

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of the candidates: a photograph goes before a generated face that resembles it."""
        found = {"generator": (SYNTHETIC,), "photographs": (PHOTOGRAPH,), "both": (PHOTOGRAPH, SYNTHETIC)}
        return found[self.source]

    @property
    def generates(self) -> bool:
        """Whether candidates come from a generator."""
        return SYNTHETIC in self.origins

    @field_validator("strategy")
    @classmethod
    def _registered(cls, name: str) -> str:
        if name != DEFAULT_STRATEGY:  # the registry brings torch, which most commands do without
            from generators.strategies import STRATEGIES

            if name not in STRATEGIES.names():
                raise ValueError(
                    f"{name!r} is none of: {', '.join(STRATEGIES.names())}{nearest(name, STRATEGIES.names())}"
                )
        return name
