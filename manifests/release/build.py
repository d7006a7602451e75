"""Builds a release: a folder with images, masks, manifest, card, licences, citation, Croissant file and checksums.

It is built beside its place and renamed into it, so a release is there whole or not at all. The same manifest and
`ReleaseInfo` give the same bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import digest_file, write_json, write_text
from manifests.errors import DataError, disk_errors
from manifests.release.card import card
from manifests.release.checksums import NAME, write_checksums
from manifests.release.croissant import croissant
from manifests.release.info import ReleaseInfo, ReleaseResult
from manifests.release.licences import licences_text
from manifests.store import manifest_file, read_manifest, write_manifest


def _copy(table: pa.Table, source: Path, target: Path) -> None:
    for column in ("path", "mask_path"):
        for name in table.column(column).to_pylist():
            if name is None:
                continue
            if not (source / name).is_file():
                raise DataError(str(source / name), "is not there, but the manifest names it", "make the dataset again")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def _citation(info: ReleaseInfo) -> str:
    authors = "\n".join(f"  - name: \"{name}\"" for name in info.creators)
    return (
        f"cff-version: 1.2.0\nmessage: If you use this dataset, please cite it.\ntype: dataset\ntitle: \"{info.name}\"\n"
        f"version: \"{info.version}\"\ndate-released: \"{info.date}\"\nauthors:\n{authors}\n"
    )


def build_release(
    manifest: Path | str, out: Path | str, info: ReleaseInfo, extras: Mapping[str, Any] | None = None,
) -> ReleaseResult:
    """Build the release of a manifest at `out`, replacing an older one only when the new one is whole.

    Raises:
        MissingError, DataError: the manifest or one of its files is missing or broken.
        PartialError: the disk is full; nothing half is left.
    """
    manifest, out = manifest_file(manifest), Path(out)
    table = read_manifest(manifest)
    building, old = out.with_name(f".{out.name}.building"), out.with_name(f".{out.name}.old")
    for leftover in (building, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        with disk_errors(out):
            building.mkdir(parents=True)
            _copy(table, manifest.parent, building)
            write_manifest(table, building / "manifest.parquet")
            write_text(building / "README.md", card(table, info, extras or {}))
            write_text(building / "LICENSES.md", licences_text(table, info.licence))
            write_text(building / "CITATION.cff", _citation(info))
            data = building / "manifest.parquet"
            write_json(building / "croissant.json", croissant(table, info, digest_file(data), data.stat().st_size))
            digests = write_checksums(building)
            if out.exists():
                out.rename(old)
            building.rename(out)
    finally:
        for leftover in (building, old):
            shutil.rmtree(leftover, ignore_errors=True)
    return ReleaseResult(out, table.num_rows, {**digests, NAME: digest_file(out / NAME)})
