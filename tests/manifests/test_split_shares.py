"""Shares of a split against exact arithmetic, ties of rounding included; and the road from ties to splits to
no leak.
"""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.balance import shortfalls
from manifests.splits import assign_splits, connected_identities, largest_remainder, leaks
from manifests.taxonomy import get_taxonomy
from tests.manifests.manifest_rows import SPLITS, balanced_rows, table


def exact_remainder(total, weights):
    """The largest-remainder (Hamilton) method in whole numbers and fractions; ties go to the earlier
    split.
    """
    quotas = [Fraction(total * weight, sum(weights)) for weight in weights]
    counts = [quota.numerator // quota.denominator for quota in quotas]
    order = sorted(range(3), key=lambda k: (-(quotas[k] - counts[k]), k))
    for k in order[: total - sum(counts)]:
        counts[k] += 1
    return {name: count for name, weight, count in zip(SPLITS, weights, counts, strict=True) if weight}


@given(st.integers(0, 400), st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any))
def test_largest_remainder_equals_exact_arithmetic(total, weights):
    shares = {name: weight / sum(weights) for name, weight in zip(SPLITS, weights, strict=True)}
    assert largest_remainder(total, shares) == exact_remainder(total, weights)


@pytest.mark.parametrize("total", [5, 15, 45, 105])
def test_a_tie_goes_to_the_earlier_split_in_spite_of_rounding(total):
    """0.7 x 45 is 31.499999999999996 in binary: still a tie of halves with 0.1 x 45."""
    assert largest_remainder(total, {"train": 0.7, "val": 0.1, "test": 0.2}) == exact_remainder(
        total, [7, 1, 2]
    )


def test_an_identity_in_two_cells_gets_one_split_in_any_order():
    names = [f"p{k // 2}" for k in range(24)]
    cells = ["b", *("a" if k < 12 else "b" for k in range(1, 24))]
    splits = assign_splits(names, cells, {"train": 0.5, "test": 0.5}, seed=3)
    assert splits[0] == splits[1]
    assert assign_splits(names[::-1], cells[::-1], {"train": 0.5, "test": 0.5}, seed=3) == splits[::-1]


def test_splits_of_joined_identities_do_not_leak():
    """Identities tied by a forgery are joined first, then split: nothing leaks. Without joining, something
    does.
    """
    rows = balanced_rows(per_cell=6, splits=("train",))
    reals = [row.image_id for row in rows if row.label == 0]
    source = {row.image_id: reals[(reals.index(row.target_id) + 3) % 9] for row in rows if row.label == 1}
    edges = [(row.identity_id, f"person-{source[row.image_id]}") for row in rows if row.label == 1]

    def made(identities):
        splits = assign_splits(identities, [row.cell for row in rows], {"train": 0.5, "test": 0.5}, seed=1)
        return table(
            [
                row.model_copy(update={"split": split, "source_id": source.get(row.image_id)})
                for row, split in zip(rows, splits, strict=True)
            ]
        )

    root = connected_identities(edges)
    assert leaks(made([str(root[row.identity_id]) for row in rows])) == []
    assert {finding.code for finding in leaks(made([row.identity_id for row in rows]))} == {"leak-source"}


def test_shortfalls_of_cells_with_spaces_in_their_names():
    rows = [
        row
        for row in balanced_rows(cells=get_taxonomy("fairface7").cells)
        if row.image_id != "test-East Asian-Male-001-swap-a"
    ]
    assert shortfalls(table(rows, "fairface7")) == {"test East Asian/Male swap-a": 1}
