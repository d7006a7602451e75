"""`[ablation]` of the configuration: which variants of training, under which seeds, on which arm of the
data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from manifests.errors import UsageError
from pipeline.engine.config_section import Section

Seed = Annotated[int, Field(ge=0, lt=2**62)]
Origins = tuple[Literal["synthetic", "photograph"], ...]


def _not_fixed(value: dict[str, Any]) -> dict[str, Any]:
    fixed = sorted({"seed", "threads", "start"} & set(value))
    if fixed:
        raise ValueError(
            f"{', '.join(fixed)}: not a variant's own: seeds are `ablation.seeds`, every training has one"
            " thread, and what one goes on from is `first`"
        )
    return value


class AblationFirst(Section):
    """A training before a variant's own, which goes on from its weights."""

    origins: Origins = Field((), description="Origins of its training and validation faces; empty: all.")
    train: Annotated[dict[str, Any], AfterValidator(_not_fixed)] = Field(
        {}, description="Keys of [train] that replace the variant's values."
    )


class AblationVariant(Section):
    """One variant of training."""

    data: Literal["balanced", "unbalanced"] = Field(
        "balanced", description="The arm of the data it is trained on."
    )
    origins: Origins = Field(
        (),
        description=(
            "Origins of its training and validation faces; empty: all. Whatever they are, it has as many"
            " identities."
        ),
    )
    first: AblationFirst | None = Field(
        None, description="A training before it, such as one on generated faces before one on photographs."
    )
    train: Annotated[dict[str, Any], AfterValidator(_not_fixed)] = Field(
        {}, description="Keys of [train] that replace its values."
    )
    factors: dict[str, str] = Field({}, description="Its level of each factor, for the effects' table.")
    seeds: tuple[Seed, ...] = Field((), description="Its own seeds; empty: those of all variants.")


class AblationSection(Section):
    """Variants x seeds of training; nothing is done without variants."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        (1, 2, 3), description="Every variant without seeds of its own is trained under each."
    )
    shares: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        {}, description="Of each cell in the unbalanced arm; what is not named shares the rest equally."
    )
    variants: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+-]+$")], AblationVariant] = Field(
        {}, description="The variants, by name: [ablation.variants.NAME]."
    )

    @property
    def trainings(self) -> list[tuple[int, str]]:
        """(seed, variant) of every training: all variants under the first seed of each, then under the
        second, ...
        """
        each = {name: variant.seeds or self.seeds for name, variant in self.variants.items()}
        most = max(map(len, each.values()), default=0)
        return [(seeds[k], name) for k in range(most) for name, seeds in each.items() if k < len(seeds)]

    def shares_of(self, cells: Sequence[str]) -> dict[str, float]:
        """The shares of all cells, summing to 1; what is not named shares the rest equally.

        Raises:
            UsageError: a name that is no cell, or shares that leave nothing to the others.
        """
        unknown = [name for name in self.shares if name not in cells]
        rest = [cell for cell in cells if cell not in self.shares]
        left = 1 - sum(self.shares.values())
        if unknown or (rest and left <= 0) or (not rest and abs(left) > 1e-6):
            raise UsageError(
                "ablation.shares",
                f"do not fit: unknown {unknown}" if unknown else f"sum to {1 - left:.3f}",
                f"give shares below 1 in all, of: {', '.join(cells)}",
            )
        return {cell: self.shares.get(cell, left / max(len(rest), 1)) for cell in cells}
