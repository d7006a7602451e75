"""The section `cells`: how the cell model is fitted, and what its draws are to look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from manifests.taxonomy import get_taxonomy
from pipeline.engine.config_section import Count, Section, Share

Look = Literal["free", "own"] | dict[str, tuple[float, Annotated[float, Field(gt=0)]]]
_SCALE = (
    "`free`: as it comes; `own`: as the generator draws the cell unasked; or a mean and standard deviation by"
    " cell."
)


class LooksSection(Section):
    """What the draws of a cell are to look like: `fairforge measure-looks` writes it for photographs.

    Values are of the generator's own size.
    """

    brightness: Look = Field("free", description=f"Mean luma, 0 to 255. {_SCALE}")
    contrast: Look = Field("free", description=f"Standard deviation of the luma. {_SCALE}")
    sharpness: Look = Field(
        "free", description=f"Logarithm of 1 + the variance of the luma's Laplacian. {_SCALE}"
    )

    @property
    def wanted(self) -> dict[str, Any]:
        """Measure -> what is wanted of it, of those that are not free."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value != "free"}

    def check(self, taxonomy: str, cells: Sequence[str]) -> None:
        """Whether every cell that is drawn has its mean.

        Raises:
            ValueError: a name that is no cell of the taxonomy, or a cell without.
        """
        for name, value in self.wanted.items():
            if isinstance(value, Mapping):
                known = get_taxonomy(taxonomy).cells
                strange = [cell for cell in value if cell not in known]
                missing = [cell for cell in cells if cell not in value]
                if strange or missing:
                    text = f"names {', '.join(strange)}" if strange else f"lacks {', '.join(missing)}"
                    raise ValueError(
                        f"cells.looks.{name} {text}; the cells of {taxonomy} are {', '.join(known)}"
                    )


class CellsSection(Section):
    """How the cell model is fitted: latents drawn and labelled, then refined; see `generators.cells`.

    `looks` is written out only where it is used: without it, results and cache keys are those of a program
    that does not know it.
    """

    generator: str = Field(
        "starter64", description="Name (`fairforge list generators`) or file; of `sample` too."
    )
    attribute_model: str = Field(
        "fairforge-small", description="Labels the latents' pictures: a name or a weight file."
    )
    latents: Annotated[int, Field(ge=200)] = Field(6000, description="Latents drawn and labelled.")
    min_race_prob: Share = Field(0.5, description="Least probability of the race of a confident latent.")
    min_gender_prob: Share = Field(0.7, description="Least probability of the gender of a confident latent.")
    min_age_prob: Share = Field(0.4, description="Least probability of the age, where the taxonomy has ages.")
    min_latents: Annotated[int, Field(ge=4)] = Field(
        30, description="Fewest confident latents that a cell is fitted on."
    )
    keep_most: Annotated[int, Field(ge=10)] = Field(
        100, description="Most confident latents kept per cell, the surest."
    )
    refine_rounds: Annotated[int, Field(ge=0, le=20)] = Field(
        2, description="How often the model is fitted again on labelled draws of itself."
    )
    refine_draws: Annotated[int, Field(ge=6)] = Field(96, description="Those draws, per round and cell.")
    tries: Annotated[int, Field(ge=1, le=256)] = Field(
        4,
        description=(
            "Draws of which the latent reader keeps one: the first that it gives probability `sure`, else the"
            " likeliest."
        ),
    )
    sure: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="See `tries`; at 1 the likeliest is kept."
    )
    strengths: Annotated[tuple[Annotated[float, Field(gt=0, le=5)], ...], Field(min_length=1)] = Field(
        (1.0, 1.5, 2.0),
        description=(
            "Of the cell's mean, chosen per cell: the weakest whose hit rate is about the best, or `enough`."
        ),
    )
    enough: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="A hit rate that needs no stronger cell."
    )
    readers: Annotated[int, Field(ge=1, le=32)] = Field(
        1, description="Networks whose mean is the latent reader."
    )
    hit_rate_draws: Annotated[int, Field(ge=8)] = Field(
        96, description="Draws per cell that measure its hit rate."
    )
    looks: LooksSection = Field(
        LooksSection(), description="What the faces of each cell are to look like; see the keys below."
    )
    shard_size: Count = Field(500, description="Latents per shard.")

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if not self.looks.wanted:
            del values["looks"]
        return values

    @property
    def minima(self) -> dict[str, float]:
        """Axis -> the least probability of a sure label."""
        return {"race": self.min_race_prob, "gender": self.min_gender_prob, "age": self.min_age_prob}
