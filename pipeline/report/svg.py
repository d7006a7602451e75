"""Plots as small inline SVG. Colours and strokes come from the page's style sheet, so they follow light and
dark.

Series differ in colour and in dash pattern. Coordinates are rounded to 0.01: the same figures give the same
text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.report.markup import Html, join, tag

STYLES = 6
"""Styles of series in the style sheet: `s0` to `s5`."""


def place(value: float) -> str:
    """A coordinate as short text."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def label_of(value: float) -> str:
    """A tick's label."""
    return f"{value:.6g}"


def ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """About `count` round numbers from `low` to `high` (steps of 1, 2 or 5 times a power of ten).

    >>> ticks(0.0, 1.0)
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    if not high > low:
        return (low,)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(k * step, 12) for k in range(first, last + 1))


@dataclass(frozen=True)
class Axis:
    """One axis: its range in data units, its label, where it has ticks (round numbers when empty), and what
    these are called (their values when empty).
    """

    low: float
    high: float
    label: str
    marks: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def to(self, value: float, start: float, end: float) -> float:
        """Where `value` lies between the coordinates `start` and `end`."""
        span = self.high - self.low
        return start + (end - start) * ((value - self.low) / span if span else 0.5)

    @property
    def ticks(self) -> tuple[float, ...]:
        return self.marks or ticks(self.low, self.high)

    @property
    def named(self) -> list[tuple[float, str]]:
        """Ticks with their labels."""
        return list(zip(self.ticks, self.names or [label_of(value) for value in self.ticks], strict=True))


@dataclass(frozen=True)
class Line:
    """A series of points (x, y) in data units. `style` picks colour and dashes; `dots` draws the points too;
    `whiskers` are intervals of y, one per point; `behind` draws a thin grey line for comparison, whatever the
    style.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: int = 0
    dots: bool = False
    whiskers: Sequence[tuple[float, float]] = ()
    behind: bool = False


@dataclass(frozen=True)
class Frame:
    """Size of a plot and its margins, in SVG units (CSS pixels at full size)."""

    width: int = 360
    height: int = 300
    left: int = 50
    right: int = 14
    top: int = 12
    bottom: int = 44


@dataclass(frozen=True)
class LineChart:
    """Lines over common axes. `vertical` marks an x with a label; `diagonal` draws the line from corner to
    corner.
    """

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    frame: Frame = field(default_factory=Frame)
    vertical: tuple[float, str] | None = None
    diagonal: bool = False

    def _xy(self, point: tuple[float, float]) -> tuple[str, str]:
        frame = self.frame
        return (
            place(self.x.to(point[0], frame.left, frame.width - frame.right)),
            place(self.y.to(point[1], frame.height - frame.bottom, frame.top)),
        )

    def _axes(self) -> Html:
        frame = self.frame
        x0, x1, y0, y1 = frame.left, frame.width - frame.right, frame.height - frame.bottom, frame.top
        parts = []
        for value, name in self.y.named:
            y = place(self.y.to(value, y0, y1))
            parts += [
                tag("path", d=f"M{x0} {y}H{x1}", class_="grid"),
                tag("text", name, x=x0 - 6, y=y, class_="tick end"),
            ]
        for value, name in self.x.named:
            x = place(self.x.to(value, x0, x1))
            parts += [
                tag("path", d=f"M{x} {y0}v4", class_="axis"),
                tag("text", name, x=x, y=y0 + 15, class_="tick middle"),
            ]
        middle_x, middle_y = place((x0 + x1) / 2), place((y0 + y1) / 2)
        return join(
            [
                *parts,
                tag("path", d=f"M{x0} {y1}V{y0}H{x1}", class_="axis"),
                tag("text", self.x.label, x=middle_x, y=frame.height - 7, class_="label middle"),
                tag(
                    "text",
                    self.y.label,
                    x=0,
                    y=0,
                    class_="label middle",
                    transform=f"translate(13 {middle_y}) rotate(-90)",
                ),
            ]
        )

    def _line(self, line: Line) -> Html:
        at = [self._xy(point) for point in line.points]
        style = "behind" if line.behind else f"s{line.style % STYLES}"
        path = "M" + "L".join(f"{x} {y}" for x, y in at)
        dots = [tag("circle", cx=x, cy=y, r=2.5, class_=f"dot {style}") for x, y in at] if line.dots else []
        ends = [(self._xy((0, low))[1], self._xy((0, high))[1]) for low, high in line.whiskers]
        reach = "".join(f"M{x} {low}V{high}" for (x, _), (low, high) in zip(at, ends, strict=False))
        whiskers = [tag("path", d=reach, class_="whisker")] if reach else []
        return join([tag("path", tag("title", line.name), d=path, class_=f"line {style}"), *whiskers, *dots])

    def _vertical(self) -> Html:
        if self.vertical is None:
            return Html("")
        value, name = self.vertical
        x = self.x.to(value, self.frame.left, self.frame.width - self.frame.right)
        late = value > (self.x.low + self.x.high) / 2
        return join(
            [
                tag(
                    "path",
                    d=f"M{place(x)} {self.frame.top}V{self.frame.height - self.frame.bottom}",
                    class_="marker",
                ),
                tag(
                    "text",
                    name,
                    x=place(x + (-5 if late else 5)),
                    y=(self.frame.top + self.frame.height - self.frame.bottom) / 2,
                    class_=f"tick halo {'end' if late else ''}".strip(),
                ),
            ]
        )

    def draw(self) -> Html:
        """The plot as an SVG element that scales with its container, up to its own size."""
        parts = [self._axes()]
        if self.diagonal:
            (x0, y0), (x1, y1) = self._xy((self.x.low, self.y.low)), self._xy((self.x.high, self.y.high))
            parts.append(tag("path", d=f"M{x0} {y0}L{x1} {y1}", class_="marker"))
        parts += [*(self._line(line) for line in self.lines if line.points), self._vertical()]
        return svg(self.title, self.frame.width, self.frame.height, *parts)


def svg(title: str, width: int, height: int, *parts: Html) -> Html:
    """An SVG element with its alternative text."""
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=title,
    )


def swatch(style: int) -> Html:
    """A short piece of a series' line, for a legend."""
    piece = tag("path", d="M1 6H31", class_=f"line s{style % STYLES}")
    return tag("svg", piece, viewBox="0 0 32 12", width=32, height=12, aria_hidden="true", class_="swatch")


def legend(entries: Sequence[tuple[int, object]]) -> Html:
    """A list of series: swatch and text."""
    return tag(
        "ul", *(tag("li", swatch(style), tag("span", name)) for style, name in entries), class_="legend"
    )
