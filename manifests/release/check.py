"""`check_release`: is a release whole? Checksums, missing and extra files, manifest, images that decode, Croissant."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from manifests.atomic import digest_file
from manifests.clip_columns import IMAGE, VIDEO, values_of
from manifests.clips.facts import clip_facts, sound_facts
from manifests.containment import inside
from manifests.errors import DataError, MissingError, UserError
from manifests.images import read_image
from manifests.release.checksums import NAME, files_below, read_checksums
from manifests.schema import Finding
from manifests.store import read_table, validate
from manifests.watching import watched

NEEDED = ("manifest.parquet", "README.md", "LICENSES.md", "CITATION.cff", "croissant.json", NAME)


def _finding(code: str, message: str, names: list[str]) -> list[Finding]:
    return [Finding(code, message, len(names), tuple(names[:5]))] if names else []


def check_release(folder: Path | str) -> list[Finding]:
    """All findings about a release folder; empty when all is well.

    Raises:
        MissingError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingError(str(folder), "is not a folder", "name the folder of a release")
    lacking = _finding("missing-file", "the release lacks a file", [n for n in NEEDED if not (folder / n).is_file()])
    if lacking:
        return lacking
    try:
        sums = read_checksums(folder)
        found = _sums(folder, sums)
        found += validate(folder / "manifest.parquet", digests=True)
    except UserError as error:
        return [Finding("unreadable", str(error))]
    return found + ([] if found else _images(folder)) + _croissant(folder)


def _sums(folder: Path, sums: dict[str, str]) -> list[Finding]:
    there = set(files_below(folder))
    gone = sorted(set(sums) - there)
    changed = sorted(n for n, sha in sums.items() if n in there and digest_file(inside(folder, n)) != sha)
    return [
        *_finding("missing-file", "a file in SHA256SUMS is not there", gone),
        *_finding("changed-file", "a file is not the one in SHA256SUMS", changed),
        *_finding("extra-file", "a file is not in SHA256SUMS", sorted(there - set(sums))),
    ]


def _readable(folder: Path, name: str, media: str | None, sound: str | None) -> None:
    """Read an image, or the packets of a clip and of its sound.

    Raises:
        UserError: one cannot be read, or a name leaves the folder.
    """
    if media != VIDEO:
        read_image(inside(folder, name))
        return
    clip_facts(inside(folder, name))
    if sound is not None:
        sound_facts(inside(folder, sound))


def _images(folder: Path) -> list[Finding]:
    bad: dict[str, list[str]] = {IMAGE: [], VIDEO: []}
    table = read_table(folder / "manifest.parquet")
    files = list(zip(*(values_of(table, name) for name in ("path", "media", "audio_path")), strict=True))
    for name, media, sound in watched(files, "checking", "files"):
        try:
            _readable(folder, name, media, sound)
        except UserError:
            bad[VIDEO if media == VIDEO else IMAGE].append(name)
    return [*_finding("unreadable-image", "an image does not decode", bad[IMAGE]),
            *_finding("unreadable-clip", "a clip cannot be read", bad[VIDEO])]


def _below(folder: Path, name: str) -> Path | None:
    """The file of this name in the release; None where there is none, or the name leaves the folder."""
    with suppress(DataError):
        return path if (path := inside(folder, name)).is_file() else None
    return None


def _croissant(folder: Path) -> list[Finding]:
    """Does croissant.json parse, name files that are there, and only columns that the manifest has?"""
    try:
        data = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
        objects = {d["contentUrl"]: d.get("sha256") for d in data["distribution"] if d["@type"] == "cr:FileObject"}
        columns = [f["source"]["extract"]["column"] for records in data["recordSet"] for f in records["field"]]
        if strange := [v for v in (*objects, *columns) if not isinstance(v, str)]:
            raise TypeError(f"a contentUrl or column is {strange[0]!r}, not text")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        return [Finding("croissant", f"croissant.json is not as it should be ({error!r})")]
    names = set(read_table(folder / "manifest.parquet").column_names)
    there = {url: file for url in objects if (file := _below(folder, url)) is not None}
    return [
        *_finding("croissant", "croissant.json names a file that is not there",
                  [url for url in objects if url not in there]),
        *_finding("croissant", "croissant.json has another digest of a file",
                  [url for url, sha in objects.items() if url in there and digest_file(there[url]) != sha]),
        *_finding("croissant", "croissant.json names a column that the manifest lacks",
                  [c for c in columns if c not in names]),
    ]
