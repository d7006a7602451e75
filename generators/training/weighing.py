"""Images drawn by quality: a weight in [0, 1] out of columns of parquet, and the rows of an epoch by it.

All usable images enter, the poorer ones less often, where `--keep` would leave them out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from generators.training.sources import Item
from manifests.errors import UsageError
from manifests.seeding import rng_of

_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
_RAMP = re.compile(rf"^\s*(abs\()?\s*(\w+)\s*(\))?\s*:\s*{_NUMBER}\s*\.\.\s*{_NUMBER}\s*$")
EXAMPLE = "for example --weigh sharpness:5..25 --weigh 'abs(yaw_proxy):0.6..0.3'"


@dataclass(frozen=True)
class Ramp:
    """A factor of the weight: 0 at `zero` and beyond, 1 at `one` and beyond, linear between them.

    column: of parquet, numbers. absolute: whether their size alone counts.
    """

    column: str
    absolute: bool
    zero: float
    one: float

    def of(self, text: str) -> float:
        """The factor of a value, in [0, 1]; 0 where it is no finite number.

        Args:
            text: the value as text.
        """
        try:
            value = float(text)
        except ValueError:
            return 0.0
        if not math.isfinite(value):
            return 0.0
        value = abs(value) if self.absolute else value
        return min(max((value - self.zero) / (self.one - self.zero), 0.0), 1.0)


def parse_ramps(texts: Sequence[str]) -> tuple[Ramp, ...]:
    """`COLUMN:ZERO..ONE` or `abs(COLUMN):ZERO..ONE` texts; ZERO may be above ONE.

    Args:
        texts: one for each column.

    Raises:
        UsageError: not of that form, both ends equal, or a column twice.
    """
    out: list[Ramp] = []
    for text in texts:
        found = _RAMP.match(text)
        if not found or bool(found[1]) != bool(found[3]):
            raise UsageError(f"--weigh {text!r}", "is not of the form COLUMN:ZERO..ONE", EXAMPLE)
        zero, one = float(found[4]), float(found[5])
        if zero == one or not math.isfinite(zero) or not math.isfinite(one):
            raise UsageError(f"--weigh {text!r}", "does not say where the weight is 0 and where 1", EXAMPLE)
        if found[2] in [ramp.column for ramp in out]:
            raise UsageError(f"--weigh {text!r}", f"weighs {found[2]} a second time", "give it once")
        out.append(Ramp(found[2], bool(found[1]), zero, one))
    return tuple(out)


def weighed_items(items: Iterable[Item], ramps: Sequence[Ramp]) -> Iterator[tuple[Item, float]]:
    """Items whose labels end in the columns of the ramps (`.../23.5/0.1`), without these, and their weights:
    the product of the factors. Those of weight 0, or with a value missing, are left out.

    Args:
        items: as `read_source` gives them.
        ramps: in the order of the columns.
    """
    for name, data, label in items:
        if label is None:
            continue
        parts = str(label).split("/")
        front, values = parts[: -len(ramps)], parts[-len(ramps) :]
        weight = math.prod(ramp.of(value) for ramp, value in zip(ramps, values, strict=True))
        if weight > 0:
            yield (name, data, "/".join(front) or None), weight


@dataclass(frozen=True)
class WeightedRows:
    """The rows of epochs that are drawn anew for each: every group as often as any other, within it every
    image in proportion to its weight.

    weights: float64 [N], above 0. groups: int64 [N], from 0; all 0 where none are to be balanced. An epoch
    has as many rows of each group as the largest has images. They are drawn systematically (Carpenter et al.,
    IEE Proc. Radar 146(1), 1999): a row is drawn as often as is expected of it, rounded up or down by chance.
    """

    weights: npt.NDArray[np.float64]
    groups: npt.NDArray[np.int64]
    _drawn: dict[tuple[int, int], npt.NDArray[np.int64]] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        counts = np.bincount(self.groups)
        return int(counts.max() * len(counts))

    def of(self, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """The rows of an epoch, ascending: int64 [len(self)]. A function of the arguments alone.

        Args:
            seed: of the run.
            epoch: from 0.
        """
        if (seed, epoch) not in self._drawn:
            if len(self._drawn) > 2:
                self._drawn.clear()
            self._drawn[seed, epoch] = self._draw(seed, epoch)
        return self._drawn[seed, epoch]

    def _draw(self, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        counts = np.bincount(self.groups)
        size, out = int(counts.max()), []
        for group in range(len(counts)):
            own = np.flatnonzero(self.groups == group)
            ends = np.cumsum(self.weights[own])
            start = rng_of(seed, "weighed", epoch, group).random()
            at = np.searchsorted(ends, (start + np.arange(size)) / size * ends[-1], side="right")
            out.append(own[np.minimum(at, len(own) - 1)])
        return np.sort(np.concatenate(out))


def weighted_rows(weights: Sequence[float], groups: Sequence[str] | None) -> WeightedRows:
    """Rows by weight, and by group where there are groups.

    Args:
        weights: of every image, above 0.
        groups: of every image, to be seen equally often.
    """
    names = {name: k for k, name in enumerate(sorted(set(groups or ())))}
    numbers = [names[name] for name in groups] if groups else [0] * len(weights)
    return WeightedRows(np.array(weights, np.float64), np.array(numbers, np.int64))
