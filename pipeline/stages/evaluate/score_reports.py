"""`fairforge fairness` and `fairforge compare`: scores of anybody's detectors, without the detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

import numpy as np

from manifests.errors import UsageError
from manifests.escaping import markdown_table, one_line
from pipeline.stages.evaluate.measuring import Measure
from pipeline.stages.evaluate.score_files import Columns, read_scores
from pipeline.stages.evaluate.scores import Scores
from pipeline.stages.evaluate.video_level import by_video

THRESHOLD = 0.5
"""Called fake from here on, where nobody says otherwise."""


def text_of(value: float | None) -> str:
    """Three decimals, or `n/a`."""
    return "n/a" if value is None else f"{value:.3f}"


def _interval(value: list[float | None] | None) -> str:
    return f" [{text_of(value[0])}, {text_of(value[1])}]" if value and value[0] is not None else ""


def p_text(value: Mapping[str, Any]) -> str:
    """`0.031 [0.012, 0.050]` of `{"p", "p_bounds"}`: the p, and what it is with no tie and with all ties
    counted; empty where there is none.
    """
    return text_of(value["p"]) + _interval(value.get("p_bounds")) if "p" in value else ""


def ties_text(ties: str | None) -> list[str]:
    """What p and its brackets are, as lines; none where no ties were counted."""
    said = {
        "mid": "half of the ties count",
        "random": "a share of the ties counts, drawn from scores and seed, half where there is no gap",
    }
    if ties not in said:
        return []
    return [
        "",
        f"p: how often chance exceeds the gap, {said[ties]} (ties {ties}); in brackets with no tie and with"
        " all of them.",
    ]


def table_text(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(markdown_table(head, rows))


def _gap_rows(entry: Mapping[str, Any]) -> list[list[str]]:
    rows = [
        [
            kind,
            gap,
            text_of(value) + _interval(gaps.get("intervals", {}).get(gap)),
            text_of(gaps.get("corrected", {}).get(gap)),
            p_text(gaps.get("null", {}).get(gap, {})),
        ]
        for kind, gaps in entry["gaps"].items()
        for gap, value in gaps.items()
        if gap.startswith(("F_", "G_"))
    ]
    rows += [
        [
            kind,
            "AADPD",
            text_of(gaps["AADPD"]) + _interval(gaps.get("interval")),
            text_of(gaps.get("corrected")),
            "",
        ]
        for kind, gaps in entry.get("by_method", {}).items()
    ]
    if shift := entry.get("counterfactual"):
        rows.append(
            ["sets", "score shift", text_of(shift["mean_range"]) + _interval(shift["interval"]), "", ""]
        )
    return rows


def _utility_text(name: str, unit: str, use: Mapping[str, Any]) -> str:
    shown = {
        figure: text_of(use[figure]) + _interval(use.get("intervals", {}).get(figure))
        for figure in ("AUC", "EER", "ACC", "TPR", "FPR")
    }
    return (
        f"{one_line(name)}: {use['n']} {unit},"
        f" {', '.join(f'{figure} {text}' for figure, text in shown.items())}"
    )


def entry_text(name: str, entry: Mapping[str, Any], warnings: Sequence[str] = ()) -> str:
    """One dataset's figures (of `pipeline.stages.evaluate.measuring`) as Markdown: frames, then videos where
    it has them.
    """
    head = ["groups", "gap", "value", "corrected", "p [ties none, all]"]
    text = [
        _utility_text(name, "rows", entry["utility"]),
        *(f"warning: {one_line(w)}" for w in warnings),
        "",
        table_text(head, _gap_rows(entry)),
    ]
    if video := entry.get("video"):
        text += ["", _utility_text(name, "videos", video["utility"]), "", table_text(head, _gap_rows(video))]
    tested = any("null" in gaps for gaps in entry["gaps"].values())
    text += ties_text(entry.get("ties")) if tested else []
    return "\n".join(text)


def _range(scores: Scores) -> str:
    return f"[{scores.score.min():.4g}, {scores.score.max():.4g}]"


def _are_probabilities(scores: Scores) -> bool:
    return bool(scores.score.min() >= 0 and scores.score.max() <= 1)


def _scale(scores: Scores, threshold: float | None, option: str) -> list[str]:
    """A warning where scores are no probabilities but are cut at the default threshold: then rates and gaps
    mean nothing.
    """
    if threshold is not None or _are_probabilities(scores):
        return []
    return [
        f"scores lie in {_range(scores)}, not in [0, 1], but are called fake from the default {THRESHOLD} on,"
        f" so that rates and gaps mean little: are they logits or percent? Give {option}, or make them"
        " probabilities (sigmoid; divide by 100)"
    ]


def fairness_of_scores(
    path: Path,
    columns: Columns,
    threshold: float | None,
    measure: Measure,
) -> tuple[dict[str, Any], str]:
    """Everything measured of a score file; one entry per dataset where the file has several.

    Args:
        path: the score file.
        columns: the names of its columns.
        threshold: called fake from here on; None for `THRESHOLD`, with a warning where scores are no
            probabilities.
        measure: how.

    Raises:
        As `read_scores`.
    """
    values, texts = {}, []
    for name, scores in read_scores(path, columns, check_groups=True).items():
        warnings = [*_scale(scores, threshold, "--threshold"), *scores.warnings]
        values[name] = {
            **measure.of(scores, THRESHOLD if threshold is None else threshold),
            "warnings": warnings,
        }
        texts.append(entry_text(name, values[name], warnings))
    value = next(iter(values.values())) if len(values) == 1 else {"datasets": values}
    return value, "\n\n".join(texts)


def _without_zeros(keys: Sequence[str]) -> set[str]:
    return {key.removesuffix(PurePosixPath(key).suffix).rpartition("/")[2].lstrip("0") or "0" for key in keys}


def _keys_apart(a: Scores, b: Scores) -> str:
    """A key of each file, and what they would have in common without zeros in front, folders and endings."""
    shown = f"A has {a.keys[0]!r:.60}, B has {b.keys[0]!r:.60}"
    if _without_zeros(a.keys) & _without_zeros(b.keys):
        shown += "; without folders, endings and zeros in front they would meet: has one file lost them?"
    return shown


def _aligned(a: Scores, b: Scores) -> tuple[Scores, Scores, list[str]]:
    """The rows that both have, in the order of A.

    Raises:
        UsageError: no row in common, or a row with two labels.
    """
    place = {key: k for k, key in enumerate(b.keys)}
    mine = [k for k, key in enumerate(a.keys) if key in place]
    theirs = [place[a.keys[k]] for k in mine]
    if not mine:
        raise UsageError(
            f"{a.name}: the two score files",
            f"have no row in common: {_keys_apart(a, b)}",
            "score the same manifest with both, or name the column of keys with --key",
        )
    if (a.label[mine] != b.label[theirs]).any():
        first = int(np.flatnonzero(a.label[mine] != b.label[theirs])[0])
        raise UsageError(
            f"row {a.keys[mine[first]]}",
            "has another label in the two files",
            "score the same manifest with both",
        )
    notes = [
        f"{len(x.keys) - len(mine)} rows of {side} are not in the other file and take no part"
        for side, x in (("A", a), ("B", b))
        if len(x.keys) > len(mine)
    ]
    return a.taken(mine), b.taken(theirs), notes


def _videos(parts: dict[str, Scores], path: Path) -> dict[str, Scores]:
    """The scores of videos.

    Raises:
        UsageError: a dataset has none.
    """
    out = {}
    for name, scores in parts.items():
        found = by_video(scores)
        if found is None:
            raise UsageError(
                f"{path}: dataset {name}", "has no column video_id with a value", "compare at --level frame"
            )
        out[name] = found
    return out


def compare_scores(
    first: Path,
    second: Path,
    columns: Columns,
    thresholds: tuple[float | None, float | None],
    min_n: int,
    replicates: int,
    seed: int,
    level: str = "frame",
    ties: str = "random",
) -> tuple[dict[str, Any], str]:
    """Paired differences A - B per dataset that both files have, as values and as Markdown.

    thresholds: of A and B; None as in `fairness_of_scores`.
    level: `frame`, or `video`: over the mean scores of each video's frames.
    ties: what a tie counts, `mid` or `random`.

    Raises:
        UsageError: no dataset or row in common, labels that differ, an unknown level or ties, no videos.
            Others as `read_scores`.
    """
    from detector.metrics.comparison import compare

    if level not in ("frame", "video"):
        raise UsageError(f"level {level!r}", "is not known", "choose frame or video")
    a, b = read_scores(first, columns), read_scores(second, columns)
    if level == "video":
        a, b = _videos(a, first), _videos(b, second)
    if len(a) == len(b) == 1:
        b = dict(zip(a, b.values(), strict=True))  # a single part is the same whatever its file is called
    common = [name for name in a if name in b]
    if not common:
        raise UsageError(
            "the two score files",
            f"have no dataset in common ({', '.join(a)}; {', '.join(b)})",
            "score the same manifest with both",
        )
    out: dict[str, Any] = {"a": str(first), "b": str(second), "datasets": {}}
    texts = []
    for name in common:
        mine, theirs, notes = _aligned(a[name], b[name])
        cuts = (THRESHOLD if given is None else given for given in thresholds)
        found = compare(
            mine.label,
            mine.score,
            theirs.score,
            mine.groups,
            mine.clusters,
            *cuts,
            min_n=min_n,
            replicates=replicates,
            seed=seed,
            ties=cast(Literal["mid", "random"], ties),
        )
        found["warnings"] = [
            *_scales(mine, theirs, thresholds),
            *a[name].warnings,
            *(w for w in b[name].warnings if w not in a[name].warnings),
            *notes,
        ]
        out["datasets"][name] = found
        texts.append(_comparison_text(name, found))
    return out, f"A: {first}\nB: {second}\n\n" + "\n\n".join(texts)


def _scales(a: Scores, b: Scores, thresholds: tuple[float | None, float | None]) -> list[str]:
    sides = zip("AB", (a, b), thresholds, ("--threshold-a", "--threshold-b"), strict=True)
    out = [
        f"{side}: {text}" for side, scores, given, option in sides for text in _scale(scores, given, option)
    ]
    if _are_probabilities(a) != _are_probabilities(b):
        out.append(f"the scores are on different scales: A in {_range(a)}, B in {_range(b)}")
    if not (a.keyed and b.keyed):
        out.append("a file has no column of keys: rows are paired by their place in the files")
    return out


def _comparison_text(name: str, found: dict[str, Any]) -> str:
    parts = {"utility": found["utility"], **found["gaps"]}
    rows = [
        [
            part,
            figure,
            text_of(v["a"]),
            text_of(v["b"]),
            text_of(v["difference"]) + _interval(v["interval"]),
            p_text(v),
        ]
        for part, figures in parts.items()
        for figure, v in figures.items()
        if isinstance(v, dict)
    ]
    head = f"## {one_line(name)}: {found['n']} rows, {found['n_clusters']} clusters"
    warnings = [f"- warning: {one_line(text)}" for text in found["warnings"]]
    return "\n".join(
        [
            head,
            "",
            *warnings,
            *([""] if warnings else []),
            table_text(["of", "figure", "A", "B", "A - B [95 %]", "p [ties none, all]"], rows),
            *ties_text(found["ties"]),
        ]
    )
