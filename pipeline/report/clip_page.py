"""The page of `fairforge av evaluate`: AUC by kind of fake and by cell, and clips with mouths, spectrogram
and score over time.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
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
    says).

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


def _methods(ways: Mapping[str, Any]) -> Html:
    names = sorted(
        {name for way in ways.values() for report in way["scorers"].values() for name in report["methods"]}
    )
    columns = [
        Column("scorer", figures=False),
        Column("clips"),
        Column("all fakes"),
        *(Column(name) for name in names),
        Column("real called fake"),
    ]
    groups = []
    for title, way in ways.items():
        rows = []
        for scorer, report in way["scorers"].items():
            found, whole = report["methods"], report["utility"]
            rows.append(
                [
                    scorer,
                    values.count(way["clips"]),
                    values.with_interval(whole["AUC"], whole.get("intervals", {}).get("AUC")),
                    *(
                        values.with_interval(found[name]["AUC"], found[name]["interval"])
                        if name in found
                        else values.undefined("no such clip")
                        for name in names
                    ),
                    values.with_interval(whole["FPR"], whole.get("intervals", {}).get("FPR")),
                ]
            )
        groups.append(Group(rows, title))
    notes = (
        "AUC of each kind of fake against all real clips, with 95 % intervals by person. Real clips called "
        "fake: at the threshold that 5 % of held-out real clips exceed.",
    )
    return table("AUC by kind of fake", columns, groups, [RESULTS], notes)


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
