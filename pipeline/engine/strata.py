"""Strata: a cell and, where faces have several origins, their origin. What has a quota, and a share of each
split of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

NO_CELL = "no cell"
"""Photographs that were refused before their cell was known."""


def stratum_name(cell: str, origin: str, origins: Sequence[str]) -> str:
    """`White/Male, photograph`; `White/Male` where there is one origin alone."""
    return f"{cell}, {origin}" if len(origins) > 1 else cell


def names_by_cell(cells: Sequence[str], found: Collection[str]) -> Iterator[str]:
    """The strata among `found`, in the order of the cells; a cell that none is of stands for itself."""
    for cell in cells:
        yield from sorted(name for name in found if name == cell or name.startswith(f"{cell}, ")) or [cell]
