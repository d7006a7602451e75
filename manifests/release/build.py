"""Builds a release: a folder with images, masks, manifest, card, licences, citation, Croissant file and checksums.

It is built beside its place and renamed into it, so a release is there whole or not at all. The same manifest and
`ReleaseInfo` give the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import digest_file, make_folder, write_json, write_text
from manifests.clip_columns import VIDEO
from manifests.containment import inside
from manifests.errors import UsageError, disk_errors
from manifests.release.card import card
from manifests.release.checksums import NAME, write_checksums
from manifests.release.croissant import croissant
from manifests.release.exporting import clip_of, image_bytes
from manifests.release.info import ReleaseInfo, ReleaseResult
from manifests.release.licences import licences_text
from manifests.store import manifest_file, read_manifest, write_manifest
from manifests.watching import watched


def _copy(table: pa.Table, source: Path, target: Path) -> None:
    """Copy images and clips, compared with their digests, and masks; each is read before it is given away.

    Raises:
        DataError: one is not there, is no readable picture or not the one its row describes, or a link that leads out.
    """
    rows = table.select(["image_id", "path", "sha256", "mask_path", "media", "audio_path", "audio_sha256"]).to_pylist()
    for row in watched(rows, "copying", "rows"):
        if row["media"] == VIDEO:
            names = [name for name in (row["path"], row["audio_path"]) if name is not None]
            for name, (_, file) in zip(names, clip_of(source, row), strict=True):
                shutil.copyfile(file, _place(target, name))
            continue
        _place(target, row["path"]).write_bytes(image_bytes(source, row["path"], row["sha256"]))
        if row["mask_path"] is not None:
            _place(target, row["mask_path"]).write_bytes(image_bytes(source, row["mask_path"], None))


def _place(target: Path, name: str) -> Path:
    place = inside(target, name)
    make_folder(place.parent)
    return place


def _check_place(out: Path) -> None:
    """Replace nothing but an empty folder or an earlier release."""
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / NAME).is_file()):
        raise UsageError(str(out), "is there and is not a release", "choose another folder, or empty this one")


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
        f"cff-version: 1.2.0\nmessage: If you use this dataset, please cite it.\ntype: dataset\ntitle: {quote(info.name)}\n"
        f"version: {quote(info.version)}\n{date}authors:\n{authors}\n"
    )


def build_release(
    manifest: Path | str, out: Path | str, info: ReleaseInfo, extras: Mapping[str, Any] | None = None,
) -> ReleaseResult:
    """Build the release of a manifest at `out`, replacing an older one only when the new one is whole.

    Raises:
        MissingError, DataError: the manifest or one of its files is missing or broken.
        UsageError: `out` holds something that is not a release. PartialError: the disk is full; nothing half is left.
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
            _copy(table, manifest.parent, building)
            write_manifest(table, building / "manifest.parquet")
            write_text(building / "README.md", card(table, info, extras or {}))
            write_text(building / "LICENSES.md", licences_text(table, info.licence))
            write_text(building / "CITATION.cff", _citation(info))
            data = building / "manifest.parquet"
            write_json(building / "croissant.json", croissant(table, info, digest_file(data), data.stat().st_size))
            digests = write_checksums(building)
            _put(building, out, old)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return ReleaseResult(out, table.num_rows, {**digests, NAME: digest_file(out / NAME)})
