"""Horizontal bars for rates of groups, from 0 to 1, with their intervals and a line for the whole set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.markup import Html, join, tag
from pipeline.report.svg import place, svg

WIDTH, ROW, TOP, BOTTOM = 360, 26, 8, 22
LEFT, RIGHT = 152, 42


@dataclass(frozen=True)
class Bar:
    """One group: its name, a note (such as n), its value or None with the reason, its interval."""

    name: str
    note: str
    value: float | None
    interval: tuple[float, float] | None = None
    reason: str = ""


def _x(value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(value, 0.0), 1.0)


def _row(bar: Bar, top: float) -> Html:
    middle = top + ROW / 2
    name = tag(
        "text",
        bar.name,
        tag("tspan", f" {bar.note}", class_="muted"),
        x=LEFT - 8,
        y=place(middle),
        class_="tick end",
    )
    if bar.value is None:
        return join(
            [name, tag("text", "n/a", tag("title", bar.reason), x=LEFT + 5, y=place(middle), class_="tick")]
        )
    said = f"{bar.name}: {bar.value:.3f}"
    parts = [
        name,
        tag(
            "rect",
            tag("title", said),
            x=LEFT,
            y=place(top + 6),
            width=place(_x(bar.value) - LEFT),
            height=ROW - 12,
            class_="bar",
        ),
    ]
    if bar.interval is not None:
        low, high = (place(_x(v)) for v in bar.interval)
        parts.append(
            tag(
                "path",
                d=f"M{low} {place(middle)}H{high}M{low} {place(middle - 4)}v8M{high} {place(middle - 4)}v8",
                class_="whisker",
            )
        )
    parts.append(tag("text", f"{bar.value:.3f}", x=WIDTH, y=place(middle), class_="tick end"))
    return join(parts)


def bar_chart(title: str, bars: Sequence[Bar], whole: float | None) -> Html:
    """Bars, one per group, over an axis from 0 to 1; `whole` is the value over all groups, a dashed line."""
    bottom = TOP + ROW * len(bars)
    parts = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = place(_x(value))
        parts += [
            tag("path", d=f"M{x} {TOP}V{bottom}", class_="grid"),
            tag("text", f"{value:g}", x=x, y=bottom + 12, class_="tick middle"),
        ]
    parts += [_row(bar, TOP + ROW * k) for k, bar in enumerate(bars)]
    if whole is not None:
        x = place(_x(whole))
        said = tag("title", f"all groups together: {whole:.3f}")
        parts.append(tag("path", said, d=f"M{x} {TOP - 4}V{bottom}", class_="whole"))
    return svg(title, WIDTH, bottom + BOTTOM, *parts)
