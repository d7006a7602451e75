"""What a run holds: `status` (how far, with which figures) and `inspect` (one image and where it comes
from).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.atomic import write_bytes
from manifests.clip_columns import VIDEO
from manifests.errors import MissingError, UsageError
from manifests.escaping import one_line
from manifests.images import decode, encode
from manifests.schema import metadata_of
from manifests.store import read_images, read_manifest, read_table
from manifests.taxonomy import TAXONOMIES
from manifests.text_files import read_json
from pipeline.commands.talking import RECORDS
from pipeline.engine.config_file import load_config
from pipeline.engine.run_directory import RunDirectory
from pipeline.stages.verify.faces import NUMBERS

SHEET_QUALITY = 88
"""JPEG quality of a contact sheet."""


def open_run(out: Path) -> RunDirectory:
    """The run in `out`.

    Raises:
        MissingError: there is none.
    """
    if not (out / "config.toml").is_file():
        raise MissingError(str(out), "holds no run", f"start one: fairforge run --out {out}")
    return RunDirectory(out, load_config(out / "config.toml"))


@dataclass(frozen=True)
class Member:
    """Another image of the same pair."""

    image_id: str
    label: int
    method: str
    path: str


@dataclass(frozen=True)
class Forged:
    """How a fake was made. params: as JSON. mask_share: of the pixels that were changed."""

    seed: int
    params: str | None
    mask_share: float | None
    status: str


@dataclass(frozen=True)
class Inspection:
    """What a run knows of one image: nothing of it is there where it was not found.

    image: its row of the manifest. clip: how a talking face was made. candidate: what `verify` said of it, or
    of the face of its pair. They are as the files have them, for people to read.
    """

    image: Mapping[str, Any] | None = None
    pair: tuple[Member, ...] = ()
    forgery: Forged | None = None
    clip: Mapping[str, Any] | None = None
    candidate: Mapping[str, Any] | None = None
    forged: bool = False
    """Whether it is a fake of a run that has forged some."""
    talks: bool = False
    """Whether it is a clip of a run that has made some."""

    def as_json(self) -> dict[str, Any]:
        """Section by section, those that there are."""
        out: dict[str, Any] = {}
        if self.image is not None:
            out = {"image": dict(self.image), "pair": [vars(member) for member in self.pair]}
        if self.forged:
            out["forgery"] = None if self.forgery is None else vars(self.forgery)
        if self.talks:
            out["clip"] = self.clip
        if self.candidate is not None:
            out["candidate"] = dict(self.candidate)
        return out


def _row_of(table: pa.Table, image_id: str) -> dict[str, Any] | None:
    """The row whose id begins so; None where there is none.

    Raises:
        UsageError: the beginning fits several.
    """
    ids = table.column("image_id").to_pylist()
    found = [k for k, name in enumerate(ids) if name.startswith(image_id)]
    if len(found) > 1:
        names = ", ".join(ids[k] for k in found[:4])
        raise UsageError(
            f"image {image_id!r}", f"stands for {len(found)} images ({names}, ...)", "give more digits"
        )
    rows: list[dict[str, Any]] = table.take(found).to_pylist() if found else []
    return rows[0] if rows else None


def _members(table: pa.Table, row: Mapping[str, Any]) -> tuple[Member, ...]:
    """The others of its pair."""
    mine = table.filter(pc.equal(table["pair_id"], row["pair_id"])) if row["pair_id"] else table.slice(0, 0)
    others = mine.select([field.name for field in fields(Member)]).to_pylist()
    return tuple(Member(**other) for other in others if other["image_id"] != row["image_id"])


def _forged(fakes: Path, image_id: str) -> Forged | None:
    row = _row_of(read_table(fakes), image_id)
    return None if row is None else Forged(**{field.name: row[field.name] for field in fields(Forged)})


def _verdict(run: RunDirectory, image_id: str) -> dict[str, Any] | None:
    """What verify said of a candidate; None when no candidate has this id."""
    faces = run.folder("verify") / "faces.parquet"
    if not faces.is_file():
        return None
    table = read_table(faces)
    return _row_of(table.drop_columns([name for name in NUMBERS if name in table.column_names]), image_id)


def find_image(run: RunDirectory, image_id: str) -> Inspection:
    """One image of a run, in the dataset or rejected on the way.

    Raises:
        UsageError: the beginning fits several images.
    """
    manifest, fakes = run.folder("pair") / "manifest.parquet", run.folder("forge") / "fakes.parquet"
    table = read_manifest(manifest).drop_columns(["landmarks"]) if manifest.is_file() else None
    row = None if table is None else _row_of(table, image_id)
    if table is None or row is None:
        return Inspection(candidate=_verdict(run, image_id))
    forged = row["label"] == 1 and fakes.is_file()
    records = run.folder("talk") / RECORDS
    talks = row["media"] == VIDEO and records.is_file()
    clip = read_json(records, dict).get(row["image_id"]) if talks else None
    return Inspection(
        image=row,
        pair=_members(table, row),
        forgery=_forged(fakes, row["image_id"]) if forged else None,
        clip=clip,
        candidate=_verdict(run, (clip or {}).get("face_id") or row["pair_id"]),
        forged=forged,
        talks=talks,
    )


def inspect_image(out: Path, image_id: str) -> tuple[dict[str, Any], str]:
    """One image of a run, in the dataset or rejected on the way; as values and as text.

    Raises:
        MissingError: no run, or no such image. UsageError: the beginning fits several images.
    """
    run = open_run(out)
    value = find_image(run, image_id).as_json()
    if not value:
        manifest = run.folder("pair") / "manifest.parquet"
        raise MissingError(f"image {image_id!r}", f"is not in {out}", f"see the ids in {manifest}")
    return value, _as_text(value)


def write_contact_sheet(manifest: Path, out: Path, columns: int, seed: int) -> Path:
    """Write a picture of a dataset's cells side by side, real faces above their fakes; returns its path.

    A JPEG where `out` says so, else a PNG.

    Raises:
        MissingError, DataError: the manifest or an image cannot be read.
    """
    from pipeline.report.contact_sheet import sheet_png

    table = read_images(manifest)
    cells = sorted({cell for cell in table.column("cell").to_pylist() if cell})
    taxonomy = TAXONOMIES.get(metadata_of(table).get("taxonomy", ""))
    if taxonomy:
        cells = [cell for cell in taxonomy.cells if cell in cells]
    methods = sorted({method for method in table.column("method").to_pylist() if method != "none"})
    data = sheet_png(manifest, cells, methods, columns, seed)
    write_bytes(
        out, encode(decode(data), "jpeg", SHEET_QUALITY) if out.suffix.lower() in (".jpg", ".jpeg") else data
    )
    return out


def _as_text(value: dict[str, Any]) -> str:
    lines = []
    for section, content in value.items():
        lines.append(f"{section}:")
        for item in content if isinstance(content, list) else [content]:
            shown = {k: v for k, v in (item or {}).items() if v is not None}
            separator = "  " if isinstance(content, list) else "\n  "
            lines.append("  " + separator.join(one_line(f"{k}: {v}") for k, v in shown.items()))
    return "\n".join(lines)
