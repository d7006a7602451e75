"""Do the papers of a release say what its manifest says? Facts, licences, card, datasheet,
`metadata.parquet`, withdrawn ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import digest_file
from manifests.containment import inside
from manifests.errors import UserError
from manifests.release.checksums import files_below
from manifests.release.datasheet import SECTIONS
from manifests.release.facts import FORMAT, claims_of, content_digest, counts_of, read_facts
from manifests.release.facts import NAME as FACTS
from manifests.release.layout import METADATA, hub_lines, hub_schema, hub_tables
from manifests.release.licences import licence_lines, licences_csv
from manifests.release.withdrawal import PARENTS, withdrawn_ids
from manifests.schema import Finding, metadata_of
from manifests.store import column_names, read_rows, read_table, row_count
from manifests.text_files import read_text

CLAIMS = {
    "balanced": ("unbalanced", "it says that it is balanced, and is not"),
    "disjoint": ("leak", "it says that its splits share no identity, and they do"),
}


def check_papers(folder: Path) -> list[Finding]:
    """Findings about the files that describe a release whose manifest is valid."""
    pa.default_memory_pool().release_unused()
    table = read_table(folder / "manifest.parquet")
    out = [*_licences(folder, table), *_card(folder, table), *_datasheet(folder), *_hub(folder, table)]
    try:
        facts = read_facts(folder)
    except UserError as error:
        return [*out, Finding("release-json", str(error))]
    return [*out, *_facts(folder, table, facts), *_claims(table, facts), *_withdrawn(folder, table, facts)]


def _facts(folder: Path, table: pa.Table, facts: dict[str, Any]) -> list[Finding]:
    """Counts, digests and taxonomy of `release.json`, counted anew."""
    if facts["format"] != FORMAT:
        return [Finding("release-json", f"{FACTS} has format {facts['format']}, this program reads {FORMAT}")]
    counted, digests = counts_of(table), facts["digests"]
    wrong = [
        f"counts.{name}"
        for name in sorted({*counted, *facts["counts"]})
        if counted.get(name) != facts["counts"].get(name)
    ]
    true = {"manifest.parquet": digest_file(folder / "manifest.parquet"), "content": content_digest(table)}
    wrong += [f"digests.{name}" for name, sha in true.items() if digests.get(name) != sha]
    wrong += ["taxonomy"] * (facts["taxonomy"] != metadata_of(table).get("taxonomy", ""))
    return (
        [Finding("release-json", f"{FACTS} does not fit the manifest", len(wrong), tuple(wrong[:5]))]
        if wrong
        else []
    )


def _claims(table: pa.Table, facts: dict[str, Any]) -> list[Finding]:
    true = claims_of(table)
    lacking = sorted(set(true) - set(facts["claims"]))
    out = (
        [Finding("release-json", f"{FACTS} does not say whether it is {', '.join(lacking)}")]
        if lacking
        else []
    )
    return out + [
        Finding(*CLAIMS[name]) for name, holds in true.items() if facts["claims"].get(name) and not holds
    ]


def _withdrawn(folder: Path, table: pa.Table, facts: dict[str, Any]) -> list[Finding]:
    """Ids that were taken out and are still there: as a row, as what an image was made of, or as a file."""
    gone = withdrawn_ids(facts)
    if not gone:
        return []
    rows = table.select(["image_id", "identity_id", *PARENTS]).to_pylist()
    still = [row["image_id"] for row in rows if gone & set(row.values())]
    files = [name for name in files_below(folder) if Path(name).name.split(".")[0] in gone]
    named = sorted({*still, *files})
    return (
        [Finding("withdrawn", "what was withdrawn is still there", len(named), tuple(named[:5]))]
        if named
        else []
    )


def _licences(folder: Path, table: pa.Table) -> list[Finding]:
    wanted = hashlib.sha256()
    for text in licence_lines(table):
        wanted.update(text.encode())
    if (folder / "LICENSES.csv").is_file() and digest_file(folder / "LICENSES.csv") == wanted.hexdigest():
        return []
    given, true = read_text(folder / "LICENSES.csv"), licences_csv(table)
    if given.splitlines() == true.splitlines():
        return []
    wrong = sorted({line.split(",")[0] for line in set(given.splitlines()) ^ set(true.splitlines())})
    message = "LICENSES.csv does not say for each image what the manifest says"
    return [Finding("licences", message, max(len(wrong), 1), tuple(wrong[:5]))]


def _card(folder: Path, table: pa.Table) -> list[Finding]:
    """Is the card's front matter closed, and does it tell `datasets` where the splits are?"""
    lines = read_text(folder / "README.md").split("\n")
    if lines[0] != "---" or "---" not in lines[1:]:
        return [Finding("card", "README.md has no front matter that a hub would read")]
    head = lines[1 : lines.index("---", 1)]
    wanted = hub_lines(table)
    if wanted != head[head.index(wanted[0]) :] if wanted[0] in head else True:
        return [Finding("card", "README.md does not name the splits and types that the release has")]
    return []


def _datasheet(folder: Path) -> list[Finding]:
    text = read_text(folder / "DATASHEET.md").split("\n")
    lacking = [title for title in SECTIONS if f"## {title}" not in text]
    return (
        [Finding("datasheet", "DATASHEET.md lacks a section", len(lacking), tuple(lacking[:5]))]
        if lacking
        else []
    )


def _hub(folder: Path, table: pa.Table) -> list[Finding]:
    """Does each split's `metadata.parquet` have the rows and types of the manifest?"""
    wrong = []
    wanted: set[str] = set()
    schema = hub_schema(table)
    for name, rows in hub_tables(table):
        wanted.add(name)
        try:
            same = _same(inside(folder, name), rows, schema)
        except UserError:
            same = False
        wrong += [] if same else [name]
    wrong += [name for name in files_below(folder) if Path(name).name == METADATA and name not in wanted]
    message = f"a {METADATA} is not there, or is not what the manifest says"
    return [Finding("hub-metadata", message, len(wrong), tuple(wrong[:5]))] if wrong else []


def _same(path: Path, pieces: Iterable[pa.Table], schema: pa.Schema) -> bool:
    """Whether a file has this schema and the rows of these pieces, one after another, and no more: of it too
    a piece is read at a time.

    Raises:
        MissingError, DataError: as `read_rows`.
    """
    if column_names(path) != schema.names:
        return False
    at = 0
    for piece in pieces:
        given = read_rows(path, at, at + piece.num_rows, schema.names)
        if not (given.schema.equals(schema, check_metadata=True) and given.equals(piece)):
            return False
        at += piece.num_rows
    return at == row_count(path)
