"""Sections about the dataset: contact sheets, acceptance, balance."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from manifests.schema import PHOTOGRAPH
from pipeline.engine.strata import NO_CELL, names_by_cell
from pipeline.report import values
from pipeline.report.contact_sheet import REAL, cell_sheet, choose, pairs_of
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import ACCEPTANCE, CELLS, COUNTS, CROSS_ACCEPTANCE, MANIFEST, RunFiles, needed
from pipeline.report.tables import Column, Group, Section, figure, simple_table, table

SHOWN_TILE = 132
"""Width of a face on a wide screen, CSS pixels."""
SPLIT_ORDER = ("train", "val", "test")
REASONS = (
    "no_face",
    "two_faces",
    "small_face",
    "blurred",
    "low_confidence",
    "wrong_cell",
    "other_cell",
    "near_training",
    "duplicate_picture",
    "duplicate_identity",
    "surplus",
    "unreadable",
)


def method_name(method: str, held_out: Sequence[str]) -> str:
    """A method as the page calls it: `real`, or its name, marked when it was held out of training."""
    if method == REAL:
        return "real"
    return f"{method} (held out)" if method in held_out else method


def _sheet(files: RunFiles, cell: str, pairs: Mapping[str, Mapping[str, str]]) -> Html:
    config, methods = files.run.config, files.methods
    shown = choose(pairs, methods, config.report.columns, config.run.seed, cell)
    if not shown:
        nothing = tag("p", "There is no pair of this cell in the dataset.")
        return figure(tag("strong", cell), nothing, [MANIFEST], "sheet", above=True)
    for name in sorted(name for pair in shown for name in pair.values()):
        needed(files.run, f"dataset/{name}", "pair")
    data, width, height = cell_sheet(files.run.folder("pair"), shown, methods)
    names = [method_name(method, config.forge.held_out) for method in (REAL, *methods)]
    picture = tag(
        "img",
        src=f"data:image/webp;base64,{base64.b64encode(data).decode()}",
        width=width,
        height=height,
        style=f"max-width: {width * max(1.0, SHOWN_TILE * len(shown) / width):g}px",
        alt=f"{len(shown)} identities perceived as {cell}, one per column; rows: {', '.join(names)}",
    )
    rows = tag("ol", *(tag("li", name) for name in names), class_="rows", aria_hidden="true")
    caption = tag("span", tag("strong", cell), f": {len(shown)} of {len(pairs)} pairs")
    return figure(caption, tag("div", rows, picture, class_="frame"), [MANIFEST], "sheet", above=True)


def contact_sheets(files: RunFiles) -> Section:
    """Real faces above the fakes made of them, cell by cell."""
    found = pairs_of(files.run.folder("pair"))
    intro = paragraphs(
        "Each column is one identity: the real image above the fakes made of it. The identities were drawn at"
        " random with the seed of the run, nobody chose them. Pairs of the test split come first, since"
        " held-out methods exist there alone. A crossed tile is a fake that the dataset does not have.",
    )
    sheets = (_sheet(files, cell, found.get(cell, {})) for cell in files.cell_names)
    return Section("faces", "Contact sheets", join([intro, tag("div", *sheets, class_="sheets")]))


HIT_RATE = (
    " The hit rate is the share of fresh draws from a cell's density that the attribute model reads as that"
    " cell, confidently, before any verification."
)


def _reasons(acceptance: Mapping[str, Any]) -> list[str]:
    seen = {reason for entry in acceptance.values() for reason in entry["rejected"]}
    return [r for r in REASONS if r in seen] + sorted(seen - set(REASONS))


def _acceptance_table(
    caption: str,
    acceptance: Mapping[str, Any],
    cells: Sequence[str],
    model: Mapping[str, Any] | None,
    file: str,
) -> Html:
    reasons = _reasons(acceptance)
    columns = [Column("cell", figures=False)]
    shown = [name for name in (*names_by_cell(cells, acceptance), NO_CELL) if name in acceptance]
    if model is not None:
        columns += [Column("confident latents", group="cell model"), Column("hit rate", group="cell model")]
    columns += [Column("attempted"), Column("accepted"), Column("rate")]
    columns += [Column(reason.replace("_", " "), group="rejected because") for reason in reasons]

    def row(name: object, entry: Mapping[str, Any], fit: Mapping[str, Any] | None) -> list[object]:
        fitted: list[Html] = []
        if fit is not None:
            fitted = [values.count(fit.get("confident_latents")), values.percent(fit.get("hit_rate"))]
        return [
            name,
            *fitted,
            values.count(entry["attempted"]),
            values.count(entry["accepted"]),
            values.ratio(entry["accepted"], entry["attempted"]),
            *(values.count(entry["rejected"].get(reason, 0)) for reason in reasons),
        ]

    rows = [row(name, acceptance[name], _fit_of(name, model)) for name in shown]
    whole = {
        "attempted": sum(acceptance[c]["attempted"] for c in shown),
        "accepted": sum(acceptance[c]["accepted"] for c in shown),
        "rejected": {r: sum(acceptance[c]["rejected"].get(r, 0) for c in shown) for r in reasons},
    }
    total = row("all cells", whole, None)
    if model is not None:
        total[1:1] = ["", ""]
    return table(
        caption,
        columns,
        [Group(rows), Group([total])],
        [file, CELLS] if model is not None else [file],
    )


def _fit_of(name: str, model: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What the cell model says of a row of the table: of generated faces alone."""
    if model is None:
        return None
    cell, _, origin = name.partition(", ")
    found: Mapping[str, Any] = {} if origin == PHOTOGRAPH else model.get(cell, {})
    return found


def acceptance(files: RunFiles) -> Section:
    """How many candidates were tried, how many were kept, and why the others were not."""
    intro = paragraphs(
        "Every candidate is one row with a reason."
        + (HIT_RATE if files.cells is not None else "")
        + " The reason surplus means the face was good but the cell was full.",
    )
    own = _acceptance_table("Acceptance by cell", files.acceptance, files.cell_names, files.cells, ACCEPTANCE)
    tables = [intro, own]
    if files.cross_acceptance is not None:
        tables.append(
            _acceptance_table(
                "Acceptance by cell, second dataset",
                files.cross_acceptance,
                files.cell_names,
                None,
                CROSS_ACCEPTANCE,
            )
        )
    return Section("acceptance", "Acceptance", join(tables))


def parse_counts(rows: Mapping[str, int]) -> dict[tuple[str, str, int, str], int]:
    """`split/cell/origin/label/method` keys of counts.json taken apart: images by split, cell, label and
    method, where real images have several origins by split, `cell, origin`, label and method. A cell's own
    name has a slash in it.
    """
    parts = {}
    for key, count in rows.items():
        split, rest = key.split("/", 1)
        cell, origin, label, method = rest.rsplit("/", 3)
        parts[split, cell, origin, int(label), method] = count
    several = len({origin for _, _, origin, label, _ in parts if label == 0}) > 1
    out: Counter[tuple[str, str, int, str]] = Counter()
    for (split, cell, origin, fake, method), count in parts.items():
        out[split, f"{cell}, {origin}" if several else cell, fake, method] += count
    return dict(out)


def balance(files: RunFiles) -> Section:
    """Images per split, cell (and origin, where real images have several), label and method."""
    counts, held_out = parse_counts(files.counts["rows"]), files.run.config.forge.held_out
    present = {(split, label, method) for split, _, label, method in counts}
    order = [REAL, *files.methods]
    columns = sorted(
        present,
        key=lambda c: (
            SPLIT_ORDER.index(c[0]) if c[0] in SPLIT_ORDER else len(SPLIT_ORDER),
            c[1],
            order.index(c[2]) if c[2] in order else len(order),
            c[2],
        ),
    )
    found = {cell for _, cell, _, _ in counts}
    cells = list(dict.fromkeys([*names_by_cell(files.cell_names, found), *sorted(found)]))
    rows = [
        [
            cell,
            *(values.count(counts.get((split, cell, label, method), 0)) for split, label, method in columns),
        ]
        for cell in cells
    ]
    uneven = [c for c in columns if len({counts.get((c[0], cell, c[1], c[2]), 0) for cell in cells}) > 1]
    shortfall = files.counts.get("shortfall") or {}
    if not uneven:
        verdict = (
            "Every column holds one number: in each split all cells have as many images of each origin and"
            " method."
        )
    elif files.run.config.dataset.weights and not shortfall:
        verdict = "Cells have the numbers that dataset.weights asks for; they are not equal."
    else:
        verdict = (
            f"{len(uneven)} of {len(columns)} columns differ between cells: the dataset is not balanced."
        )
    notes = [f"short by {n}: {name}" for name, n in sorted(shortfall.items())]
    heads = [Column("cell", figures=False)]
    heads += [Column(method_name(method, held_out), group=split) for split, _, method in columns]
    made = simple_table("Images by split, cell and method", heads, rows, [COUNTS], notes)
    return Section("balance", "Balance", join([paragraphs(verdict), made]))
