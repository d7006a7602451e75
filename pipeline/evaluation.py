"""`fairforge fairness` and `fairforge compare`: scores of anybody's detectors, without the detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import UsageError
from pipeline.measuring import Measure
from pipeline.scores import Columns, Scores, read_scores
from pipeline.video_level import by_video


def text_of(value: float | None) -> str:
    """Three decimals, or `n/a`."""
    return "n/a" if value is None else f"{value:.3f}"


def _interval(value: list[float | None] | None) -> str:
    return f" [{text_of(value[0])}, {text_of(value[1])}]" if value and value[0] is not None else ""


def table_text(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _gap_rows(entry: Mapping[str, Any]) -> list[list[str]]:
    rows = [
        [kind, gap, text_of(value) + _interval(gaps.get("intervals", {}).get(gap))]
        for kind, gaps in entry["gaps"].items() for gap, value in gaps.items() if gap.startswith(("F_", "G_"))
    ]
    rows += [[kind, "AADPD", text_of(gaps["AADPD"]) + _interval(gaps.get("interval"))]
             for kind, gaps in entry.get("by_method", {}).items()]
    if shift := entry.get("counterfactual"):
        rows.append(["sets", "score shift", text_of(shift["mean_range"]) + _interval(shift["interval"])])
    return rows


def _utility_text(name: str, unit: str, use: Mapping[str, Any]) -> str:
    between = _interval(use.get("intervals", {}).get("AUC"))
    return f"{name}: {use['n']} {unit}, AUC {text_of(use['AUC'])}{between}, EER {text_of(use['EER'])}, ACC {text_of(use['ACC'])}"


def entry_text(name: str, entry: Mapping[str, Any], warnings: Sequence[str] = ()) -> str:
    """One dataset's figures (of `pipeline.measuring`) as Markdown: frames, then videos where it has them."""
    head = ["groups", "gap", "value"]
    text = [_utility_text(name, "rows", entry["utility"]), *(f"warning: {w}" for w in warnings), "",
            table_text(head, _gap_rows(entry))]
    if video := entry.get("video"):
        text += ["", _utility_text(name, "videos", video["utility"]), "", table_text(head, _gap_rows(video))]
    return "\n".join(text)


def fairness_of_scores(path: Path, columns: Columns, threshold: float, measure: Measure) -> tuple[dict[str, Any], str]:
    """Everything measured of a score file; one entry per dataset where the file has several.

    Raises:
        As `read_scores`.
    """
    values, texts = {}, []
    for name, scores in read_scores(path, columns, check_groups=True).items():
        values[name] = {**measure.of(scores, threshold), "warnings": list(scores.warnings)}
        texts.append(entry_text(name, values[name], scores.warnings))
    value = next(iter(values.values())) if len(values) == 1 else {"datasets": values}
    return value, "\n\n".join(texts)


def _aligned(a: Scores, b: Scores) -> tuple[Scores, Scores, list[str]]:
    """The rows that both have, in the order of A.

    Raises:
        UsageError: no row in common, or a row with two labels.
    """
    place = {key: k for k, key in enumerate(b.keys)}
    mine = [k for k, key in enumerate(a.keys) if key in place]
    theirs = [place[a.keys[k]] for k in mine]
    if not mine:
        raise UsageError(f"{a.name}: the two score files", "have no row in common", "score the same manifest with both")
    if (a.label[mine] != b.label[theirs]).any():
        first = int(np.flatnonzero(a.label[mine] != b.label[theirs])[0])
        raise UsageError(f"row {a.keys[mine[first]]}", "has another label in the two files", "score the same manifest with both")
    notes = [f"{len(x.keys) - len(mine)} rows of {side} are not in the other file and take no part"
             for side, x in (("A", a), ("B", b)) if len(x.keys) > len(mine)]
    kept_a = replace(
        a, keys=[a.keys[k] for k in mine], label=a.label[mine], score=a.score[mine],
        groups={kind: [values[k] for k in mine] for kind, values in a.groups.items()},
        clusters=[a.clusters[k] for k in mine] if a.clusters else None, paths=[a.paths[k] for k in mine],
    )
    return kept_a, replace(b, score=b.score[theirs]), notes


def _videos(parts: dict[str, Scores], path: Path) -> dict[str, Scores]:
    """The scores of videos.

    Raises:
        UsageError: a dataset has none.
    """
    out = {}
    for name, scores in parts.items():
        found = by_video(scores)
        if found is None:
            raise UsageError(f"{path}: dataset {name}", "has no column video_id with a value", "compare at --level frame")
        out[name] = found
    return out


def compare_scores(
    first: Path, second: Path, columns: Columns, thresholds: tuple[float, float], min_n: int, replicates: int, seed: int,
    level: str = "frame",
) -> tuple[dict[str, Any], str]:
    """Paired differences A - B per dataset that both files have, as values and as Markdown.

    level: `frame`, or `video`: over the mean scores of each video's frames.

    Raises:
        UsageError: no dataset or row in common, labels that differ, an unknown level, no videos. Others as `read_scores`.
    """
    from detector.comparison import compare

    if level not in ("frame", "video"):
        raise UsageError(f"level {level!r}", "is not known", "choose frame or video")
    a, b = read_scores(first, columns), read_scores(second, columns)
    if level == "video":
        a, b = _videos(a, first), _videos(b, second)
    if len(a) == len(b) == 1:
        b = dict(zip(a, b.values(), strict=True))  # a single part is the same whatever its file is called
    common = [name for name in a if name in b]
    if not common:
        raise UsageError("the two score files", f"have no dataset in common ({', '.join(a)}; {', '.join(b)})",
                         "score the same manifest with both")
    out: dict[str, Any] = {"a": str(first), "b": str(second), "datasets": {}}
    texts = []
    for name in common:
        mine, theirs, notes = _aligned(a[name], b[name])
        found = compare(
            mine.label, mine.score, theirs.score, mine.groups, mine.clusters, *thresholds, min_n=min_n, replicates=replicates,
            seed=seed,
        )
        found["warnings"] = [*a[name].warnings, *(w for w in b[name].warnings if w not in a[name].warnings), *notes]
        out["datasets"][name] = found
        texts.append(_comparison_text(name, found))
    return out, f"A: {first}\nB: {second}\n\n" + "\n\n".join(texts)


def _comparison_text(name: str, found: dict[str, Any]) -> str:
    parts = {"utility": found["utility"], **found["gaps"]}
    rows = [
        [part, figure, text_of(v["a"]), text_of(v["b"]), text_of(v["difference"]) + _interval(v["interval"]), text_of(v["p"])]
        for part, figures in parts.items() for figure, v in figures.items() if isinstance(v, dict)
    ]
    head = f"## {name}: {found['n']} rows, {found['n_clusters']} clusters"
    warnings = [f"- warning: {text}" for text in found["warnings"]]
    return "\n".join([head, "", *warnings, *([""] if warnings else []),
                      table_text(["of", "figure", "A", "B", "A - B [95 %]", "p"], rows)])
