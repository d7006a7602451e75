"""Which verified faces stay: no identity twice, no cell beyond its quota, no counterfactual set without all its members."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from attribute_models.identity_index import IdentityIndex
from manifests.watching import watched

BLOCK = 256
Row = dict[str, Any]


def _sets(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows by counterfactual set, else one by one, in image_id order of their first."""
    sets: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: str(r["image_id"])):
        sets[row.get("counterfactual_id") or row["image_id"]].append(row)
    yield from sets.values()


def _blocks(rows: list[Row]) -> Iterator[list[list[Row]]]:
    """Complete sets, about `BLOCK` faces at a time; members of others become `incomplete_set`."""
    block: list[list[Row]] = []
    for members in _sets(rows):
        accepted = [row for row in members if row["status"] == "accepted"]
        if len(accepted) == len(members):
            block.append(members)
        else:
            _reject(accepted, "incomplete_set")
        if sum(map(len, block)) >= BLOCK:
            yield block
            block = []
    if block:
        yield block


def _reject(rows: list[Row], reason: str) -> None:
    for row in rows:
        row["status"], row["reason"] = "rejected", reason


def settle(rows: list[Row], keep: dict[str, int], min_distance: float) -> None:
    """Over all shards, in image_id order: refuse near-identical identities, then fill each cell up to `keep`, in place.

    Distance is Euclidean between identity embeddings; a face is compared with every face accepted before it, a block at a time
    against those of earlier blocks, one by one against those of its own. A counterfactual set stands or falls as a whole: where a
    member was rejected, the others are `incomplete_set`; inside a set faces may be alike.
    """
    count: Counter[str] = Counter()
    earlier: IdentityIndex | None = None
    for block in watched(_blocks(rows), "comparing identities", "blocks", total=-(-len(rows) // BLOCK)):
        embeddings = np.asarray([row["embedding"] for members in block for row in members], np.float32)
        earlier = earlier or IdentityIndex(embeddings.shape[1])
        distances, _ = earlier.nearest_many(embeddings)
        own = IdentityIndex(embeddings.shape[1], block=BLOCK)
        at = 0
        for members in block:
            faces, before = embeddings[at : at + len(members)], distances[at : at + len(members)]
            at += len(members)
            if any(count[row["cell"]] >= keep[row["cell"]] for row in members):
                _reject(members, "surplus")
            elif min(min(float(b), own.nearest(face)[0]) for face, b in zip(faces, before, strict=True)) < min_distance:
                _reject(members, "duplicate_identity")
            else:
                for row, face in zip(members, faces, strict=True):
                    own.add(face, row["image_id"])
                    count[row["cell"]] += 1
        earlier.add_many(own.embeddings(), own.ids)
