"""DPD per method and AADPD against a brute-force count; what cannot be compared."""

import itertools

import numpy as np
import pytest

from detector.metrics.method_gaps import method_gaps
from manifests.errors import UsageError


def brute(y, score, methods, groups, threshold=0.5):
    gaps = {}
    for kind in sorted({"real" if label == 0 else m for label, m in zip(y, methods, strict=True)}):
        rates = []
        for group in sorted(set(groups)):
            mine = [
                s >= threshold
                for label, s, m, g in zip(y, score, methods, groups, strict=True)
                if g == group and (kind == "real" if label == 0 else m == kind)
            ]
            if mine:
                rates.append(sum(mine) / len(mine))
        gaps[kind] = max(abs(a - b) for a, b in itertools.combinations(rates, 2))
    return gaps


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_count_by_hand(seed):
    rng = np.random.default_rng(seed)
    n = 600
    y, score = rng.integers(0, 2, n), rng.random(n)
    methods = [None if label == 0 else ("swap", "blend")[rng.integers(2)] for label in y]
    groups = [("a", "b", "c")[k] for k in rng.integers(0, 3, n)]
    found = method_gaps(y, score, methods, groups, min_n=1, replicates=50, seed=seed)
    wanted = brute(y, score, methods, groups)
    assert {name: m["DPD"] for name, m in found["methods"].items()} == pytest.approx(wanted)
    assert found["AADPD"] == pytest.approx(np.mean(list(wanted.values())))
    assert found["n_methods"] == 3
    assert found["interval"][0] <= found["AADPD"] * 1.5
    assert found["interval"][0] < found["interval"][1]


def test_parity_over_all_images_hides_what_methods_show():
    # Group a has easy fakes only, group b hard ones only: overall shares differ, within each method there is
    # nothing to compare.
    y = [0, 0] * 10 + [1] * 20
    score = [0.1, 0.2] * 10 + [0.9] * 10 + [0.1] * 10
    methods, groups = [None] * 20 + ["easy"] * 10 + ["hard"] * 10, ["a", "b"] * 10 + ["a"] * 10 + ["b"] * 10
    found = method_gaps(y, score, methods, groups, min_n=5, replicates=0)
    assert found["methods"]["easy"]["DPD"] is None
    assert found["methods"]["easy"]["rates"] == {"a": 1.0, "b": None}
    assert found["methods"]["real"]["DPD"] == 0
    assert (found["AADPD"], found["n_methods"]) == (0, 1)


def test_small_groups_take_no_part_and_rows_without_group_are_left_out():
    y, methods = [1] * 12, ["swap"] * 12
    groups = ["a"] * 5 + ["b"] * 5 + ["c", None]
    score = [1.0] * 5 + [1.0] * 5 + [0.0, 0.0]
    found = method_gaps(y, score, methods, groups, min_n=5, replicates=20)
    assert found["AADPD"] == 0
    assert found["methods"]["swap"]["n_clusters"] == {"a": 5, "b": 5, "c": 1}
    same = method_gaps(y, score, methods, groups, ["x"] * 12, min_n=5, replicates=20)
    assert same["AADPD"] is None
    assert same["n_methods"] == 0
    with pytest.raises(UsageError, match=r"for \d+ scores"):
        method_gaps(y, score[:3], methods, groups)
