"""Which licences a release is under, image by image, and the attributions they ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from manifests.columns import counted, distinct, pairs_of, slices
from manifests.escaping import csv_text, markdown, markdown_code, markdown_table
from manifests.schema import PHOTOGRAPH, with_later_columns
from manifests.weights import catalogue

FAIRFACE = (
    'Kärkkäinen, K. and Joo, J.: "FairFace: Face attribute dataset for balanced race, gender, and age for'
    ' bias measurement and mitigation", WACV 2021. CC BY 4.0, https://creativecommons.org/licenses/by/4.0/'
)
SPDX = {
    "CC BY 4.0": "cc-by-4.0",
    "CC0 1.0": "cc0-1.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "Apache-2.0": "apache-2.0",
}
URLS = {
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC0 1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC BY-NC 4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
}


def licence_counts(table: pa.Table) -> dict[str, int]:
    """Images per licence; `unknown` for images whose licence is null."""
    counts: Counter[str] = Counter()
    for value, count in counted(table.column("licence")).items():
        counts[value or "unknown"] += count
    return dict(sorted(counts.items()))


LICENCE_COLUMNS = ("image_id", "path", "licence", "consent", "origin", "dataset", "generator")


def licence_lines(table: pa.Table) -> Iterator[str]:
    """`LICENSES.csv`, some thousand lines at a time: one line per image or clip, with what is known; empty
    where nothing is, `unknown` for a licence.
    """
    yield csv_text([LICENCE_COLUMNS])
    for part in slices(with_later_columns(table).select(LICENCE_COLUMNS)):
        yield csv_text(
            [row[name] or ("unknown" if name == "licence" else "") for name in LICENCE_COLUMNS]
            for row in part.to_pylist()
        )


def licences_csv(table: pa.Table) -> str:
    """`licence_lines` in one text."""
    return "".join(licence_lines(table))


def licences_text(table: pa.Table, licence: str) -> str:
    """`LICENSES.md`: the release's licence, images per licence, generators and their training data."""
    lines = [
        "# Licences",
        "",
        (
            f"The compilation is under {licence}. Each image's own licence is in `LICENSES.csv`, and in the "
            "column `licence`:"
        ),
        "",
        *markdown_table(("licence", "images"), licence_counts(table).items(), "---:"),
    ]
    generators = sorted(
        {(name, sha) for name, sha in pairs_of(table, "generator", "generator_sha256") if name}
    )
    lines += ["", "## Attribution", ""]
    if generators:
        lines.append("Synthetic faces were made by:")
        lines.append("")
        lines += [f"- {markdown_code(name)} (sha256 {markdown(sha)})" for name, sha in generators]
        lines.append("")
    real = with_later_columns(table).select(["origin", "dataset"]).filter(pc.equal(table["label"], 0))
    photographs = counted(real["dataset"].filter(pc.equal(real["origin"], PHOTOGRAPH)))
    if photographs:
        lines += [
            "Photographs come from:",
            "",
            *(
                f"- {markdown_code(name or 'unknown')}: {n} images"
                for name, n in sorted(photographs.items(), key=str)
            ),
            "",
        ]
    ours = {weight.sha256: weight for weight in catalogue().values()}
    used = [ours[sha] for _, sha in generators if sha in ours]
    models = {str(value).removeprefix("model:") for value in distinct(table["attribute_source"]) if value}
    used += [w for w in ours.values() if f"{w.name}@{w.digest8}" in models]
    if used:
        lines.append("Weights these images or their labels were made with:")
        lines += [
            "",
            *(
                f"- {markdown_code(w.name)}: {markdown(w.licence)}. Trained on {markdown(w.data)}."
                for w in used
            ),
            "",
        ]
    shown = any("fairface" in str(name) for name in photographs)
    if shown or any("FairFace" in w.data for w in used) or "reenact-warp" in distinct(table["method"]):
        subject = "FairFace is a source of the photographs, and" if shown else "FairFace"
        lines += [
            (
                f"{subject} stands behind those weights, the landmark model and the shape model of"
                " `reenact-warp`:"
            ),
            "",
            f"> {FAIRFACE}",
            "",
            "The landmark model's training labels were made with MediaPipe Face Mesh (Apache-2.0).",
        ]
    return "\n".join(lines) + "\n"
