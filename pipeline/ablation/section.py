"""`[ablation]` of the configuration: which variants of training, under which seeds, on which arm of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from manifests.errors import UsageError


class AblationVariant(BaseModel):
    """One variant: the arm of the data it is trained on, settings over those of `[train]`, and its level of each factor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Literal["balanced", "unbalanced"] = "balanced"
    train: dict[str, Any] = {}
    factors: dict[str, str] = {}


class AblationSection(BaseModel):
    """Variants x seeds of training; nothing is done without variants. `shares`: of each cell in the unbalanced arm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**62)], ...], Field(min_length=1)] = (1, 2, 3)
    shares: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    variants: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+-]+$")], AblationVariant] = {}

    def shares_of(self, cells: Sequence[str]) -> dict[str, float]:
        """The shares of all cells, summing to 1; what is not named shares the rest equally.

        Raises:
            UsageError: a name that is no cell, or shares that leave nothing to the others.
        """
        unknown = [name for name in self.shares if name not in cells]
        rest = [cell for cell in cells if cell not in self.shares]
        left = 1 - sum(self.shares.values())
        if unknown or (rest and left <= 0) or (not rest and abs(left) > 1e-6):
            raise UsageError("ablation.shares", f"do not fit: unknown {unknown}" if unknown else f"sum to {1 - left:.3f}",
                             f"give shares below 1 in all, of: {', '.join(cells)}")
        return {cell: self.shares.get(cell, left / max(len(rest), 1)) for cell in cells}
