"""Figures of a run as HTML. Each stands in `<data value="...">` with the value of the file, beside what is
shown of it.

Undefined is shown as `n/a` with the reason; a figure that is missing is never made up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, TypeGuard

from pipeline.report.markup import Html, join, tag

UNDEFINED = "undefined in the file"


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a finite number (True and False are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def undefined(reason: str = UNDEFINED) -> Html:
    """`n/a`, with the reason on hovering and for screen readers."""
    return tag("abbr", "n/a", title=reason, class_="na")


def exact(value: float, shown: str) -> Html:
    """`shown`, carrying the exact value."""
    return tag("data", shown, value=json.dumps(value))


def decimal(value: Any, digits: int = 3, reason: str = UNDEFINED) -> Html:
    """A figure with a fixed number of decimals."""
    return exact(value, f"{value:.{digits}f}") if is_number(value) else undefined(reason)


def percent(value: Any, digits: int = 1, reason: str = UNDEFINED) -> Html:
    """A share in [0, 1] as a percentage."""
    return exact(value, f"{100 * value:.{digits}f} %") if is_number(value) else undefined(reason)


def count(value: Any, reason: str = UNDEFINED) -> Html:
    """A whole number with thousands set apart."""
    return exact(value, f"{value:,}") if is_number(value) else undefined(reason)


def ratio(part: Any, whole: Any) -> Html:
    """`part` / `whole` as a percentage; undefined where there is no whole. The page computes it, so it is no
    `data`.
    """
    if not (is_number(part) and is_number(whole) and whole > 0):
        return undefined("nothing was attempted")
    return tag("span", f"{100 * part / whole:.1f} %")


def is_interval(value: Any) -> TypeGuard[Sequence[float]]:
    """Whether `value` is two finite numbers."""
    return isinstance(value, Sequence) and len(value) == 2 and all(is_number(v) for v in value)


def with_interval(value: Any, interval: Any, reason: str = UNDEFINED) -> Html:
    """A figure with its confidence interval below it, where there is one."""
    shown = decimal(value, reason=reason)
    if not (is_number(value) and is_interval(interval)):
        return shown
    low, high = interval
    return join([shown, tag("span", f"{low:.3f}\u2013{high:.3f}", class_="interval")])


def plain(value: Any) -> Html:
    """Any JSON value, readable: numbers with at most four significant decimals, lists joined by commas."""
    if value is None:
        return undefined()
    if isinstance(value, bool):
        return tag("span", "yes" if value else "no")
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return exact(value, f"{value:.4g}") if is_number(value) else undefined()
    if isinstance(value, list | tuple):
        return join((plain(item) for item in value), ", ")
    if isinstance(value, dict):
        return join((join([key, ": ", plain(item)]) for key, item in value.items()), "; ")
    return tag("span", value)
