"""An ablation as Markdown: one table of variants per dataset, and one of the factors' effects."""

from __future__ import annotations

from statistics import mean
from typing import Any

from pipeline.stages.ablation.figures import FIGURES
from pipeline.stages.evaluate.score_reports import table_text


def figure_text(value: dict[str, Any], *, signed: bool = False) -> str:
    """Mean and interval with three decimals; `n/a` where undefined."""
    if value["mean"] is None:
        return "n/a"
    plus = "+" if signed else ""
    between = "" if value["low"] is None else f" [{value['low']:{plus}.3f}, {value['high']:{plus}.3f}]"
    return f"{value['mean']:{plus}.3f}{between}"


def _groups(dataset: dict[str, Any]) -> list[list[str]]:
    """A row a group with its FPR by variant, then two rows of what chance makes of their differences."""
    groups, chance = dataset["groups"], dataset["chance"]
    names = list(dict.fromkeys(group for of in groups.values() for group in of))
    rows = [
        [name, *(figure_text(of[name]["FPR"]) if name in of else "n/a" for of in groups.values())]
        for name in names
    ]
    found = [[one for one in of.values() if one] for of in chance.values()]
    rows.append(
        ["95 % of gaps below", *(f"{mean(c['p95'] for c in of):.3f}" if of else "n/a" for of in found)]
    )
    rows.append(["p", *(", ".join(f"{c['p']:.3f}" for c in of) or "n/a" for of in found)])
    return rows


def as_markdown(value: dict[str, Any]) -> str:
    """The whole of `ablation.json` for a page of the docs."""
    images = value["training"]
    parts = [
        (
            f"Seeds {', '.join(map(str, value['seeds']))}; {images['images']} training images of"
            f" {images['identities']} identities in either arm. Gaps between groups of kind {value['kind']},"
            f" threshold by {value['threshold']} on validation. Mean over seeds [95 % interval by"
            " Student's t, within what the figure can be]."
        ),
    ]
    for name, dataset in value["datasets"].items():
        rows = [
            [variant, *(figure_text(figures[f]) for f in FIGURES)]
            for variant, figures in dataset["variants"].items()
        ]
        parts += [f"### {name}", f"{dataset['images']} images.", table_text(["variant", *FIGURES], rows)]
        found = [
            [effect, *(figure_text(figures[f], signed=True) for f in FIGURES)]
            for effect, figures in dataset["effects"].items()
        ]
        parts += [
            "FPR of each group, and what chance makes of the largest difference between two of them"
            " (F_FPR): the gap that 95 % of permuted groups stay below, mean over seeds, and p of each"
            " seed:",
            table_text(["", *dataset["groups"]], _groups(dataset)),
        ]
        if found:
            parts += ["Effect of one factor, the others alike:", table_text(["effect", *FIGURES], found)]
    parts += [f"Without {title}: {why}." for title, why in value.get("floors_left_out", {}).items()]
    return "\n\n".join(parts)
