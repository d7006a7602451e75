"""`check_release`: is a release whole, and is it what it says? Files, manifest, pictures, papers, Croissant
records, signatures.

Checksums come first. What needs a library that is not installed is left out, and `unchecked` says so.
"""

from __future__ import annotations

from pathlib import Path

from manifests.atomic import digest_file
from manifests.containment import inside
from manifests.errors import MissingError, UserError
from manifests.release.check_croissant import check_croissant
from manifests.release.check_papers import check_papers
from manifests.release.check_pictures import check_pictures
from manifests.release.check_signatures import check_signatures
from manifests.release.checksums import NAME, files_below, links_below, read_checksums
from manifests.release.croissant_records import check_records, records_reason
from manifests.release.facts import NAME as FACTS
from manifests.release.facts import read_facts
from manifests.schema import Finding
from manifests.store import validate

NEEDED = (
    "manifest.parquet",
    "README.md",
    "DATASHEET.md",
    "LICENSES.md",
    "LICENSES.csv",
    "CITATION.cff",
    "croissant.json",
    FACTS,
    NAME,
)


def findings(code: str, message: str, names: list[str]) -> list[Finding]:
    """One finding about the files or ids that are named; none where none is."""
    return [Finding(code, message, len(names), tuple(names[:5]))] if names else []


def check_release(folder: Path | str) -> list[Finding]:
    """All findings about a release folder; empty when all is well.

    A manifest that cannot be used ends the check: what follows from it is not asked. Signatures are looked at
    and Croissant records made only where all else is well, for they stand on what the other checks looked at.

    Raises:
        MissingError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingError(str(folder), "is not a folder", "name the folder of a release")
    links = findings(
        "link", "the release has a link: others would not get what it leads to", links_below(folder)
    )
    if links:
        return links
    lacking = findings(
        "missing-file", "the release lacks a file", [n for n in NEEDED if not (folder / n).is_file()]
    )
    if lacking:
        return lacking
    try:
        found = _sums(folder, read_checksums(folder))
        found += validate(folder / "manifest.parquet", digests=True)
        if found:
            return found + check_croissant(folder)
        found = [*check_pictures(folder), *check_papers(folder), *check_croissant(folder)]
        return found or [*check_signatures(folder, read_facts(folder)["signed"]), *check_records(folder)]
    except UserError as error:
        return [Finding("unreadable", str(error))]


def unchecked() -> list[str]:
    """What `check_release` cannot check on this machine, and what to install; empty where it checks
    everything.
    """
    return [f"Croissant records were not made: {reason}" for reason in [records_reason()] if reason]


def _sums(folder: Path, sums: dict[str, str]) -> list[Finding]:
    there = set(files_below(folder))
    gone = sorted(set(sums) - there)
    changed = sorted(n for n, sha in sums.items() if n in there and digest_file(inside(folder, n)) != sha)
    return [
        *findings("missing-file", "a file in SHA256SUMS is not there", gone),
        *findings("changed-file", "a file is not the one in SHA256SUMS", changed),
        *findings("extra-file", "a file is not in SHA256SUMS", sorted(there - set(sums))),
    ]
