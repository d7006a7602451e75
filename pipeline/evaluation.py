"""`fairforge fairness` and `fairforge compare`: scores of anybody's detectors, without the detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from manifests.errors import UsageError
from pipeline.scores import Columns, Scores, read_scores


def text_of(value: float | None) -> str:
    """Three decimals, or `n/a`."""
    return "n/a" if value is None else f"{value:.3f}"


def _interval(value: list[float | None] | None) -> str:
    return f" [{text_of(value[0])}, {text_of(value[1])}]" if value and value[0] is not None else ""


def table_text(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def beyond_rates(
    label: np.ndarray, score: np.ndarray, groups: Mapping[str, Sequence[str | None]], methods: Sequence[str | None] | None,
    sets: Sequence[str | None] | None, clusters: Sequence[str | None] | None, threshold: float, *, min_n: int, replicates: int,
    seed: int,
) -> dict[str, Any]:
    """Gaps inside each method (`by_method`, per kind of groups) and the shift within counterfactual sets (`counterfactual`).

    Each stands there only where the data has what it needs: methods; sets and cells.
    """
    from detector.counterfactual import score_shift
    from detector.method_gaps import method_gaps

    out: dict[str, Any] = {}
    if methods is not None:
        out["by_method"] = {
            kind: method_gaps(label, score, methods, values, clusters, threshold, min_n=min_n, replicates=replicates, seed=seed)
            for kind, values in groups.items()
        }
    if sets is not None and "cell" in groups:
        shift = score_shift(label, score, sets, groups["cell"], methods, threshold, replicates=replicates, seed=seed)
        if shift is not None:
            out["counterfactual"] = shift
    return out


def fairness_of_scores(
    path: Path, columns: Columns, mode: str, threshold: float, min_n: int, replicates: int, seed: int,
) -> tuple[dict[str, Any], str]:
    """`detector.fairness.report` of a score file; one entry per dataset where the file has several.

    Raises:
        UsageError: unknown mode. Others as `read_scores`.
    """
    from detector import fairness

    if mode not in ("corrected", "purdue"):
        raise UsageError(f"mode {mode!r}", "is not known", "choose corrected or purdue")
    values, texts = {}, []
    for name, scores in read_scores(path, columns, check_groups=True).items():
        found = fairness.report(
            scores.label, scores.score, scores.groups, scores.clusters, cast(Literal["corrected", "purdue"], mode), threshold,
            min_n=min_n, replicates=replicates, seed=seed,
        ).to_dict()
        more = beyond_rates(
            scores.label, scores.score, scores.groups, scores.methods, scores.sets, scores.clusters, threshold, min_n=min_n,
            replicates=replicates, seed=seed,
        )
        values[name] = {**found, **more, "warnings": list(scores.warnings)}
        rows = [
            [kind, gap, text_of(value) + _interval(gaps.get("intervals", {}).get(gap))]
            for kind, gaps in found["gaps"].items() for gap, value in gaps.items()
            if gap.startswith(("F_", "G_"))
        ]
        rows += [[kind, "AADPD", text_of(gaps["AADPD"]) + _interval(gaps.get("interval"))]
                 for kind, gaps in more.get("by_method", {}).items()]
        if shift := more.get("counterfactual"):
            rows.append(["sets", "score shift", text_of(shift["mean_range"]) + _interval(shift["interval"])])
        use = found["utility"]
        head = f"{name}: {use['n']} rows, AUC {text_of(use['AUC'])}, EER {text_of(use['EER'])}, ACC {text_of(use['ACC'])}"
        texts.append("\n".join([head, *(f"warning: {w}" for w in scores.warnings), "",
                                table_text(["groups", "gap", "value"], rows)]))
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


def compare_scores(
    first: Path, second: Path, columns: Columns, thresholds: tuple[float, float], min_n: int, replicates: int, seed: int,
) -> tuple[dict[str, Any], str]:
    """Paired differences A - B per dataset that both files have, as values and as Markdown.

    Raises:
        UsageError: no dataset or row in common, or labels that differ. Others as `read_scores`.
    """
    from detector.comparison import compare

    a, b = read_scores(first, columns), read_scores(second, columns)
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
