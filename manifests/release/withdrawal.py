"""Taking images out of a release: what is withdrawn, and everything that was made of it; its ids stay named
in `release.json`.

An entry is `ID` or `ID: why`, where the id is an image's or an identity's. All images of that identity go,
and so does every fake that has one of them as its target, source or driver. Nothing is put in their place:
the release says that it is short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pyarrow as pa
from pydantic import AfterValidator

from manifests.columns import rows_of

PARENTS = ("target_id", "source_id", "driver_id")
UNSAID = "no reason given"


def parse_entry(text: str) -> tuple[str, str]:
    """Id and reason of an entry, `ID` or `ID: why`.

    Raises:
        ValueError: there is no id.
    """
    name, _, reason = text.partition(":")
    if not name.strip():
        raise ValueError(f"{text!r} has no id; write ID, or ID: why")
    return name.strip(), reason.strip() or UNSAID


def _entries(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        parse_entry(text)
    return texts


Withdrawn = Annotated[tuple[str, ...], AfterValidator(_entries)]
"""Entries of a setting, checked when it is read."""


def affected(table: pa.Table, name: str) -> list[str]:
    """image_ids, sorted, of what goes with an image or an identity: its images and all that was made of
    them.
    """
    rows = list(rows_of(table, ["image_id", "identity_id", *PARENTS]))
    gone = {row["image_id"] for row in rows if name in (row["image_id"], row["identity_id"])}
    while more := {row["image_id"] for row in rows if any(row[parent] in gone for parent in PARENTS)} - gone:
        gone |= more
    return sorted(gone)


def withdraw(table: pa.Table, entries: Sequence[str]) -> tuple[pa.Table, list[dict[str, Any]]]:
    """The manifest without what is withdrawn, and an entry of `release.json` for each.

    Args:
        table: a manifest.
        entries: as `parse_entry` reads them. An id that is not in the manifest is named all the same: it was
            taken out earlier.

    Returns:
        The rest, and for each entry `id`, `reason` and `images`, the ids of what went with it.
    """
    out, gone = [], set()
    for text in entries:
        name, reason = parse_entry(text)
        images = affected(table, name)
        gone |= set(images)
        out.append({"id": name, "reason": reason, "images": images})
    if not gone:
        return table, out
    return table.filter(
        pa.array([image not in gone for image in table["image_id"].to_pylist()], pa.bool_())
    ), out


def withdrawn_ids(facts: Mapping[str, Any]) -> set[str]:
    """Every id that a `release.json` names as withdrawn."""
    return {name for one in facts["withdrawn"] for name in (one["id"], *one["images"])}
