"""Builds a release: a folder with images, masks, manifest, card, datasheet, licences, citation, Croissant
file and checksums.

It is built beside its place and renamed into it, so a release is there whole or not at all. The same manifest
and `ReleaseInfo` give the same bytes, unless it is signed: signatures are drawn anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import digest_file, make_folder, write_json, write_text
from manifests.clip_columns import VIDEO
from manifests.columns import rows_of
from manifests.containment import inside
from manifests.errors import UsageError, disk_errors
from manifests.release.card import card
from manifests.release.checksums import NAME, write_checksums
from manifests.release.croissant import croissant
from manifests.release.datasheet import datasheet
from manifests.release.exporting import clip_of, image_bytes
from manifests.release.facts import NAME as FACTS
from manifests.release.facts import facts_of
from manifests.release.info import ReleaseInfo, ReleaseResult
from manifests.release.layout import hub_schema, hub_tables, placed
from manifests.release.licences import licences_csv, licences_text
from manifests.release.signing import Credentials, sign_images
from manifests.release.withdrawal import withdraw
from manifests.store import manifest_file, read_manifest, write_manifest, write_pieces
from manifests.watching import watched


def _copy(table: pa.Table, there: pa.Table, source: Path, target: Path) -> None:
    """Copy images and clips, compared with their digests, and masks; each is read before it is given away.

    Args:
        table: the manifest of `source`.
        there: the same with the paths of the release.
        source: folder of the manifest.
        target: folder of the release.

    Raises:
        DataError: one is not there, is no readable picture or not the one its row describes, or a link that
            leads out.
    """
    columns = ["image_id", "path", "sha256", "mask_path", "media", "audio_path", "audio_sha256"]
    places = rows_of(there, ["path", "mask_path"])
    rows = zip(rows_of(table, columns), places, strict=True)
    for row, place in watched(rows, "copying", "rows", total=table.num_rows):
        if row["media"] == VIDEO:
            names = [name for name in (row["path"], row["audio_path"]) if name is not None]
            for name, (_, file) in zip(names, clip_of(source, row), strict=True):
                shutil.copyfile(file, _place(target, name))
            continue
        _place(target, place["path"]).write_bytes(image_bytes(source, row["path"], row["sha256"]))
        if row["mask_path"] is not None:
            _place(target, place["mask_path"]).write_bytes(image_bytes(source, row["mask_path"], None))


def _place(target: Path, name: str) -> Path:
    place = inside(target, name)
    make_folder(place.parent)
    return place


def _check_place(out: Path) -> None:
    """Replace nothing but an empty folder or an earlier release."""
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / NAME).is_file()):
        raise UsageError(
            str(out), "is there and is not a release", "choose another folder, or empty this one"
        )


def _put(building: Path, out: Path, old: Path) -> None:
    """Rename the finished release into its place; the older one goes only after that, or comes back."""
    if out.exists():
        out.rename(old)
    try:
        building.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _citation(info: ReleaseInfo) -> str:
    quote = partial(json.dumps, ensure_ascii=False)  # a JSON string is a YAML string
    authors = "\n".join(f"  - name: {quote(name)}" for name in info.creators)
    date = f"date-released: {quote(info.date)}\n" if info.date else ""
    return (
        "cff-version: 1.2.0\nmessage: If you use this dataset, please cite it.\ntype: dataset\ntitle:"
        f" {quote(info.name)}\nversion: {quote(info.version)}\n{date}authors:\n{authors}\n"
    )


def write_papers(
    folder: Path,
    table: pa.Table,
    info: ReleaseInfo,
    extras: Mapping[str, Any],
    withdrawn: Sequence[Mapping[str, Any]],
    signed: Mapping[str, str] | None,
) -> None:
    """Write everything about the pictures: manifest, `metadata.parquet`, card, datasheet, licences, citation,
    Croissant, facts.

    Args:
        folder: of the release, with its images.
        table: its manifest.
        info: what the giver says.
        extras: as `card` takes them.
        withdrawn: as `withdraw` gives it.
        signed: of the certificate; None for a release that is not signed.
    """
    data = folder / "manifest.parquet"
    write_manifest(table, data)
    for name, rows in hub_tables(table):
        write_pieces(rows, hub_schema(table), inside(folder, name))
    write_text(folder / "README.md", card(table, info, extras))
    write_text(folder / "DATASHEET.md", datasheet(table, info, withdrawn))
    write_text(folder / "LICENSES.md", licences_text(table, info.licence))
    write_text(folder / "LICENSES.csv", licences_csv(table))
    write_text(folder / "CITATION.cff", _citation(info))
    write_json(folder / "croissant.json", croissant(table, info, digest_file(data), data.stat().st_size))
    write_json(folder / FACTS, facts_of(table, info, digest_file(data), withdrawn, signed))


def build_release(
    manifest: Path | str,
    out: Path | str,
    info: ReleaseInfo,
    extras: Mapping[str, Any] | None = None,
    credentials: Credentials | None = None,
) -> ReleaseResult:
    """Build the release of a manifest at `out`, replacing an older one only when the new one is whole.

    Args:
        manifest: its file or folder.
        out: folder of the release.
        info: what the giver says.
        extras: as `card` takes them.
        credentials: of who signs the images; None: nobody does.

    Raises:
        MissingError, DataError: the manifest or one of its files is missing or broken.
        UsageError: `out` holds something that is not a release. PartialError: the disk is full; nothing half
            is left.
    """
    manifest, out = manifest_file(manifest), Path(out)
    table = read_manifest(manifest)
    building, old = out.with_name(f".{out.name}.building"), out.with_name(f".{out.name}.old")
    if old.exists() and not out.exists():
        old.rename(out)  # an earlier build was killed between its two renames
    shutil.rmtree(old, ignore_errors=True)  # ... or after the second
    _check_place(out)
    shutil.rmtree(building, ignore_errors=True)
    try:
        with disk_errors(out):
            make_folder(building)
            table, gone = withdraw(table, info.withdrawn)
            there = placed(table, manifest.parent)
            _copy(table, there, manifest.parent, building)
            if credentials is not None:
                paths = dict(zip(table["image_id"].to_pylist(), table["path"].to_pylist(), strict=True))
                there = sign_images(building, there, manifest.parent, paths, credentials)
            write_papers(
                building, there, info, extras or {}, gone, credentials.facts if credentials else None
            )
            digests = write_checksums(building)
            _put(building, out, old)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return ReleaseResult(out, table.num_rows, {**digests, NAME: digest_file(out / NAME)})
