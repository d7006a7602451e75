"""The first section, for a reader of one page: what was asked, what came out, what is proved, and what is
not.

Every sentence follows from the run's files by a fixed rule. "Proved" means: an interval of 95 % lies on one
side, or a p value survives Holm's correction over all gaps of the page. What does not pass the rule stands
among what is not proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pipeline.report import values
from pipeline.report.fairness_values import GAPS, KINDS, chance_of, interval_of, value_of
from pipeline.report.markup import Html, join, tag
from pipeline.report.run_files import AUDIT, MANIFEST, RESULTS, RunFiles
from pipeline.report.tables import Section, source
from pipeline.report.titles import listed

LEVEL = 0.05


@dataclass(frozen=True)
class Gap:
    """One gap with its p value against chance."""

    dataset: str
    kind: str
    metric: str
    value: float
    p: float
    detectable: float | None


def gaps_with_p(results: Mapping[str, Any], datasets: Sequence[str]) -> list[Gap]:
    """All gaps of the page that have a p value, in the order of the page."""
    found = []
    for dataset in datasets:
        for kind in KINDS:
            gaps = results["datasets"][dataset]["gaps"].get(kind, {})
            for metric in GAPS:
                _, p, least = chance_of(gaps, metric)
                value = value_of(gaps, metric)
                if value is not None and values.is_number(p):
                    found.append(
                        Gap(
                            dataset,
                            kind,
                            metric,
                            value,
                            float(p),
                            float(least) if values.is_number(least) else None,
                        )
                    )
    return found


def holm(p: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which hypotheses are rejected so that any wrong rejection has at most the chance `level` (Holm, 1979).

    >>> holm([0.001, 0.04, 0.03])
    [True, False, False]
    """
    order = sorted(range(len(p)), key=lambda k: p[k])
    out = [False] * len(p)
    for rank, k in enumerate(order):
        if p[k] > level / (len(p) - rank):
            break
        out[k] = True
    return out


def _asked(files: RunFiles) -> list[object]:
    config, cells = files.run.config, files.cell_names
    forge, beside = config.forge, [PurePath(name).name for name in config.train.beside]
    lines: list[object] = [
        join(
            [
                f"A dataset of {len(cells)} perceived race x gender cells with ",
                values.count(files.manifest.num_rows),
                " images, as many of each kind in each cell; fakes by ",
                listed(files.methods),
                ".",
            ]
        ),
        f"A detector trained on its training split by {listed(forge.methods)}"
        + (
            f"; {listed(forge.held_out)} held out, to see what an unknown forgery does."
            if forge.held_out
            else "."
        )
        + (f" Beside it, with a share of its verdict: {listed(beside)}, trained before." if beside else ""),
        f"How often it errs, and whether it errs alike in all cells, on {listed(files.datasets)}.",
    ]
    return lines


def _auc(files: RunFiles, dataset: str) -> Html:
    entry = files.results["datasets"][dataset]["utility"]
    between = interval_of(entry, "AUC")
    said: list[object] = ["AUC ", values.decimal(entry.get("AUC"))]
    return join([*said, f" [{between[0]:.3f}, {between[1]:.3f}]"] if between else said)


def _came_out(files: RunFiles) -> list[object]:
    lines: list[object] = []
    for dataset in files.datasets:
        entry = files.results["datasets"][dataset]["utility"]
        line: list[object] = [
            tag("strong", dataset),
            ": ",
            _auc(files, dataset),
            "; calls ",
            values.percent(entry.get("TPR")),
            " of fakes and ",
            values.percent(entry.get("FPR")),
            " of real images fake",
        ]
        for title, floor in files.results.get("floors", {}).items():
            if dataset in floor:
                line += [f" ({title}: AUC ", values.decimal(floor[dataset]["utility"].get("AUC")), ")"]
        lines.append(join([*line, "."]))
    return lines


def _audit_lines(files: RunFiles) -> tuple[list[object], list[object]]:
    audits = files.audit["audits"]
    passed = [name.replace("_", " ") for name, one in audits.items() if one["passed"]]
    failed = [name.replace("_", " ") for name, one in audits.items() if not one["passed"]]
    notes = sum(len(one["findings"]) for one in audits.values() if one["passed"])
    good: list[object] = []
    if passed:
        noted = (
            f", with {notes} findings that do not fail {'it' if len(passed) == 1 else 'them'}, listed below"
            if notes
            else ""
        )
        good.append(f"The dataset passes the audit{'s' if len(passed) > 1 else ''} {listed(passed)}{noted}.")
    bad: list[object] = [
        f"The dataset fails the audit {name}: figures from it may come from a shortcut." for name in failed
    ]
    return good, bad


def _against_chance(files: RunFiles) -> tuple[list[object], list[object]]:
    above: list[object] = []
    not_above: list[object] = []
    for dataset in files.datasets:
        between = interval_of(files.results["datasets"][dataset]["utility"], "AUC")
        if between is None:
            not_above.append(
                join([f"{dataset}: ", _auc(files, dataset), " has no interval, so nothing follows from it."])
            )
        elif between[0] > 0.5:
            above.append(
                join(
                    [
                        f"On {dataset} the detector ranks fakes above real images more often than chance: ",
                        _auc(files, dataset),
                        ".",
                    ]
                )
            )
        else:
            not_above.append(
                join(
                    [f"That it tells fakes from real images on {dataset} at all: ", _auc(files, dataset), "."]
                )
            )
    return above, not_above


def _gap_name(gap: Gap) -> str:
    return f"{gap.metric} between {KINDS[gap.kind]} on {gap.dataset}"


def _unequal(files: RunFiles) -> tuple[list[object], list[object]]:
    gaps = gaps_with_p(files.results, files.datasets)
    if not gaps:
        return [], ["Anything about gaps: they were not compared with chance in this run."]
    kept = [gap for gap, yes in zip(gaps, holm([gap.p for gap in gaps]), strict=True) if yes]
    proved: list[object] = [
        f"Groups are treated differently: {_gap_name(gap)} is {gap.value:.3f} (p {gap.p:.3g}, also after"
        f" Holm's correction over {len(gaps)} gaps)."
        for gap in kept
    ]
    open_: list[object] = []
    rest = len(gaps) - len(kept)
    if rest:
        nearest = min((gap for gap in gaps if gap not in kept), key=lambda gap: gap.p)
        open_.append(
            f"That any of {'the other ' if kept else 'the '}{rest} gaps is more than chance, taken together;"
            f" the one with the smallest p is {_gap_name(gap=nearest)}, {nearest.value:.3f}, p"
            f" {nearest.p:.3g} by itself."
        )
    least = [
        gap for gap in gaps if gap.metric == "F_FPR" and gap.kind == "cell" and gap.detectable is not None
    ]
    if least:
        said = listed([f"{gap.detectable:.2f} on {gap.dataset}" for gap in least])
        open_.append(
            f"That groups are treated alike: gaps of FPR between cells smaller than {said} would have gone"
            " unseen here."
        )
    return proved, open_


def _not_asked(files: RunFiles) -> Iterable[object]:
    origins = {str(one) for one in files.manifest["origin"].to_pylist() if one}
    if origins == {"synthetic"} and all("photograph" not in name for name in files.datasets):
        yield "Anything about photographs: all faces here were generated."
    if files.manifest["attribute_source"].null_count < files.manifest.num_rows and any(
        str(one).startswith("model:") for one in files.manifest["attribute_source"].to_pylist()
    ):
        yield (
            "That the faces belong to the cells they stand in: race and gender were read by a classifier,"
            " which errs, and more for some groups than for others."
        )
    yield (
        "Anything about other forgeries, other sources of faces, heavier compression, or a training with"
        " another seed: intervals are of the images drawn, not of trainings."
    )


def brief(files: RunFiles) -> Section:
    """What was asked, what came out, what is proved, what is not."""
    good, bad = _audit_lines(files)
    above, not_above = _against_chance(files)
    unequal, open_ = _unequal(files)
    proved = [*above, *unequal, *good]
    blocks: tuple[tuple[str, str, Sequence[object]], ...] = (
        ("What was asked", "asked", _asked(files)),
        ("What came out", "came-out", _came_out(files)),
        ("What is proved", "proved", proved or ["Nothing, by the rule below."]),
        ("What is not proved", "open", [*bad, *not_above, *open_, *_not_asked(files)]),
    )
    body = tag(
        "div",
        *(
            tag(
                "div",
                tag("h3", title),
                tag("ul", *(tag("li", line) for line in lines)),
                class_=f"block {name}",
            )
            for title, name, lines in blocks
        ),
        class_="brief",
    )
    rule = tag(
        "p",
        "Proved: an interval of 95 % lies on one side of chance, or a p value survives Holm's correction over"
        " all gaps on this page, or an audit passed by its limits.",
        class_="note",
    )
    return Section("brief", "In brief", join([body, rule, source(RESULTS, AUDIT, MANIFEST)]))
