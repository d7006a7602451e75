"""The first section: headline figures, what the labels mean, what the set is for and what it must not be used
for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pyarrow.compute as pc

from manifests.release.card import ORIGIN_WORDS
from pipeline.report import values
from pipeline.report.fairness_values import GAPS, KINDS, chance_of
from pipeline.report.markup import Html, join, tag
from pipeline.report.run_files import AUDIT, MANIFEST, RESULTS, RunFiles
from pipeline.report.tables import Section, source

ATTRIBUTES = (
    "Race and gender here are perceived attributes: how annotators, or a classifier trained on their labels,"
    " read a face. They say nothing about how a person identifies, and a synthetic face shows no person. They"
    " are here so that errors can be compared between groups."
)
USE = (
    "Training and testing deepfake detectors, and measuring whether their errors fall evenly on the cells."
    " The figures hold for the images and methods of this run; another source of faces or another forgery"
    " needs its own measurement."
)
MISUSE = (
    "Do not use the set or its models to infer anybody's race or gender, to identify or track people, to make"
    " forgeries of real persons, or as the only ground for calling a picture fake. A small gap beside a low"
    " AUC is no fairness: compare with the constant predictor."
)


def identities_per_cell(files: RunFiles) -> dict[str, int]:
    """How many identities each cell has among the real images of the dataset."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in files.manifest.select(["cell", "identity_id", "label"]).to_pylist():
        if row["label"] == 0 and row["identity_id"] is not None:
            found[row["cell"]].add(row["identity_id"])
    return {cell: len(found[cell]) for cell in files.cell_names}


def largest_gap(results: dict[str, Any]) -> tuple[float, str, str, str] | None:
    """(value, metric, kind, dataset) of the largest fairness gap of the detector; None where none is
    defined.
    """
    found = [
        (entry["gaps"][kind][metric], metric, kind, dataset)
        for dataset, entry in sorted(results["datasets"].items())
        for kind in KINDS
        if kind in entry["gaps"]
        for metric in GAPS
        if values.is_number(entry["gaps"][kind].get(metric))
    ]
    return max(found, key=lambda item: item[0]) if found else None


def _tile(label: object, value: object, note: object = "") -> Html:
    return tag(
        "div",
        tag("dt", label),
        tag("dd", value, class_="value"),
        tag("dd", note, class_="note"),
        class_="tile",
    )


def _identities(files: RunFiles) -> Html:
    counts = sorted(set(identities_per_cell(files).values()))
    if len(counts) == 1:
        return values.count(counts[0])
    return join([values.count(counts[0]), "\u2013", values.count(counts[-1])])


def _tiles(files: RunFiles) -> Html:
    forge = files.run.config.forge
    origins = Counter(files.manifest.filter(pc.equal(files.manifest["label"], 0))["origin"].to_pylist())
    held = f"{len(forge.held_out)} of them held out for testing" if forge.held_out else "none held out"
    tiles = [
        _tile("images", values.count(files.manifest.num_rows), "real and fake, all splits"),
        _tile(
            "real images",
            values.count(sum(origins.values())),
            ", ".join(
                f"{count} {ORIGIN_WORDS.get(origin, 'of unknown origin')}"
                for origin, count in sorted(origins.items(), key=str)
            ),
        ),
        _tile("identities per cell", _identities(files), f"in {len(files.cell_names)} cells"),
        _tile("forgery methods", values.count(len(files.methods)), held),
    ]
    for dataset in files.datasets:
        utility = files.results["datasets"][dataset]["utility"]
        images = join([values.count(utility.get("n")), " images"])
        tiles.append(_tile(f"AUC, {dataset}", values.decimal(utility.get("AUC")), images))
    gap = largest_gap(files.results)
    if gap is None:
        tiles.append(_tile("largest gap", values.undefined("no gap is defined in any dataset")))
    else:
        value, metric, kind, dataset = gap
        by_chance, *_ = chance_of(files.results["datasets"][dataset]["gaps"][kind], metric)
        chance = ["; by chance up to ", values.decimal(by_chance)] if values.is_number(by_chance) else []
        where = join([f"{metric} between {KINDS[kind]}, {dataset}", *chance])
        tiles.append(_tile("largest gap", values.decimal(value), where))
    audits = files.audit["audits"]
    findings = values.count(sum(len(one["findings"]) for one in audits.values()))
    note = join([", ".join(sorted(audits)), "; findings: ", findings])
    tiles.append(_tile("audit", "passed" if files.audit["passed"] else "failed", note))
    return tag("dl", *tiles, class_="tiles")


def summary(files: RunFiles) -> Section:
    """Headline figures and the notes that belong to them."""
    notes = tag(
        "div",
        *(
            tag("div", tag("h3", title), tag("p", body))
            for title, body in (
                ("Perceived attributes", ATTRIBUTES),
                ("Intended use", USE),
                ("Misuse", MISUSE),
            )
        ),
        class_="notes",
    )
    return Section("summary", "Summary", join([_tiles(files), source(MANIFEST, RESULTS, AUDIT), notes]))
