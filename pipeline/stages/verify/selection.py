"""Which verified faces stay: no picture and no identity twice, no cell beyond its quota, no counterfactual
set without all its members. All sources are compared with each other, photographs going before generated
faces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

import numpy as np

from attribute_models.identity.near import near_pairs
from manifests.audit.duplicates import DuplicateParams, difference_hash, near_copies, thumbnail
from manifests.collecting import nothing_collected
from manifests.records import Image
from pipeline.stages.verify.faces import VerifiedFace

Refused = dict[str, str]
"""Why a face does not stay, by its image_id."""


def _ordered(faces: Iterable[VerifiedFace]) -> list[VerifiedFace]:
    """Photographs before generated faces, each by image_id."""
    return sorted(sorted(faces, key=attrgetter("image_id")), key=attrgetter("is_generated"))


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
    shown = _ordered(face for face in faces if face.accepted)
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
    sets: dict[str, list[VerifiedFace]] = {}
    for face in _ordered(faces):
        name = face.counterfactual_id or face.image_id
        if name in sets:
            sets[name].append(face)
        else:
            sets[name] = [face]
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
    with nothing_collected():
        sets = list(_whole_sets(faces, refused))
        _choose(sets, _neighbours(sets, min_distance), keep, refused)
        return _without(faces, refused)


def _neighbours(sets: Sequence[Sequence[VerifiedFace]], min_distance: float) -> dict[int, list[int]]:
    """For a face's place in these sets the places of those before it that are nearer than this."""
    vectors = [np.asarray(face.embedding, np.float32) for members in sets for face in members]
    out: dict[int, list[int]] = {}
    if vectors and min_distance > 0:
        embeddings = np.concatenate(vectors).reshape(len(vectors), -1)
        for earlier, later in near_pairs(embeddings, min_distance).tolist():
            out.setdefault(later, []).append(earlier)
    return out


def _choose(
    sets: Sequence[Sequence[VerifiedFace]],
    near: Mapping[int, Sequence[int]],
    keep: Mapping[str, int],
    refused: Refused,
) -> None:
    """Put into `refused` whom of these sets, in order, `settle` does not keep."""
    count: Counter[tuple[str | None, str | None]] = Counter()
    people: set[str] = set()
    there = bytearray(sum(map(len, sets)))
    at = 0
    for members in sets:
        own = range(at, at + len(members))
        at += len(members)
        named = {face.identity_id for face in members if face.is_photograph}
        strata = [face.stratum for face in members]
        if any(count[stratum] >= keep[stratum[0] or ""] for stratum in strata):
            refused.update((face.image_id, "surplus") for face in members)
        elif named & people or any(there[other] for place in own if place in near for other in near[place]):
            refused.update((face.image_id, "duplicate_identity") for face in members)
        else:
            for place, stratum in zip(own, strata, strict=True):
                there[place] = True
                count[stratum] += 1
            people |= named
