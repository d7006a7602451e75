"""Settling candidates by an index gives what the plain quadratic loop gives."""

import copy
from collections import Counter

import numpy as np
import pytest

from attribute_models.identity import near
from pipeline.stages.verify import selection as settling


def plain(rows, keep, min_distance):
    kept, count = [], Counter()
    for row in sorted(rows, key=lambda r: r["image_id"]):
        if row["status"] != "accepted":
            continue
        if count[row["cell"]] >= keep:
            row["status"], row["reason"] = "rejected", "surplus"
            continue
        embedding = np.asarray(row["embedding"], np.float32)
        if kept and np.linalg.norm(np.stack(kept) - embedding, axis=1).min() < min_distance:
            row["status"], row["reason"] = "rejected", "duplicate_identity"
            continue
        kept.append(embedding)
        count[row["cell"]] += 1


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
            {
                "image_id": f"{position:04d}",
                "cell": f"cell-{i % 3}",
                "status": "rejected" if rejected else "accepted",
                "reason": "blurred" if rejected else None,
                "embedding": None if rejected else embedding.tolist(),
            }
        )
    return rows


@pytest.mark.parametrize("block", [13, 256])
@pytest.mark.parametrize("keep", [15, 1000])
def test_settle_is_the_plain_loop(block, keep, monkeypatch):
    monkeypatch.setattr(near, "BLOCK", block)
    rows = candidates(keep)
    expected = copy.deepcopy(rows)
    plain(expected, keep, 0.3)
    settling.settle(rows, {f"cell-{k}": keep for k in range(3)}, 0.3)
    assert rows == expected
    reasons = Counter(row["reason"] for row in rows)
    assert reasons["duplicate_identity"] >= 10
    assert (reasons["surplus"] > 0) == (keep == 15)


def test_nothing_to_settle():
    rows = [{"image_id": "a", "cell": "c", "status": "rejected", "reason": "no_face", "embedding": None}]
    settling.settle(rows, {"c": 3}, 0.3)
    settling.settle([], {}, 0.3)
    assert rows[0]["reason"] == "no_face"
