"""What is measured of a generator, and which settings are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.errors import UsageError
from pipeline.faces.features import Crop

LEAST = 100
SIDES, MOST_PSI = (16, 2048), 2
"""Common sides in pixels and truncations that can be asked for."""


@dataclass(frozen=True)
class MetricSettings:
    """What is measured. references, identities: the most of each reference used, of each set embedded (0:
    all).

    balance: a taxonomy, whose cells have equally many faces in each reference.
    """

    generator: str
    data: Path
    held_out: Path | None = None
    count: int = 2000
    references: int = 2000
    identities: int = 500
    space: str = "attributes"
    space_params: Mapping[str, Any] = field(default_factory=dict)
    resolution: int | None = None
    crop: Crop = "whole"
    filters: Mapping[str, Any] = field(default_factory=dict)
    balance: str | None = None
    cells: Path | None = None
    cell_draws: int = 64
    psi: float = 1.0
    strength: float = 1.5
    strategy: str = "projection"
    seed: int = 2026
    device: str = "cpu"


def check(settings: MetricSettings) -> None:
    """Refuse settings out of range.

    Raises:
        UsageError: all of them are named.
    """
    wrong = {
        f"--count {settings.count}": settings.count < LEAST,
        f"--references {settings.references}": 0 < settings.references < LEAST,
        f"--resolution {settings.resolution}": (
            settings.resolution is not None and not SIDES[0] <= settings.resolution <= SIDES[1]
        ),
        f"--psi {settings.psi}": not (math.isfinite(settings.psi) and 0 < settings.psi <= MOST_PSI),
    }
    named = [text for text, is_wrong in wrong.items() if is_wrong]
    if named:
        raise UsageError(
            ", ".join(named),
            "cannot be used",
            f"at least {LEAST} pictures of a kind, a side of {SIDES[0]} to {SIDES[1]} pixels, psi above 0 and"
            f" at most {MOST_PSI}",
        )
