"""What a tie counts in tests of gaps and in their intervals: a half, or a share drawn once.

Where few rows are called fake, a gap takes few values, and many draws have exactly the gap found. Such ties
speak neither for nor against a difference. `random` counts a share of them, drawn once, uniform in [0, 1)
(Stevens, Biometrika 1950; Dufour, Journal of Econometrics 2006): its level is exact where a gap is found, and
where ties matter another draw may decide otherwise. Where no gap is found, nothing is drawn and half of them
count: a detector without a single alarm is never told to differ between groups. `mid` counts half of them
everywhere (Lancaster, JASA 1961): nothing but the data decides, but the test rejects too seldom where alarms
are few, and its interval is too wide. Beside every p stand its bounds, with no tie counted and with all of
them; the p of any share lies on the line between.

The draw comes out of the seed, the rows that the figure is of (labels and scores, in any order; of F_FPR the
reals alone, of F_TPR the fakes) and the figure's name. So the same scores, seed and settings give the same p,
and the same reals the same p of F_FPR, whatever fakes stand beside them. The rows have their part in it
because a seed alone, which hardly anybody changes, would count the same share in every study: over studies
that is no draw.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.metrics.replicates import TIE, Floats
from manifests.errors import UsageError
from manifests.seeding import rng_of

Choice = Literal["mid", "random"]
CHOICES: tuple[Choice, ...] = ("mid", "random")
DEFAULT: Choice = "random"
MID = 0.5
OF_ONE_CLASS = {"F_FPR": 0, "F_EFPR": 0, "F_TPR": 1}
"""Gaps that are of rows of one label alone."""


class Tail(NamedTuple):
    """How often a gap as large as the one found is drawn: without ties and with all of them, in [0, 1].

    Floats, or float64 [...] of many experiments.
    """

    without: Any
    with_all: Any

    def p(self, share: float | Floats = MID) -> Any:
        """How often, where this share of the ties counts."""
        return self.without + share * (self.with_all - self.without)


def tail(found: Any, drawn: Floats, finer: Any = 0.0, finer_drawn: Floats | float = 0.0) -> Tail:
    """How often a gap as large as `found` is drawn where nothing is different.

    Gaps between shares of few rows take few values, and the difference of two gaps is often at its bound:
    were ties counted whole, such a test would almost never reject. A finer measure of the same difference
    orders them first.

    Args:
        found: the gap, or float64 [...] of many experiments.
        drawn: float64 [..., R], gaps of the draws; those that are not finite are left aside. The gap found
            counts as one more draw, a tie.
        finer: the finer measure of what was found, float64 [...].
        finer_drawn: the finer measure of the draws, float64 [..., R].
    """
    finite = np.isfinite(drawn)
    with np.errstate(invalid="ignore"):
        more = drawn - np.asarray(found)[..., None]
        rest = finer_drawn - np.asarray(finer)[..., None]
        tied = finite & (np.abs(more) <= TIE)
        above = (finite & (more > TIE)) | (tied & (rest > TIE))
        equal = tied & (np.abs(rest) <= TIE)
    whole = finite.sum(-1) + 1
    without = above.sum(-1) / whole
    return Tail(without, without + (equal.sum(-1) + 1) / whole)


class Ties:
    """Which share of the ties counts, by the figure that is tested.

    Args:
        choice: `mid` or `random`.
        seed: of the draw.
        y: int [N], 0 real or 1 fake.
        rows: further columns of the data, one value per row each; they and y have their part in the draw, the
            order of the rows does not count.

    Raises:
        UsageError: another choice.
    """

    def __init__(self, choice: str, seed: int, y: npt.ArrayLike, *rows: npt.ArrayLike) -> None:
        if choice not in CHOICES:
            raise UsageError(f"ties {choice!r}", "is not known", f"choose {' or '.join(CHOICES)}")
        self.random, self.seed = choice == "random", seed
        columns = [np.asarray(column) for column in (y, *rows)]
        self.columns = columns
        self.rows: dict[int | None, str] = {}

    def share(self, *figure: str, found: float) -> float:
        """Of a figure, named by its kind of groups and its gap: 0.5, or a number in [0, 1).

        found: the gap, or the difference of two gaps; where it is 0 nothing is drawn.
        """
        if not self.random or not where_drawn(found):
            return MID
        rows = self._digest(OF_ONE_CLASS.get(figure[-1]))
        return float(rng_of(self.seed, "ties", rows, *figure).random())

    def _digest(self, label: int | None) -> str:
        """Of the rows with this label; None: of all."""
        if label not in self.rows:
            part = slice(None) if label is None else self.columns[0] == label
            self.rows[label] = digest_of(*(one[part] for one in self.columns))
        return self.rows[label]


def where_drawn(found: Any) -> Any:
    """Whether a share of the ties is drawn where this gap is found, or bool [...] of many; not for one of
    0.
    """
    return np.abs(found) > TIE


def digest_of(*columns: npt.ArrayLike) -> str:
    """A name for the rows of these columns, whatever their order."""
    values = [np.asarray(column, np.float64) + 0.0 for column in columns]  # -0 is 0
    digest = hashlib.blake2b(digest_size=16)
    for column in _ordered(values):
        digest.update(column.astype("<f8").tobytes())
    return digest.hexdigest()


def _ordered(values: list[Floats]) -> list[Floats]:
    """The rows of these columns by the first one, then by the second, and so on."""
    if len(values) == 2 and np.isin(values[0], (0, 1)).all():  # labels: two plain sorts, which are faster
        parts = [np.sort(values[1][values[0] == label]) for label in (0, 1)]
        return [np.repeat([0.0, 1.0], [len(part) for part in parts]), np.concatenate(parts)]
    order = np.lexsort(values[::-1])
    return [column[order] for column in values]
