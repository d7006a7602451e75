"""Is `croissant.json` Croissant 1.1 that fits its release? Names, digests, columns, and the eight RAI and
PROV properties.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from manifests.atomic import digest_file
from manifests.containment import inside
from manifests.errors import DataError, UserError
from manifests.release.croissant import VERSION
from manifests.release.provenance import PROV_FIELDS, RAI_FIELDS
from manifests.schema import Finding
from manifests.store import read_table
from manifests.text_files import read_json

KINDS = ("cr:FileObject", "cr:FileSet")


def _below(folder: Path, name: str) -> Path | None:
    """The file of this name in the release; None where there is none, or the name leaves the folder."""
    with suppress(DataError):
        return path if (path := inside(folder, name)).is_file() else None
    return None


def _parts(data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """sha256 by contentUrl of the file objects, and the columns of all fields.

    Raises:
        KeyError, TypeError, AttributeError: the document is of another form.
    """
    strange = [d["@type"] for d in data["distribution"] if d["@type"] not in KINDS]
    if strange:
        raise TypeError(f"a distribution is {strange[0]!r}, not one of {', '.join(KINDS)}")
    objects = {d["contentUrl"]: d.get("sha256") for d in data["distribution"] if d["@type"] == KINDS[0]}
    if any("contentUrl" in d for d in data["distribution"] if d["@type"] == KINDS[1]):
        raise TypeError("a cr:FileSet has a contentUrl")
    columns = [f["source"]["extract"]["column"] for records in data["recordSet"] for f in records["field"]]
    if odd := [value for value in (*objects, *columns) if not isinstance(value, str)]:
        raise TypeError(f"a contentUrl or column is {odd[0]!r}, not text")
    return objects, columns


def _said(value: Any) -> bool:
    """Whether a property says something: a boolean, text, a node, or a list of such."""
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(
        isinstance(one, bool) or (isinstance(one, str | dict) and bool(one)) for one in values
    )


def check_croissant(folder: Path) -> list[Finding]:
    """Does croissant.json parse, conform to Croissant 1.1, name files that are there, and only columns that
    the manifest has?
    """
    try:
        data = read_json(folder / "croissant.json", dict)
        objects, columns = _parts(data)
    except (KeyError, TypeError, AttributeError) as error:
        return [Finding("croissant", f"croissant.json is not as it should be ({error!r})")]
    except UserError as error:
        return [Finding("croissant", str(error))]
    out = []
    conforms = data.get("conformsTo")
    if VERSION not in (conforms if isinstance(conforms, list) else [conforms]):
        out.append(Finding("croissant", f"croissant.json does not say that it conforms to {VERSION}"))
    for code, message, names in (
        (
            "croissant",
            "croissant.json lacks a property",
            [n for n in ("name", "license", "creator") if not _said(data.get(n))],
        ),
        (
            "rai",
            "croissant.json lacks a property of responsible use",
            [n for n in RAI_FIELDS if not _said(data.get(n))],
        ),
        (
            "provenance",
            "croissant.json lacks a property of provenance",
            [n for n in PROV_FIELDS if not _said(data.get(n))],
        ),
        (
            "provenance",
            "croissant.json does not say whose reading a perceived attribute is",
            _unattributed(folder, data),
        ),
        ("croissant", "croissant.json lacks a property", ["usageInfo"] * (not _said(data.get("usageInfo")))),
    ):
        if names:
            out.append(Finding(code, message, len(names), tuple(names[:5])))
    return out + _names(folder, objects, columns)


def _names(folder: Path, objects: dict[str, Any], columns: list[str]) -> list[Finding]:
    try:
        known = set(read_table(folder / "manifest.parquet").column_names)
    except UserError:
        known = set(columns)  # the manifest has a finding of its own
    there = {url: file for url in objects if (file := _below(folder, url)) is not None}
    found = (
        ("croissant.json names a file that is not there", [url for url in objects if url not in there]),
        (
            "croissant.json has another digest of a file",
            [url for url, sha in objects.items() if url in there and digest_file(there[url]) != sha],
        ),
        ("croissant.json names a column that the manifest lacks", [c for c in columns if c not in known]),
    )
    return [Finding("croissant", message, len(names), tuple(names[:5])) for message, names in found if names]


def _unattributed(folder: Path, data: dict[str, Any]) -> list[str]:
    """The perceived race and gender where the manifest knows whose readings they are, and croissant.json does
    not.
    """
    try:
        sources = set(read_table(folder / "manifest.parquet").column("attribute_source").to_pylist()) - {
            None,
            "inherited",
        }
    except (UserError, KeyError):
        return []
    said = {
        f["source"]["extract"]["column"]
        for records in data["recordSet"]
        for f in records["field"]
        if _said(f.get("prov:wasAttributedTo"))
    }
    return [name for name in ("race", "gender") if name not in said] if sources else []
