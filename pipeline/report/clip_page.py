"""The page of `fairforge av evaluate`: AUC by kind of fake and by cell, and clips with mouths, spectrogram
and score over time.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.images import Image, encode
from pipeline.report import values
from pipeline.report.clip_pictures import mouth_strip, spectrogram
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.page import document
from pipeline.report.svg import Axis, Frame, Line, LineChart
from pipeline.report.tables import Column, Group, Section, figure, simple_table, table

RESULTS, SCORES = "results.json", "scores.parquet"
WIDTH, STRIP, BANKS = 900, 60, 104
FRAME = Frame(width=960, height=190, left=46, right=14)
FPS = 25


@dataclass(frozen=True)
class ShownClip:
    """A clip to look at. why: it was chosen. score: of the clip; called fake from `limit` on (None: nobody
    says). verdict: of `chance`, in words; empty for none.

    mouths: uint8 [T, S, S] and banks: float32 [T, 104], or None where its features are others' own. frames:
    float32 [T], the score of each frame, 25 a second.
    """

    clip_id: str
    label: int | None
    method: str
    cell: str | None
    why: str
    score: float
    limit: float | None
    mouths: Image | None
    banks: npt.NDArray[np.float32] | None
    frames: npt.NDArray[np.float32]
    verdict: str = ""


def _picture(image: Image, what: str) -> Html:
    data = base64.b64encode(encode(image, "webp", 90)).decode()
    left, right = (f"{100 * side / FRAME.width:.2f}%" for side in (FRAME.left, FRAME.right))
    picture = tag(
        "img",
        src=f"data:image/webp;base64,{data}",
        alt=what,
        width=image.shape[1],
        height=image.shape[0],
        style="display: block; width: 100%; height: auto; max-width: none",
    )
    return tag("div", picture, style=f"margin: 0 {right} 4px {left}")


def _curve(clip: ShownClip) -> Html:
    seconds = np.arange(len(clip.frames)) / FPS
    end = max(float(seconds[-1]), 1 / FPS)
    level = (
        []
        if clip.limit is None
        else [Line("called fake from here", [(0.0, clip.limit), (end, clip.limit)], behind=True)]
    )
    known = [*clip.frames.tolist(), *([clip.limit] if clip.limit is not None else [])]
    low, high = min(known), max(known)
    room = 0.05 * max(high - low, 1e-3)
    line = Line("score of each frame", list(zip(seconds.tolist(), clip.frames.tolist(), strict=True)))
    chart = LineChart(
        f"score over time of {clip.clip_id}",
        Axis(0.0, end, "seconds"),
        Axis(low - room, high + room, "score"),
        [*level, line],
        FRAME,
    )
    return chart.draw()


def _clip(clip: ShownClip) -> Html:
    kind = "unlabelled" if clip.label is None else "real" if clip.label == 0 else clip.method
    called = "" if clip.limit is None else ", called fake" if clip.score >= clip.limit else ", called real"
    said = join(
        [
            tag("strong", kind),
            f" ({clip.why}): ",
            tag("code", clip.clip_id),
            f", {clip.cell or 'no cell'}, score ",
            values.decimal(clip.score),
            called,
            f"; by chance {clip.verdict}" if clip.verdict else "",
        ]
    )
    parts = [_curve(clip)]
    if clip.mouths is not None and clip.banks is not None:
        parts = [
            _picture(mouth_strip(clip.mouths, WIDTH, STRIP), f"mouths of {clip.clip_id}"),
            _picture(spectrogram(clip.banks, WIDTH, BANKS), f"spectrogram of {clip.clip_id}"),
            *parts,
        ]
    return figure(said, tag("div", *parts, style="max-width: 960px"), [SCORES], above=True)


def _flipped(interval: Sequence[float] | None) -> list[float] | None:
    """The interval of one less a rate."""
    return None if interval is None or None in interval else [1 - interval[1], 1 - interval[0]]


def _whole(report: Mapping[str, Any], figure: str) -> tuple[Any, Any]:
    """A figure over all clips and its interval."""
    whole = report["utility"]
    return whole[figure], whole.get("intervals", {}).get(figure)


def _area(report: Mapping[str, Any], kind: str | None) -> Html:
    """AUC of a kind of fake, of all where it is None."""
    if kind is None:
        return values.with_interval(*_whole(report, "AUC"))
    one = report["methods"].get(kind)
    return values.with_interval(one["AUC"], one["interval"]) if one else values.undefined("no such clip")


def _called_real(report: Mapping[str, Any], kind: str | None) -> Html:
    """How many clips of a kind are called real, of the real ones where it is None."""
    if kind is None:
        rate, interval = _whole(report, "FPR")
        return values.with_interval(None if rate is None else 1 - rate, _flipped(interval))
    one = report["methods"].get(kind)
    if not one:
        return values.undefined("no such clip")
    return values.with_interval(one["called_real"], one["called_real_interval"])


def _by_kind(
    ways: Mapping[str, Any],
    title: str,
    first: str,
    show: Callable[[Mapping[str, Any], str | None], Html],
    note: str,
) -> Html:
    """A table with a row for each kind of fake after one for `first`, and a column for each scorer."""
    groups, scorers = [], list(dict.fromkeys(name for way in ways.values() for name in way["scorers"]))
    for way, found in ways.items():
        reports = found["scorers"]
        kinds = sorted({kind for report in reports.values() for kind in report["methods"]})
        rows = [
            [
                first if kind is None else kind,
                *(show(reports[name], kind) if name in reports else values.undefined() for name in scorers),
            ]
            for kind in (None, *kinds)
        ]
        groups.append(Group(rows, f"{way}, {found['clips']} clips"))
    columns = [Column("kind", figures=False), *(Column(name) for name in scorers)]
    return table(title, columns, groups, [RESULTS], (note,))


def _methods(ways: Mapping[str, Any]) -> Html:
    if not any(way["scorers"] for way in ways.values()):
        return paragraphs("The clips have no labels.")
    areas = "Of each kind of fake against all real clips, with 95 % intervals by person."
    called = (
        "With 95 % intervals by person; high for real clips and low for fakes is good. A clip is called real "
        "below the score that 5 % of the model's held-out real clips exceed, by chance below .05."
    )
    return join(
        [
            _by_kind(ways, "AUC by kind of fake", "all fakes", _area, areas),
            _by_kind(ways, "Called real", "real", _called_real, called),
        ]
    )


def _cells(ways: Mapping[str, Any], scorer: str) -> Html:
    first = next(iter(ways.values()))["scorers"].get(scorer, {})
    cells = first.get("groups", {}).get("cell", {})
    if not cells:
        return paragraphs("The clips have no cells.")
    columns = [
        Column("perceived cell", figures=False),
        Column("real"),
        Column("fake"),
        Column("AUC"),
        Column("FPR"),
        Column("TPR"),
    ]
    rows = [
        [
            name,
            values.count(row["n_real"]),
            values.count(row["n_fake"]),
            *(
                values.with_interval(row[key], row.get("intervals", {}).get(key))
                for key in ("AUC", "FPR", "TPR")
            ),
        ]
        for name, row in cells.items()
    ]
    return simple_table(f"Cells, scorer {scorer}", columns, rows, [RESULTS])


def clip_page(name: str, ways: Mapping[str, Any], clips: Sequence[ShownClip], scorer: str) -> str:
    """The page as HTML text; it loads nothing.

    Args:
        name: of what was evaluated.
        ways: of `results.json`.
        clips: to look at.
        scorer: whose clip scores are shown, and whose cells.
    """
    left = [line for way in ways.values() for line in way["left_out"]]
    shown = [_clip(clip) for clip in clips] or [paragraphs("No clip was scored.")]
    intro = paragraphs(
        "Of each kind the clip in the middle of the scores and the one that is most wrong. Above: mouths at "
        "even times, and the sound as a spectrogram of 26 mel bands; below: the score of each frame, higher "
        "where sound and picture do not go together. Grey line: from there on a clip is called fake."
    )
    sections = [
        Section("methods", "Kinds of fakes", _methods(ways)),
        Section("cells", "Cells", _cells(ways, scorer)),
        Section("clips", "Clips", join([intro, *shown])),
    ]
    if left:
        sections.append(Section("left-out", "Left out", tag("ul", *(tag("li", line) for line in left))))
    return document(f"{name}: sound and picture", name, "Sound and picture", sections)
