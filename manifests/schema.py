"""The manifest's parquet schema, and `validate`: what is wrong with a manifest, finding by finding.

Schema version 1. The version and the taxonomy stand in the file's metadata (`fairforge.schema_version`,
`fairforge.taxonomy`); other metadata (plan, shortfall, creators) are JSON under `fairforge.<name>`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.casting import misfit, text_metadata
from manifests.clip_columns import CLIP_COLUMNS, CLIP_FIELDS, clip_checks, values_of
from manifests.columns import places_in, slices, where
from manifests.containment import bad_name, inside, path_escapes
from manifests.errors import DataError
from manifests.escaping import printable
from manifests.families import family_names
from manifests.picture_shards import is_there, picture_digest
from manifests.plain_rows import plain_rows
from manifests.taxonomy import TAXONOMIES

SCHEMA_VERSION = 1
SPLITS = ("train", "val", "test")
PHOTOGRAPH, SYNTHETIC = "photograph", "synthetic"
ORIGINS = (PHOTOGRAPH, SYNTHETIC)
"""Where a face comes from: a camera or a generator. A forgery has the origin of the face that was changed."""

_STRING, _F32, _I32 = pa.string(), pa.float32(), pa.int32()
FIELDS: tuple[tuple[str, pa.DataType, bool], ...] = (
    ("image_id", _STRING, False),
    ("path", _STRING, False),
    ("sha256", _STRING, True),
    ("width", _I32, True),
    ("height", _I32, True),
    ("label", pa.int8(), False),
    ("method", _STRING, False),
    ("family", _STRING, False),
    ("race", _STRING, True),
    ("gender", _STRING, True),
    ("age", _STRING, True),
    ("cell", _STRING, True),
    ("race_prob", _F32, True),
    ("gender_prob", _F32, True),
    ("attribute_source", _STRING, True),
    ("target_id", _STRING, True),
    ("source_id", _STRING, True),
    ("driver_id", _STRING, True),
    ("target_cell", _STRING, True),
    ("source_cell", _STRING, True),
    ("identity_id", _STRING, True),
    ("pair_id", _STRING, True),
    ("video_id", _STRING, True),
    ("split", _STRING, True),
    ("landmarks", pa.list_(_F32), True),
    ("landmark_scheme", _STRING, True),
    ("mask_path", _STRING, True),
    ("codec", _STRING, True),
    ("quality", _I32, True),
    ("generator", _STRING, True),
    ("generator_sha256", _STRING, True),
    ("seed", pa.int64(), True),
    ("psi", _F32, True),
    ("licence", _STRING, True),
    ("consent", _STRING, True),
    ("dataset", _STRING, True),
    ("counterfactual_id", _STRING, True),
    ("tuple_id", _STRING, True),
    ("origin", _STRING, True),
)
LATER = ("tuple_id", "origin", *CLIP_COLUMNS)
"""Columns younger than the first manifests of schema version 1: where one is lacking it is read as null."""
CHECKED = ("image_id", "path", "label", "method", "family", "cell", "target_id", "split", "mask_path", *LATER)
"""Columns whose values `check_table` looks at."""
SCHEMA = pa.schema([pa.field(name, kind, nullable=null) for name, kind, null in (*FIELDS, *CLIP_FIELDS)])


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a manifest. `code` is stable, `ids` are up to five examples, `count` how many
    rows.
    """

    code: str
    message: str
    count: int = 1
    ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        examples = f" (e.g. {', '.join(self.ids)})" if self.ids else ""
        return f"{self.code}: {self.message}, {self.count} row{'s' if self.count != 1 else ''}{examples}"


def _columns(table: pa.Table, read: Collection[str]) -> list[Finding]:
    out, missing, kinds = [], [], []
    for field in SCHEMA:
        if field.name not in read:
            continue
        if field.name not in table.column_names:
            missing += [field.name] * (field.name not in LATER)
        elif table.schema.field(field.name).type != field.type:
            kinds.append(f"{field.name} is {misfit(table.column(field.name), field.type)}")
        elif not field.nullable and table.column(field.name).null_count:
            out.append(
                Finding("null", f"column {field.name} must not be null", table.column(field.name).null_count)
            )
    if missing:
        out.append(Finding("missing-column", f"it lacks the columns {', '.join(missing)}", table.num_rows))
    if kinds:
        out.append(Finding("column-type", f"columns are of another kind: {', '.join(kinds)}", table.num_rows))
    return out


def _metadata(table: pa.Table) -> list[Finding]:
    """Entries of the metadata that are read as JSON, and are none or of another shape."""
    out = []
    for name in ("plan", "shortfall"):
        try:
            value = json.loads(metadata_of(table).get(name, "{}"))
            if not isinstance(value, dict) or (name == "plan" and not all(map(_is_counts, value.values()))):
                raise ValueError("not an object of counts")
        except (ValueError, RecursionError) as error:
            out.append(
                Finding("bad-metadata", f"fairforge.{name} in the file's metadata cannot be read: {error}", 1)
            )
    return out


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(n, int) for n in value.values())


def _where(table: pa.Table, mask: list[bool], code: str, message: str) -> list[Finding]:
    ids = [i for i, bad in zip(table.column("image_id").to_pylist(), mask, strict=True) if bad]
    return [Finding(code, message, len(ids), tuple(printable(str(i)) for i in ids[:5]))] if ids else []


def _row_checks(table: pa.Table, cells: Collection[str] | None) -> list[tuple[str, str, list[bool]]]:
    """(code, message, whether each row breaks it) of all that one row shows by itself.

    Args:
        table: rows of a manifest.
        cells: of its taxonomy; None where that is not known.
    """
    ids = table.column("image_id").to_pylist()
    label, method = table.column("label").to_pylist(), table.column("method").to_pylist()
    family, split = table.column("family").to_pylist(), table.column("split").to_pylist()
    families = family_names()
    known = cells if cells is not None else ()
    return [
        (
            "bad-id",
            "image_id is no name of a file (it is empty or dots alone, or has /, \\ or control characters)",
            [bad_name(i) for i in ids],
        ),
        ("bad-label", "label is neither 0 nor 1", [v not in (0, 1) for v in label]),
        (
            "real-method",
            "a real image must have method and family 'none', a fake must not",
            [
                (v == 0) != (m == "none") or (m == "none") != (f == "none")
                for v, m, f in zip(label, method, family, strict=True)
            ],
        ),
        ("bad-family", f"family is not one of {', '.join(families)}", [f not in families for f in family]),
        (
            "bad-split",
            f"split is not one of {', '.join(SPLITS)}",
            [s is not None and s not in SPLITS for s in split],
        ),
        (
            "bad-origin",
            f"origin is not one of {', '.join(ORIGINS)}",
            [o is not None and o not in ORIGINS for o in column_or_nulls(table, "origin")],
        ),
        (
            "path-escapes",
            "path leaves the manifest's folder",
            [path_escapes(p) for p in table.column("path").to_pylist()],
        ),
        (
            "path-escapes",
            "mask_path leaves the manifest's folder",
            [p is not None and path_escapes(p) for p in table.column("mask_path").to_pylist()],
        ),
        (
            "path-escapes",
            "audio_path leaves the manifest's folder",
            [p is not None and path_escapes(p) for p in values_of(table, "audio_path")],
        ),
        *clip_checks(table),
        (
            "bad-cell",
            f"cell is not in taxonomy {metadata_of(table).get('taxonomy', '')}",
            [
                cells is not None and c is not None and c not in known
                for c in table.column("cell").to_pylist()
            ],
        ),
    ]


def _finding(code: str, message: str, count: int, ids: Iterable[str]) -> list[Finding]:
    return [Finding(code, message, count, tuple(printable(str(i)) for i in ids))] if count else []


def _rows(table: pa.Table, ids: pa.ChunkedArray) -> list[Finding]:
    """Findings about rows. Those that are not plainly in order are looked at in pieces: a million of them as
    Python objects would fill the memory.
    """
    out: list[Finding] = []
    before, behind = ids.slice(0, max(len(ids) - 1, 0)), ids.slice(1)
    if not pc.all(
        pc.less(before, behind)
    ).as_py():  # where each is less than the next one, none is there twice
        twice = places_in(ids, ids) != np.arange(len(ids))
        out += _finding("duplicate-id", "image_id is not unique", *where(pa.table({"image_id": ids}), twice))
        if pc.any(pc.greater(before, behind)).as_py():
            out.append(Finding("unsorted", "rows are not sorted by image_id", len(ids)))
    name = metadata_of(table).get("taxonomy", "")
    cells = set(TAXONOMIES[name].cells) if name in TAXONOMIES else None
    counts: list[int] = []
    shown: list[list[str]] = []
    checks = _row_checks(table.slice(0, 0), cells)
    allowed = {"family": family_names(), "split": SPLITS, "origin": ORIGINS}
    doubtful = ~plain_rows(table, allowed if cells is None else {**allowed, "cell": cells})
    for part in slices(table.filter(pa.array(doubtful))) if doubtful.any() else ():
        own, names = _row_checks(part, cells), part.column("image_id")
        counts, shown = counts or [0] * len(own), shown or [[] for _ in own]
        for k, (_, _, mask) in enumerate(own):
            if any(mask):
                at = [place for place, bad in enumerate(mask) if bad]
                counts[k] += len(at)
                shown[k] += [names[place].as_py() for place in at[: 5 - len(shown[k])]]
    found = [
        _finding(code, text, n, some) for (code, text, _), n, some in zip(checks, counts, shown, strict=False)
    ]
    targets = table.column("target_id")
    dangling = (places_in(targets, ids) < 0) & pc.is_valid(targets).to_numpy()
    missing = _finding(
        "dangling-target", "target_id names no image of this manifest", *where(table, dangling)
    )
    return [*out, *(one for part in found[:-1] for one in part), *missing, *(found[-1] if found else [])]


def with_later_columns(table: pa.Table) -> pa.Table:
    """The table with the columns of `LATER` that an older manifest lacks, null, in the schema's order."""
    for name in LATER:
        if name not in table.column_names:
            field = SCHEMA.field(name)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table


def column_or_nulls(table: pa.Table, name: str) -> list[Any]:
    """The values of a column, nulls where an older manifest lacks it."""
    return list(table.column(name).to_pylist()) if name in table.column_names else [None] * table.num_rows


def first_levels(table: pa.Table) -> pa.Table:
    """The rows that are no further quality of an image: one of each aligned quality tuple, and all rows
    without one.
    """
    if "tuple_id" not in table.column_names or table.column("tuple_id").null_count == table.num_rows:
        return table
    own = pc.equal(table.column("tuple_id"), table.column("image_id"))
    return table.filter(pc.fill_null(own, True))


def check_table(
    table: pa.Table, read: Collection[str] = SCHEMA.names, ids: pa.ChunkedArray | None = None
) -> list[Finding]:
    """Findings about columns, types, ids, labels, families, splits, paths and cells; empty when all is
    well.

    Args:
        table: the rows.
        read: the columns that have to be there, all of `CHECKED` among them.
        ids: their image_ids in the order that they are to have; None: that of the rows.
    """
    found = _columns(table, read)
    return found or [*_metadata(table), *_rows(table, table["image_id"] if ids is None else ids)]


def check_files(table: pa.Table, folder: Path, *, digests: bool = True) -> list[Finding]:
    """Findings about the files: missing, links that lead out of the folder, or with another digest than the
    manifest says.
    """
    missing, changed, away = ([False] * table.num_rows for _ in range(3))
    for columns in (("path", "sha256"), ("audio_path", "audio_sha256")):
        for k, (path, sha) in enumerate(zip(*(values_of(table, name) for name in columns), strict=True)):
            if path is None:
                continue
            file: Path | None = None
            with suppress(DataError):
                file = inside(folder, path)
            away[k] |= file is None
            there = file if file is not None and is_there(file) else None
            missing[k] |= file is not None and there is None
            changed[k] |= bool(
                digests and sha is not None and there is not None and picture_digest(there) != sha
            )
    out = _where(table, missing, "missing-file", "the image, clip or sound file is not there")
    out += _where(
        table,
        away,
        "link-leaves",
        "the image, clip or sound file is a link that leads out of the manifest's folder",
    )
    return out + _where(
        table,
        changed,
        "changed-file",
        "the image, clip or sound file is not the one described (sha256 differs)",
    )


def metadata_of(table: pa.Table) -> dict[str, str]:
    """The `fairforge.*` entries of the table's metadata, prefix removed."""
    items = text_metadata(table.schema).items()
    return {name.removeprefix("fairforge."): value for name, value in items if name.startswith("fairforge.")}


def origin_counts(table: pa.Table) -> dict[tuple[str | None, str | None, str | None, int, str], int]:
    """Rows per (split, cell, origin, label, method)."""
    table = with_later_columns(table)
    keys = ["split", "cell", "origin", "label", "method"]
    grouped = table.group_by(keys).aggregate([("image_id", "count")])
    rows = grouped.sort_by([(k, "ascending") for k in keys]).to_pylist()
    return {(r["split"], r["cell"], r["origin"], r["label"], r["method"]): r["image_id_count"] for r in rows}


def fakes(table: pa.Table) -> pa.Table:
    """The rows with label 1."""
    return table.filter(pc.equal(table.column("label"), 1))
