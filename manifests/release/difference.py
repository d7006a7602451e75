"""What differs between two versions of a release, and whether the newer one says so: its version, and what
was withdrawn.

Versions are MAJOR.MINOR.PATCH, as Croissant 1.1 (section "Version") has them: records taken out or changed
raise the first, records added the second, the same pictures in other files (signed, say) the third.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.clip_columns import VIDEO
from manifests.containment import inside
from manifests.errors import MissingError
from manifests.images import read_image
from manifests.release.facts import read_facts
from manifests.release.withdrawal import withdrawn_ids
from manifests.schema import Finding, with_later_columns
from manifests.store import read_table

LEVELS = ("none", "patch", "minor", "major")
FILES = ("path", "sha256", "mask_path", "audio_path", "audio_sha256")
"""Columns that say where and as which bytes a file stands; its pixels are compared where they differ."""
Row = dict[str, Any]


@dataclass(frozen=True)
class ReleaseDifference:
    """versions: old, new. added, removed, changed, repacked: image_ids.

    columns: how many rows have another value in each column. repacked: the same pixels in another file.
    withdrawn: ids that the new release names and the old one did not. level: of `LEVELS`, what the version
    should be raised by. findings: what the new release should say and does not.
    """

    versions: tuple[str, str]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    repacked: tuple[str, ...]
    columns: Mapping[str, int]
    withdrawn: tuple[str, ...]
    level: str
    findings: tuple[Finding, ...]


def _rows(folder: Path) -> dict[str, Row]:
    table: pa.Table = with_later_columns(read_table(folder / "manifest.parquet", ["image_id", "path"]))
    return {row["image_id"]: row for row in table.to_pylist()}


def raised(old: str, new: str) -> str | None:
    """By which of `LEVELS` a version was raised; None where one is not MAJOR.MINOR.PATCH, or the newer is
    lower.
    """
    forms = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version, re.ASCII) for version in (old, new)]
    if forms[0] is None or forms[1] is None:
        return None
    before, after = (tuple(map(int, form.groups())) for form in forms if form)
    if after < before:
        return None
    return next(
        (level for level, a, b in zip(("major", "minor", "patch"), before, after, strict=True) if a != b),
        "none",
    )


def _same_pixels(old: Path, new: Path, before: Row, after: Row) -> bool:
    if VIDEO in (before["media"], after["media"]):
        return bool(before["sha256"] == after["sha256"])
    first, second = (
        read_image(inside(folder, row["path"]), row["sha256"])
        for folder, row in ((old, before), (new, after))
    )
    return np.array_equal(first, second)


def compare_releases(old: Path, new: Path) -> ReleaseDifference:
    """What differs between two folders of releases.

    Raises:
        MissingError, DataError: one is no release, or a picture that differs cannot be read.
    """
    for folder in (old, new):
        if not folder.is_dir():
            raise MissingError(str(folder), "is not a folder", "name the folder of a release")
    rows, facts = [_rows(folder) for folder in (old, new)], [read_facts(folder) for folder in (old, new)]
    before, after = rows
    both = sorted(before.keys() & after.keys())
    removed, added = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    columns: Counter[str] = Counter()
    changed, repacked = [], []
    for name in both:
        other = [
            column
            for column in sorted(before[name].keys() | after[name].keys())
            if before[name].get(column) != after[name].get(column)
        ]
        columns.update(other)
        if set(other) - set(FILES) or (
            "sha256" in other and not _same_pixels(old, new, before[name], after[name])
        ):
            changed.append(name)
        elif other:
            repacked.append(name)
    level = "major" if removed or changed else "minor" if added else "patch" if repacked else "none"
    named = [withdrawn_ids(one) for one in facts]
    versions = (facts[0]["version"], facts[1]["version"])
    return ReleaseDifference(
        versions,
        tuple(added),
        tuple(removed),
        tuple(changed),
        tuple(repacked),
        dict(sorted(columns.items())),
        tuple(sorted(named[1] - named[0])),
        level,
        tuple(_findings(removed, named, versions, level)),
    )


def _findings(
    removed: Sequence[str], named: Sequence[set[str]], versions: tuple[str, str], level: str
) -> list[Finding]:
    out = []
    for code, message, ids in (
        (
            "unnamed",
            "an image was taken out, and the new release does not name it as withdrawn",
            sorted(set(removed) - named[1]),
        ),
        ("forgotten", "what was withdrawn before is not named any more", sorted(named[0] - named[1])),
    ):
        if ids:
            out.append(Finding(code, message, len(ids), tuple(ids[:5])))
    by = raised(*versions)
    if by is None or LEVELS.index(by) < LEVELS.index(level):
        message = (
            f"version {versions[0]} became {versions[1]}, and what differs asks for a new {level} number"
        )
        out.append(Finding("version", message))
    return out


def as_json(found: ReleaseDifference) -> dict[str, Any]:
    """The difference as JSON has it: counts, ids, and findings."""
    return {
        "versions": list(found.versions),
        "level": found.level,
        "columns": dict(found.columns),
        **{
            name: list(getattr(found, name))
            for name in ("added", "removed", "changed", "repacked", "withdrawn")
        },
        "findings": [
            {"code": f.code, "message": f.message, "count": f.count, "ids": list(f.ids)}
            for f in found.findings
        ],
    }


def as_text(found: ReleaseDifference) -> str:
    """The difference in lines for a terminal."""
    lines = [f"version {found.versions[0]} -> {found.versions[1]}; what differs asks for: {found.level}"]
    for name in ("added", "removed", "changed", "repacked", "withdrawn"):
        ids = getattr(found, name)
        lines.append(f"{name:<9} {len(ids)}" + (f" (e.g. {', '.join(ids[:5])})" if ids else ""))
    lines += [f"column    {name}: {count} rows" for name, count in found.columns.items()]
    return "\n".join([*lines, *map(str, found.findings)])
