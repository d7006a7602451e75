"""The dataset card (`README.md` of a release): what it is, how it was made, what it is for and not for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.balance import check_balance
from manifests.columns import counted, distinct
from manifests.escaping import markdown, markdown_code, markdown_table
from manifests.release.info import ReleaseInfo
from manifests.release.layout import hub_lines, splits_of
from manifests.release.licences import SPDX
from manifests.release.words import INTENDED, MISUSE, PERCEIVED
from manifests.schema import PHOTOGRAPH, SYNTHETIC, metadata_of, origin_counts, with_later_columns
from manifests.splits import leaks

ORIGIN_WORDS = {PHOTOGRAPH: "photographs", SYNTHETIC: "synthetic faces"}


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return markdown_table(head, rows, "---:")


def _front_matter(info: ReleaseInfo, table: pa.Table) -> list[str]:
    size = table.num_rows
    bucket = next(
        name
        for limit, name in (
            (1_000, "n<1K"),
            (10_000, "1K<n<10K"),
            (100_000, "10K<n<100K"),
            (1_000_000, "100K<n<1M"),
            (10**12, "1M<n<10M"),
        )
        if size < limit
    )
    lines = [
        "---",
        f"license: {SPDX.get(info.licence, 'other')}",
        f"pretty_name: {json.dumps(info.name, ensure_ascii=False)}",
        "task_categories:",
        "- image-classification",
        "tags:",
        "- deepfake-detection",
        "- fairness",
        "- synthetic",
        "size_categories:",
        f"- {bucket}",
        *hub_lines(table),
        "---",
    ]
    return lines


def _composition(table: pa.Table) -> list[str]:
    counts = origin_counts(table)
    several = len(distinct(_real(table)["origin"])) > 1
    splits = [s for s in ("train", "val", "test") if any(key[0] == s for key in counts)]
    methods = sorted({key[4] for key in counts}, key=lambda m: (m != "none", m))
    head = ["cell", *(f"{split} {'real' if m == 'none' else m}" for split in splits for m in methods)]
    by: Counter[tuple[str | None, str, str]] = Counter()
    for (split, cell, origin, _, method), n in counts.items():
        by[split, f"{cell}, {origin or 'origin unknown'}" if several else str(cell), method] += n
    strata = sorted({key[1] for key in by})
    return _table(head, [[name, *(by[s, name, m] for s in splits for m in methods)] for name in strata])


def _real(table: pa.Table) -> pa.Table:
    """Origin and consent of the real images."""
    return with_later_columns(table).select(["origin", "consent"]).filter(pc.equal(table["label"], 0))


def _origins(table: pa.Table) -> str:
    """How many real images are of which origin."""
    counts = counted(_real(table)["origin"])
    return ", ".join(
        f"{n} {ORIGIN_WORDS.get(origin, 'of unknown origin')}"
        for origin, n in sorted(counts.items(), key=str)
    )


def _distinct(table: pa.Table, column: str) -> str:
    values = sorted({str(v) for v in distinct(table[column]) if v is not None})
    return ", ".join(map(markdown, values)) or "none"


def _made(table: pa.Table) -> list[str]:
    psi = sorted({round(float(v), 4) for v in distinct(table["psi"]) if v is not None})
    quality = [v for v in distinct(table["quality"]) if v is not None]
    span = f"{min(quality)} to {max(quality)}" if quality else "lossless"
    return [
        f"- Real images: {_origins(table)}. Consent: {_distinct(_real(table), 'consent')}.",
        f"- Generator: {_distinct(table, 'generator')}; psi {', '.join(map(str, psi)) or 'none'}.",
        f"- Forgery methods: {_distinct(table, 'method')}; families: {_distinct(table, 'family')}.",
        (
            f"- Encoding, the same for real and fake: {_distinct(table, 'codec')}, quality {span}, one draw"
            " per pair."
        ),
        (
            f"- Perceived attributes: {_distinct(table, 'attribute_source')}; taxonomy"
            f" {markdown(metadata_of(table).get('taxonomy'))}."
        ),
        *_claims(table),
    ]


def _claims(table: pa.Table) -> list[str]:
    """What can be said of this manifest because it was checked, and what was found where it does not hold."""
    unbalanced, leaked = check_balance(table), leaks(table)
    named = ("target_id", "mask_path", "seed")
    made = table.select(named).filter(pc.equal(table["label"], 1))
    traced = made.num_rows - max(made[name].null_count for name in named)
    return [
        *(
            [
                "- A pair is one real image and the fakes made of it: same `pair_id`, cell, split, codec and"
                " quality; every cell has the same number of images of each origin by each method in each"
                " split."
            ]
            if not unbalanced
            else [f"- Not balanced: {markdown(finding)}." for finding in unbalanced[:5]]
        ),
        *(
            ["- Splits share no identity; a fake's source and driver come from its own split."]
            if not leaked
            else [f"- Splits are not disjoint: {markdown(finding)}." for finding in leaked[:5]]
        ),
        (
            f"- {traced} of {made.num_rows} fakes name their target, have a mask (8-bit alpha of what"
            " changed) and the seed they were made with; swaps name their source, reenactments their driver."
        ),
    ]


def _acceptance(figures: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            cell,
            one["attempted"],
            one["accepted"],
            "; ".join(f"{k} {v}" for k, v in one["rejected"].items()) or "none",
        ]
        for cell, one in figures.items()
    ]
    return [
        "## Verification",
        "",
        "Candidates tried and accepted, by the cell they were drawn for.",
        "",
        *_table(["cell", "tried", "accepted", "rejected for"], rows),
        "",
    ]


def _share(figure: Mapping[str, Any]) -> str:
    if figure.get("value") is None:
        return "undefined"
    return f"{figure['value']:.3f} [{figure['lower']:.3f}, {figure['upper']:.3f}]"


def _verifier(found: Mapping[str, Any]) -> list[str]:
    cells = found["confusion"]["cells"]
    measured, counts = found["held_out"]["cells"], {one["cell"]: one for one in found.get("counts", [])}
    rows = [[cell, _share(measured[cell]["precision"]), _share(measured[cell]["coverage"])] for cell in cells]
    lines = [
        "### How often the verifier errs",
        "",
        (
            f"{markdown(found['model'])} with thresholds for a precision of {found['target']:g}, on"
            f" {found['held_out']['coverage']['n']} labelled faces of {markdown_code(found['data'])} that did"
            f" not choose them: precision {_share(found['held_out']['precision'])}, coverage"
            f" {_share(found['held_out']['coverage'])} (95 % intervals). The faces of this dataset may be"
            " harder or easier."
        ),
        "",
        *_table(["cell", "precision of those accepted as it", "share of it accepted"], rows),
        "",
        "Confusion of the accepted: rows annotated, columns accepted as.",
        "",
        *_table(
            ["", *cells],
            [[cell, *row] for cell, row in zip(cells, found["confusion"]["counts"], strict=True)],
        ),
        "",
    ]
    if not counts:
        return lines
    shown = [
        [cell, one["n"], one["value"], f"{one['lower']} to {one['upper']}"] for cell, one in counts.items()
    ]
    return [
        *lines,
        (
            "Accepted faces, and how many are likely to be perceived so by annotators: the confusion inverted"
            " for the candidates of each cell (95 % intervals)."
        ),
        "",
        *_table(["cell", "accepted", "corrected", "interval"], shown),
        "",
    ]


def _audit(report: Mapping[str, Any]) -> list[str]:
    rows = [
        [name, "passed" if one["passed"] else "failed", len(one["findings"])]
        for name, one in report["audits"].items()
    ]
    lines = ["## Audit", "", *_table(["audit", "verdict", "findings"], rows), ""]
    notes = [f"- {markdown(finding)}" for one in report["audits"].values() for finding in one["findings"]]
    return [*lines, *notes, ""] if notes else lines


def _number(value: Any) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _results(results: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, one in results["datasets"].items():
        gaps = one["gaps"].get("cell", {})
        rows.append(
            [
                name,
                one["utility"]["n"],
                _number(one["utility"]["AUC"]),
                _number(one["utility"]["ACC"]),
                *(_number(gaps.get(k)) for k in ("F_FPR", "F_OAE", "F_DP", "F_MEO")),
            ]
        )
    return [
        "## A detector trained on it",
        "",
        (
            "Gaps between cells (largest minus smallest rate). The constant predictor has gaps of 0 and an"
            " AUC of 0.5."
        ),
        "",
        *_table(["dataset", "n", "AUC", "ACC", "F_FPR", "F_OAE", "F_DP", "F_MEO"], rows),
        "",
    ]


def _issue(info: ReleaseInfo) -> str:
    return f"Version {info.version}, {info.date}." if info.date else f"Version {info.version}."


def _loading(table: pa.Table) -> list[str]:
    """How this very release is loaded by others' libraries."""
    if not splits_of(table):
        return ["`manifest.parquet` has a row per clip; `path` leads to it from this folder."]
    split = next(iter(splits_of(table)))
    return [
        "```python",
        (
            "datasets.load_dataset(FOLDER)                                    # Hugging Face: typed features,"
            " its splits"
        ),
        "mlcroissant.Dataset(FOLDER + '/croissant.json').records('images')   # rows of manifest.parquet",
        (
            f"torchvision.datasets.ImageFolder(FOLDER + '/images/{split}')         # classes by name: fake is"
            " 0 here, real is 1"
        ),
        "pyarrow.parquet.read_table(FOLDER + '/manifest.parquet')            # everything; paths from FOLDER",
        "```",
        "",
        "`fairforge export deepfakebench FOLDER --out D` (or purdue, webdataset) writes other labs' layouts.",
    ]


def card(table: pa.Table, info: ReleaseInfo, extras: Mapping[str, Any]) -> str:
    """The card as Markdown with YAML front matter for dataset hubs.

    extras: what is known besides, each optional: `acceptance`, `verifier`, `audit`, `results` as the stages
    write them.
    """
    shortfall = metadata_of(table).get("shortfall")
    lines = [
        *_front_matter(info, table),
        "",
        f"# {markdown(info.name)}",
        "",
        f"{_issue(info)} {info.description}",
        "",
        "## Composition",
        "",
        *_composition(table),
        "",
    ]
    if shortfall:
        lines += [
            (
                "**Not balanced as planned**: identities lacking per split and cell:"
                f" {markdown_code(shortfall)}."
            ),
            "",
        ]
    lines += ["## How it was made", "", *_made(table), "", PERCEIVED, ""]
    for name, section in (
        ("acceptance", _acceptance),
        ("verifier", _verifier),
        ("audit", _audit),
        ("results", _results),
    ):
        if extras.get(name):
            lines += section(extras[name])
    lines += [
        "## Intended use",
        "",
        INTENDED,
        "",
        "## Misuse",
        "",
        MISUSE,
        "",
        "## Limitations",
        "",
        (
            "The real halves may themselves be synthetic (column `origin`): a detector trained here learns"
            " traces of forging, and of generation only from fakes of family `synthesis`. Cells are as good"
            " as the classifier that verified them. Small pictures hide what large ones show."
        ),
        "",
        "## Licence",
        "",
        f"{info.licence}; `LICENSES.csv` has each image's own licence, `LICENSES.md` the attributions.",
        "",
        "## Citation",
        "",
        info.cite(),
        "",
        "## Loading it",
        "",
        *_loading(table),
        "",
        (
            "Check it: `sha256sum -c SHA256SUMS`, or `fairforge check-release FOLDER`. `DATASHEET.md` answers"
            " the questions of a datasheet, `release.json` has counts, digests, versions and what was"
            " withdrawn."
        ),
    ]
    return "\n".join(lines) + "\n"
