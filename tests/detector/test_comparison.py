"""Paired comparison: against copying rows for both detectors, against theory, and when nothing differs."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from detector.metrics import comparison, replicates, resampling
from manifests.errors import UsageError
from manifests.seeding import rng_of


def rows(n=400, seed=0, noise_b=0.5):
    rng = np.random.default_rng(seed)
    person = rng.integers(0, 60, n)
    y = rng.integers(0, 2, n)
    shared = rng.normal(y, 1.0)
    race = [f"r{p % 3}" for p in person]
    return y, shared, shared + rng.normal(0, noise_b, n), {"race": race}, [f"p{p}" for p in person]


def test_interval_is_that_of_copying_the_same_rows_for_both():
    y, a, b, groups, person = rows()
    found = comparison.compare(y, a, b, groups, person, replicates=40, seed=3)
    names, cluster = replicates.indices(person)
    group = replicates.indices(groups["race"])[1]
    stratum = resampling.home_groups(group, cluster, 3)
    drawn = []
    for weights in replicates.cluster_weights(stratum, 40, rng_of(3, "compare", "utility")):
        for w in weights:
            copies = np.repeat(np.arange(len(y)), w[cluster].astype(int))
            drawn.append(roc_auc_score(y[copies], a[copies]) - roc_auc_score(y[copies], b[copies]))
    assert found["utility"]["AUC"]["interval"] == pytest.approx(
        replicates.interval(np.array(drawn)), abs=1e-12
    )
    assert found["utility"]["AUC"]["difference"] == pytest.approx(roc_auc_score(y, a) - roc_auc_score(y, b))
    assert (found["n"], found["n_clusters"]) == (400, len(names))


def test_a_detector_does_not_differ_from_itself():
    y, a, _, groups, person = rows()
    found = comparison.compare(y, a, a, groups, person, replicates=50)
    for figures in (found["utility"], found["gaps"]["race"]):
        for value in figures.values():
            if isinstance(value, dict):
                assert (value["difference"], value["interval"], value["p"]) == (0, [0, 0], 1)


def test_pairing_narrows_the_interval():
    """Two detectors that share their errors: unpaired intervals of A and B alone would overlap."""
    y, a, b, groups, person = rows(noise_b=0.1)
    found = comparison.compare(y, a, b, groups, person, replicates=300)["utility"]["AUC"]["interval"]
    alone = comparison.compare(y, a, np.zeros(len(y)), groups, person, replicates=300)["utility"]["AUC"][
        "interval"
    ]
    assert found[1] - found[0] < 0.3 * (alone[1] - alone[0])


def test_a_worse_and_less_fair_detector_is_found():
    y, a, _, groups, person = rows(n=1500)
    worse = a + 3 * (np.array(groups["race"]) == "r0") * (y == 0)
    found = comparison.compare(y, a, worse, groups, person, replicates=300)
    assert found["utility"]["AUC"]["difference"] > 0
    assert found["utility"]["AUC"]["p"] < 0.01
    gap = found["gaps"]["race"]["F_FPR"]
    assert gap["interval"][1] < 0
    assert gap["p"] < 0.01


def test_undefined_gaps_are_none_and_bad_input_is_named():
    found = comparison.compare([0, 1], [0.1, 0.9], [0.2, 0.3], {"g": ["a", None]}, replicates=5)
    assert found["gaps"]["g"]["F_FPR"] == {
        "a": None,
        "b": None,
        "difference": None,
        "interval": [None, None],
        "p": None,
        "p_bounds": [None, None],
    }
    cases = (
        ({"clusters": ["x"]}, "clusters"),
        ({"replicates": 1}, "replicates"),
        ({"score_b": [1, np.nan]}, "score"),
    )
    for changes, words in cases:
        with pytest.raises(UsageError) as caught:
            comparison.compare(
                **{"y_true": [0, 1], "score_a": [0, 1], "score_b": [0, 1], "groups": {}, **changes}
            )
        assert words in caught.value.what
