"""Settling candidates by an index gives what the plain quadratic loop gives."""

from collections import Counter

import numpy as np
import pytest

from attribute_models.identity import near
from pipeline.stages.verify import selection as settling
from pipeline.stages.verify.faces import VerifiedFace


def plain(faces, keep, min_distance):
    kept, count, out = [], Counter(), {}
    for face in sorted(faces, key=lambda face: face.image_id):
        out[face.image_id] = face
        if not face.accepted:
            continue
        if count[face.cell] >= keep:
            out[face.image_id] = face.rejected("surplus")
            continue
        embedding = np.asarray(face.embedding, np.float32)
        if kept and np.linalg.norm(np.stack(kept) - embedding, axis=1).min() < min_distance:
            out[face.image_id] = face.rejected("duplicate_identity")
            continue
        kept.append(embedding)
        count[face.cell] += 1
    return [out[face.image_id] for face in faces]


def candidates(seed, n=240):
    """Candidates of 60 people in three cells; one in ten was rejected before."""
    rng = np.random.default_rng(seed)
    people = rng.normal(0, 0.12, (60, 128))
    rows = []
    for position, i in enumerate(rng.permutation(n)):
        embedding = (people[i % 60] + rng.normal(0, rng.choice([0.0, 0.01, 0.02, 0.03]), 128)).astype(
            np.float32
        )
        rejected = rng.random() < 0.1
        rows.append(
            VerifiedFace(
                f"{position:04d}",
                cell=f"cell-{i % 3}",
                status="rejected" if rejected else "accepted",
                reason="blurred" if rejected else None,
                embedding=None if rejected else embedding.tolist(),
            )
        )
    return rows


@pytest.mark.parametrize("block", [13, 256])
@pytest.mark.parametrize("keep", [15, 1000])
def test_settle_is_the_plain_loop(block, keep, monkeypatch):
    monkeypatch.setattr(near, "BLOCK", block)
    faces = candidates(keep)
    found = settling.settle(faces, {f"cell-{k}": keep for k in range(3)}, 0.3)
    assert found == plain(faces, keep, 0.3)
    reasons = Counter(face.reason for face in found)
    assert reasons["duplicate_identity"] >= 10
    assert (reasons["surplus"] > 0) == (keep == 15)


def test_nothing_to_settle():
    faces = [VerifiedFace("a", cell="c", status="rejected", reason="no_face")]
    assert settling.settle(faces, {"c": 3}, 0.3) == faces
    assert settling.settle([], {}, 0.3) == []
