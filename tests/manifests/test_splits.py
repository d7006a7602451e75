"""Splits share no identity, hold exact numbers per cell, and do not depend on the order of the input."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from manifests import splits
from manifests.errors import UsageError
from manifests.seeding import seed_of, seeds_of
from manifests.splits import assign_splits, connected_identities, largest_remainder, leaks
from tests.manifests.manifest_rows import CELLS, SPLITS, balanced_rows, changed, table

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def people(per_cell, cells=CELLS, images=3):
    """Identities and cells, `images` rows each."""
    pairs = [(f"p{cell}-{k}", cell) for cell in cells for k in range(per_cell) for _ in range(images)]
    return [p[0] for p in pairs], [p[1] for p in pairs]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 500), st.tuples(*[st.integers(0, 20)] * 3).filter(any))
def test_largest_remainder_is_hamiltons_method(total, weights):
    shares = {name: w / sum(weights) for name, w in zip(SPLITS, weights, strict=True) if w}
    counts = largest_remainder(total, shares)
    assert sum(counts.values()) == total
    for name, share in shares.items():
        assert abs(counts[name] - total * share) < 1


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (40, (28, 4, 8)),
        (10, (7, 1, 2)),
        (11, (8, 1, 2)),
        (1, (1, 0, 0)),
        (0, (0, 0, 0)),
    ],
)
def test_largest_remainder_by_hand(total, expected):
    counts = largest_remainder(total, SHARES)
    assert tuple(counts.get(name, 0) for name in SPLITS) == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 30), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_identity_disjoint_equal_per_cell_and_order_free(per_cell, seed, order):
    ids, cells = people(per_cell)
    split = assign_splits(ids, cells, SHARES, seed=seed)
    homes = defaultdict(set)
    for identity, name in zip(ids, split, strict=True):
        homes[identity].add(name)
    assert all(len(found) == 1 for found in homes.values())
    counts = Counter((name, cell) for name, cell in zip(split, cells, strict=True))
    for name in SPLITS:
        assert len({counts[name, cell] for cell in CELLS}) == 1
    mixed = list(range(len(ids)))
    order.shuffle(mixed)
    again = assign_splits([ids[k] for k in mixed], [cells[k] for k in mixed], SHARES, seed=seed)
    assert again == [split[k] for k in mixed]


def test_another_seed_sends_others():
    ids, cells = people(20)
    assert assign_splits(ids, cells, SHARES, seed=1) != assign_splits(ids, cells, SHARES, seed=2)


def test_who_goes_where_does_not_depend_on_other_cells():
    ids, cells = people(20)
    kept = [k for k, cell in enumerate(cells) if cell == CELLS[0]]
    whole = assign_splits(ids, cells, SHARES, seed=4)
    alone = assign_splits([ids[k] for k in kept], [cells[k] for k in kept], SHARES, seed=4)
    assert alone == [whole[k] for k in kept]


@pytest.mark.parametrize(
    "shares",
    [
        {"train": 0.5, "val": 0.2},
        {"train": 0.5, "dev": 0.5},
        {"train": 1.2},
        {},
    ],
)
def test_wrong_shares_are_refused(shares):
    with pytest.raises(UsageError, match="shares"):
        assign_splits(["a"], ["c"], shares, seed=0)


def test_lengths_must_agree():
    with pytest.raises(UsageError):
        assign_splits(["a", "b"], ["c"], SHARES, seed=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), max_size=40))
def test_components_equal_scipys(edges):
    found = connected_identities(edges)
    assert set(found) == {node for edge in edges for node in edge}
    if not edges:
        return
    left, right = np.array(edges).T
    _, label = connected_components(coo_array((np.ones(len(edges)), (left, right)), shape=(26, 26)))
    for a in found:
        for b in found:
            assert (found[a] == found[b]) == (label[a] == label[b])


def test_representative_does_not_depend_on_the_order_of_edges():
    edges = [("b", "a"), ("c", "b"), ("x", "y")]
    assert (
        connected_identities(edges)
        == connected_identities(edges[::-1])
        == {"a": "a", "b": "a", "c": "a", "x": "x", "y": "x"}
    )


def test_a_clean_set_has_no_leak():
    assert leaks(table(balanced_rows())) == []


REAL, FAKE = "train-White-Male-000", "train-White-Male-000-swap-a"
OTHER = "test-White-Male-000"


@pytest.mark.parametrize(
    ("image_id", "changes", "code"),
    [
        (OTHER, {"identity_id": f"person-{REAL}"}, "leak-identity"),
        (OTHER, {"pair_id": REAL}, "leak-pair"),
        (FAKE, {"target_id": OTHER}, "leak-target"),
        (FAKE, {"source_id": OTHER}, "leak-source"),
        (FAKE, {"driver_id": OTHER}, "leak-driver"),
        (FAKE, {"split": "val"}, "leak-identity"),
    ],
)
def test_planted_leaks_are_found(image_id, changes, code):
    found = leaks(table(changed(balanced_rows(), image_id, **changes)))
    finding = next(f for f in found if f.code == code)
    assert set(finding.ids) & {image_id, REAL}


def test_a_source_of_the_same_split_is_no_leak():
    assert leaks(table(changed(balanced_rows(), FAKE, source_id="train-White-Male-001"))) == []


def test_unknown_identities_are_not_taken_for_one():
    rows = [row.model_copy(update={"identity_id": None, "pair_id": None}) for row in balanced_rows()]
    assert leaks(table(rows)) == []


def test_the_same_draw_goes_by_name_whatever_the_order(monkeypatch):
    """Draws of 63 bits are never the same by chance."""
    monkeypatch.setattr(splits, "seeds_of", lambda *_, names: np.zeros(len(list(names)), np.int64))
    people = ["d", "a", "c", "b"]
    found = assign_splits(people, ["x"] * 4, {"train": 0.5, "test": 0.5}, seed=0)
    assert dict(zip(people, found, strict=True)) == {"a": "train", "b": "train", "c": "test", "d": "test"}
    again = assign_splits(people[::-1], ["x"] * 4, {"train": 0.5, "test": 0.5}, seed=0)
    assert again == found[::-1]


def test_seeds_of_names_are_those_of_each():
    names = ["", "a", "é", "person-1"]
    assert seeds_of(7, "split", names=names).tolist() == [seed_of(7, "split", name) for name in names]
