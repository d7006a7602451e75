"""The interval of an AUC by inverting a score test: a candidate belongs to it if the AUC found is not further
off than chance takes it there.

The variance is that at the candidate (Newcombe, "Confidence intervals for an effect size measure based on the
Mann-Whitney statistic", Statistics in Medicine 2006, method 5), not that at the AUC found: near 1 few rows
are out of order, and DeLong's variance of a small set is far too small as often as not. It is the variance of
a binormal pair of classes with this AUC: of V = [t(1-t) + (m-1)(Q1-t^2) + (n-1)(Q2-t^2)] / mn (Hanley and
McNeil, Radiology 1982) Q1 and Q2 are chances that two correlated normal numbers are positive. Which class
varies more, one number, is what DeLong's components say; where they say that both vary more than binormal
classes do, all of it is made larger by as much.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import ndtri, owens_t

from detector.metrics.rate_intervals import quantile
from manifests.proportions import LEVEL

BISECTIONS = 45
NARROW = 1e-12
"""An AUC nearer to 0 or 1 than this has no variance."""


class Classes(NamedTuple):
    """What the variance of an AUC depends on besides the AUC.

    fakes, reals: effective numbers of rows, 1 or more; share: of the fakes' variance in both classes' of
    binormal scores, in [0, 1]; factor: by which the variance is larger or smaller than theirs; freedom:
    degrees of freedom, inf where every row stands alone.
    """

    fakes: float
    reals: float
    share: float = 0.5
    factor: float = 1.0
    freedom: float = math.inf


def placements(area: float, share: float) -> tuple[float, float]:
    """Variances of binormal fakes' and reals' components (Q1 - t^2 and Q2 - t^2) at this AUC."""
    if not NARROW < area < 1 - NARROW:
        return 0.0, 0.0
    at = float(ndtri(area))
    first, second = (
        area - 2 * float(owens_t(at, math.sqrt((1 - part) / (1 + part)))) - area * area
        for part in (share, 1 - share)
    )
    return max(first, 0.0), max(second, 0.0)


def share_of(area: float, fakes: float, reals: float) -> float:
    """The share at which binormal components have variances in the proportion of these; 0.5 without any."""
    if fakes + reals <= 0 or not NARROW < area < 1 - NARROW:
        return 0.5
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        first, second = placements(area, middle)
        low, high = (middle, high) if first * reals < second * fakes else (low, middle)
    return (low + high) / 2


def variance(area: float, classes: Classes) -> float:
    """Of the estimate of an AUC of this value."""
    first, second = placements(area, classes.share)
    alone = area * (1 - area) + (classes.reals - 1) * first + (classes.fakes - 1) * second
    return classes.factor * alone / (classes.fakes * classes.reals)


def area_interval(area: float, classes: Classes, level: float = LEVEL) -> tuple[float, float]:
    """The AUCs from which `area` is not further off than `level` allows; (NaN, NaN) of NaN."""
    if not math.isfinite(area):
        return math.nan, math.nan
    reach = quantile(classes.freedom, level) ** 2
    ends = []
    for far in (0.0, 1.0):
        near = area
        for _ in range(BISECTIONS if area != far else 0):
            middle = (near + far) / 2
            if (area - middle) ** 2 <= reach * variance(middle, classes):
                near = middle
            else:
                far = middle
        ends.append(near)
    return ends[0], ends[1]
