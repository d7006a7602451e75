"""Which verified faces stay: no picture and no identity twice, no cell beyond its quota, no counterfactual
set without all its members. All sources are compared with each other, photographs going before generated
faces.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from attribute_models.identity.near import near_pairs
from manifests.audit.duplicates import DuplicateParams, difference_hash, near_copies, thumbnail
from manifests.records import Image
from pipeline.stages.verify.faces import VerifiedFace

Refused = dict[str, str]
"""Why a face does not stay, by its image_id."""


def _order(face: VerifiedFace) -> tuple[bool, str]:
    """Photographs before generated faces, then by image_id."""
    return face.is_generated, face.image_id


def _without(faces: Sequence[VerifiedFace], refused: Refused) -> list[VerifiedFace]:
    """The faces in their order, those refused with their reason."""
    return [face.rejected(refused[face.image_id]) if face.image_id in refused else face for face in faces]


def refuse_copies(faces: Sequence[VerifiedFace]) -> list[VerifiedFace]:
    """The faces in their order. Accepted photographs that are the same to the eye as one before them are now
    `duplicate_picture`; so are generated faces that are the same as a photograph. Generated faces are not
    compared with each other here.

    Args:
        faces: accepted ones with `look`: bytes of a difference hash (8) and a thumbnail (float32 [256]), see
            `look_of`.
    """
    shown = sorted((face for face in faces if face.accepted), key=_order)
    if not any(face.is_photograph for face in shown):
        return list(faces)
    looks = [face.look or b"" for face in shown]
    hashes = np.stack([np.unpackbits(np.frombuffer(look[:8], np.uint8)).astype(bool) for look in looks])
    thumbnails = np.stack([np.frombuffer(look[8:], np.float32) for look in looks])
    refused: Refused = {}
    for i, j in near_copies(hashes, thumbnails, DuplicateParams()):
        if shown[i].image_id not in refused and shown[i].is_photograph:
            refused[shown[j].image_id] = "duplicate_picture"
    return _without(faces, refused)


def look_of(image: Image) -> bytes:
    """What a picture looks like, in 1032 bytes: its difference hash and its thumbnail, for
    `refuse_copies`.
    """
    return np.packbits(difference_hash(image)).tobytes() + thumbnail(image).astype(np.float32).tobytes()


def _sets(faces: Sequence[VerifiedFace]) -> Iterator[list[VerifiedFace]]:
    """Faces by counterfactual set, else one by one, in the order of their first."""
    sets: dict[str, list[VerifiedFace]] = defaultdict(list)
    for face in sorted(faces, key=_order):
        sets[face.counterfactual_id or face.image_id].append(face)
    yield from sets.values()


def _whole_sets(faces: Sequence[VerifiedFace], refused: Refused) -> Iterator[list[VerifiedFace]]:
    """Complete sets, in order; members of others become `incomplete_set`."""
    for members in _sets(faces):
        accepted = [face for face in members if face.accepted]
        if len(accepted) == len(members):
            yield members
        else:
            refused.update((face.image_id, "incomplete_set") for face in accepted)


def settle(faces: Sequence[VerifiedFace], keep: Mapping[str, int], min_distance: float) -> list[VerifiedFace]:
    """Over all shards: near-identical identities refused, then each cell and origin filled up to
    `keep[cell]`; the faces in their order.

    Distance is Euclidean between identity embeddings; a face is compared with every face accepted before it
    (of very many with those that `attribute_models.identity.near` finds); a photograph of a person who is
    there by name is refused too. A counterfactual set stands or falls as a whole: where a member was
    rejected, the others are `incomplete_set`; inside a set faces may be alike.
    """
    refused: Refused = {}
    sets = list(_whole_sets(faces, refused))
    embeddings = np.array([face.embedding for members in sets for face in members], np.float32)
    near = (
        near_pairs(embeddings, min_distance)
        if len(embeddings) and min_distance > 0
        else np.zeros((0, 2), np.int64)
    )
    earlier, later = near[np.argsort(near[:, 1], kind="stable")].T
    start = np.searchsorted(later, np.arange(len(embeddings) + 1))
    there = np.zeros(len(embeddings), bool)
    count: Counter[tuple[str | None, str | None]] = Counter()
    people: set[str] = set()
    at = 0
    for members in sets:
        first, at = at, at + len(members)
        named = {face.identity_id for face in members if face.is_photograph}
        if any(count[face.stratum] >= keep[face.cell or ""] for face in members):
            refused.update((face.image_id, "surplus") for face in members)
        elif named & people or there[earlier[start[first] : start[at]]].any():
            refused.update((face.image_id, "duplicate_identity") for face in members)
        else:
            there[first:at] = True
            count.update(face.stratum for face in members)
            people |= named
    return _without(faces, refused)
