"""Section about the audits: which passed, what they found, and what trivial features can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.report import values
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import AUDIT, RunFiles
from pipeline.report.tables import Column, Group, Section, simple_table, table

KINDS = ("file", "pixel")
GROUPS = (
    "All images",
    "One method at a time",
    "Inside each cell",
    "One cell against the others, real images",
)
WHOLE = "real or fake"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _verdict(passed: bool) -> Html:
    return tag("span", "passed" if passed else "failed", class_="passed" if passed else "failed")


def _group_of(question: str) -> int:
    """Which of `GROUPS` a question of the shortcut audit belongs to."""
    if question == WHOLE:
        return 0
    if question.endswith("another cell"):
        return 3
    return 2 if question.startswith(f"{WHOLE} in ") else 1


def _answer(one: Mapping[str, Any] | None) -> list[object]:
    """AUC with interval, and the feature that tells most by itself, of one question and kind of features."""
    if one is None:
        return [values.undefined("not asked"), ""]
    reason = str(one.get("reason") or values.UNDEFINED)
    auc = values.with_interval(one.get("auc"), [one.get("low"), one.get("high")], reason)
    if one.get("above_limit"):
        auc = join([auc, tag("span", "above the limit", class_="failed interval")])
    alone = one.get("feature_auc")
    told = (
        join([_words(str(one["feature"])), " ", values.decimal(alone)])
        if values.is_number(alone)
        else Html("")
    )
    return [auc, told]


def shortcut_table(questions: Mapping[str, Mapping[str, Any]], limits: Mapping[str, Any]) -> Html:
    """The questions of the shortcut audit, file features beside pixel features."""
    asked: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, one in questions.items():
        question, _, kind = name.rpartition(" (")
        asked.setdefault(question, {})[kind.removesuffix(")")] = one
    columns = [Column("question", figures=False), Column("images")]
    for kind in KINDS:
        columns += [
            Column("AUC", group=f"{kind} features"),
            Column("most telling alone", figures=False, group=f"{kind} features"),
        ]
    groups = []
    for number, title in enumerate(GROUPS):
        rows: list[list[object]] = []
        for question in sorted(name for name in asked if _group_of(name) == number):
            by_kind = asked[question]
            n = next(iter(by_kind.values())).get("n")
            rows.append(
                [question, values.count(n), *(cell for kind in KINDS for cell in _answer(by_kind.get(kind)))]
            )
        if rows:
            groups.append(Group(rows, title))
    said = ", ".join(
        f"{limits[f'{kind}_limit']:g} for {kind} features" for kind in KINDS if f"{kind}_limit" in limits
    )
    notes = [
        (
            "AUC of cheap classifiers that see trivial features alone, cross-validated by pair, with a 95 %"
            " interval; 0.5 is chance. The answer is yes when the AUC is above the"
            f" limit{f' ({said})' if said else ''}. The other column names the one feature that ranks best by"
            " itself."
        ),
    ]
    reasons = sorted({str(one["reason"]) for one in questions.values() if one.get("reason")})
    notes += [f"n/a: {'; '.join(reasons)}."] if reasons else []
    return table("What trivial features can tell", columns, groups, [AUDIT], notes)


def flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Figures of any depth as (name, value), the names of the levels joined by colons."""
    for name, value in figures.items():
        title = f"{before}{_words(str(name))}"
        if isinstance(value, dict):
            yield from flat(value, f"{title}: ")
        else:
            yield title, value


def _is_questions(figures: Mapping[str, Any]) -> bool:
    questions = figures.get("questions")
    return isinstance(questions, dict) and all(isinstance(q, dict) and "auc" in q for q in questions.values())


def _figures(audits: Mapping[str, Any]) -> Html:
    groups, extra = [], []
    for name, one in audits.items():
        figures = dict(one.get("figures") or {})
        if _is_questions(figures):
            questions = figures.pop("questions")
            extra.append(shortcut_table(questions, figures))
        rows: list[Sequence[object]] = [[title, values.plain(value)] for title, value in flat(figures)]
        if rows:
            groups.append(Group(rows, _words(name)))
    columns = [Column("figure", figures=False), Column("value")]
    return join([*extra, table("Figures of the audits", columns, groups, [AUDIT])])


def _findings(audits: Mapping[str, Any]) -> Html:
    items = [
        tag("li", tag("strong", _words(name), ": "), values.plain(finding))
        for name, one in audits.items()
        for finding in one["findings"]
    ]
    if not items:
        return paragraphs("No audit found anything.")
    return join([tag("h3", "Findings"), tag("ul", *items)])


def audit(files: RunFiles) -> Section:
    """Can trivial features tell real from fake? Are there duplicates, leaks, an imbalance?"""
    audits = files.audit["audits"]
    intro = paragraphs(
        "The audits ask what a detector could learn without looking at the face: whether trivial features of"
        " the files tell real from fake, whether images or identities cross the splits, whether the cells are"
        " balanced.",
    )
    rows = [
        [_words(name), _verdict(one["passed"]), values.count(len(one["findings"]))]
        for name, one in audits.items()
    ]
    columns = [Column("audit", figures=False), Column("verdict", figures=False), Column("findings")]
    overview = simple_table("Audits of the dataset", columns, rows, [AUDIT])
    return Section("audit", "Shortcut audit", join([intro, overview, _findings(audits), _figures(audits)]))
