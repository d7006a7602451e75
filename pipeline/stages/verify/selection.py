"""Which verified faces stay: no picture and no identity twice, no cell beyond its quota, no counterfactual
set without all its members. All sources are compared with each other, photographs going before generated
faces.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from attribute_models.identity.near import near_pairs
from manifests.audit.duplicates import DuplicateParams, difference_hash, near_copies, thumbnail
from manifests.records import Image
from manifests.schema import PHOTOGRAPH, SYNTHETIC
from pipeline.engine.strata import stratum_of

Row = dict[str, Any]


def _order(row: Row) -> tuple[bool, str]:
    """Photographs before generated faces, then by image_id."""
    return row.get("origin") == SYNTHETIC, str(row["image_id"])


def refuse_copies(rows: list[Row]) -> None:
    """Accepted photographs that are the same to the eye as one before them become `duplicate_picture`, in
    place; so do generated faces that are the same as a photograph. Generated faces are not compared with each
    other here.

    Args:
        rows: with `look`: bytes of a difference hash (8) and a thumbnail (float32 [256]), see `look_of`, of
            accepted ones.
    """
    shown = sorted((row for row in rows if row["status"] == "accepted"), key=_order)
    if not any(row.get("origin") == PHOTOGRAPH for row in shown):
        return
    hashes = np.stack([np.unpackbits(np.frombuffer(row["look"][:8], np.uint8)).astype(bool) for row in shown])
    thumbnails = np.stack([np.frombuffer(row["look"][8:], np.float32) for row in shown])
    for i, j in near_copies(hashes, thumbnails, DuplicateParams()):
        if shown[i]["status"] == "accepted" and shown[i].get("origin") == PHOTOGRAPH:
            _reject([shown[j]], "duplicate_picture")


def look_of(image: Image) -> bytes:
    """What a picture looks like, in 1032 bytes: its difference hash and its thumbnail, for
    `refuse_copies`.
    """
    return np.packbits(difference_hash(image)).tobytes() + thumbnail(image).astype(np.float32).tobytes()


def _sets(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows by counterfactual set, else one by one, in the order of their first."""
    sets: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=_order):
        sets[row.get("counterfactual_id") or row["image_id"]].append(row)
    yield from sets.values()


def _whole_sets(rows: list[Row]) -> Iterator[list[Row]]:
    """Complete sets, in order; members of others become `incomplete_set`."""
    for members in _sets(rows):
        accepted = [row for row in members if row["status"] == "accepted"]
        if len(accepted) == len(members):
            yield members
        else:
            _reject(accepted, "incomplete_set")


def _reject(rows: list[Row], reason: str) -> None:
    for row in rows:
        row["status"], row["reason"] = "rejected", reason


def settle(rows: list[Row], keep: dict[str, int], min_distance: float) -> None:
    """Over all shards: refuse near-identical identities, then fill each cell and origin up to `keep[cell]`,
    in place.

    Distance is Euclidean between identity embeddings; a face is compared with every face accepted before it
    (of very many with those that `attribute_models.identity.near` finds); a photograph of a person who is
    there by name is refused too. A counterfactual set stands or falls as a whole: where a member was
    rejected, the others are `incomplete_set`; inside a set faces may be alike.
    """
    sets = list(_whole_sets(rows))
    embeddings = np.array([row["embedding"] for members in sets for row in members], np.float32)
    near = (
        near_pairs(embeddings, min_distance)
        if len(embeddings) and min_distance > 0
        else np.zeros((0, 2), np.int64)
    )
    earlier, later = near[np.argsort(near[:, 1], kind="stable")].T
    start = np.searchsorted(later, np.arange(len(embeddings) + 1))
    there = np.zeros(len(embeddings), bool)
    count: Counter[tuple[str, str | None]] = Counter()
    people: set[str] = set()
    at = 0
    for members in sets:
        first, at = at, at + len(members)
        named = {row["identity_id"] for row in members if row.get("origin") == PHOTOGRAPH}
        if any(count[stratum_of(row)] >= keep[row["cell"]] for row in members):
            _reject(members, "surplus")
        elif named & people or there[earlier[start[first] : start[at]]].any():
            _reject(members, "duplicate_identity")
        else:
            there[first:at] = True
            count.update(map(stratum_of, members))
            people |= named
