"""Fairness reports: against fairlearn and scikit-learn, the published definitions by hand, intervals, null,
minimum n.
"""

import hashlib
import json
import math

import fairlearn.metrics as fl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, roc_auc_score

from detector import fairness
from detector.fairness import cluster_index
from detector.metrics.replicates import indices
from detector.metrics.ties import digest_of
from manifests.errors import UsageError

GAPS = ("F_FPR", "F_OAE", "F_DP", "F_MEO", "F_EFPR", "F_EO", "G_AUC")


def faces(n=600, seed=0, shift=0.0, races=("Asian", "Black", "White"), clusters=90):
    """Scores of `n` rows; real images of the first race score higher by `shift`."""
    rng = np.random.default_rng(seed)
    person = rng.integers(0, clusters, n)
    race = np.array(races)[person % len(races)]
    gender = np.array(["Female", "Male"])[person // len(races) % 2]
    y = rng.integers(0, 2, n)
    score = np.clip(rng.normal(0.35 + 0.3 * y + shift * (race == races[0]) * (y == 0), 0.15), 0, 1)
    return y, score, {"race": race.tolist(), "gender": gender.tolist()}, [f"id{p}" for p in person]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["corrected", "purdue"]))
def test_gaps_equal_fairlearn_where_every_group_has_both_classes(seed, mode):
    rng = np.random.default_rng(seed)
    y, score, group = rng.integers(0, 2, 120), rng.random(120), rng.choice(list("abc"), 120)
    for k, name in enumerate("abc"):
        y[2 * k : 2 * k + 2], group[2 * k : 2 * k + 2] = (0, 1), name
    found = fairness.report(y, score, {"g": group.tolist()}, mode=mode, min_n=1, replicates=0).to_dict()
    called = (score >= 0.5).astype(int)
    frame = fl.MetricFrame(
        metrics={
            "ACC": accuracy_score,
            "TPR": fl.true_positive_rate,
            "FPR": fl.false_positive_rate,
            "PR": fl.selection_rate,
        },
        y_true=y,
        y_pred=called,
        sensitive_features=group,
    )
    for name, row in found["groups"]["g"].items():
        for rate in ("ACC", "TPR", "FPR", "PR"):
            assert row[rate] == pytest.approx(frame.by_group.loc[name, rate], abs=1e-12)
        assert row["AUC"] == pytest.approx(roc_auc_score(y[group == name], score[group == name]), abs=1e-12)
    gaps, difference = found["gaps"]["g"], frame.difference()
    assert gaps["F_FPR"] == pytest.approx(difference["FPR"], abs=1e-12)
    assert gaps["F_OAE"] == pytest.approx(difference["ACC"], abs=1e-12)
    assert gaps["F_DP"] == pytest.approx(
        fl.demographic_parity_difference(y, called, sensitive_features=group)
    )
    assert gaps["F_MEO"] == pytest.approx(fl.equalized_odds_difference(y, called, sensitive_features=group))


def test_where_fairlearn_differs_a_group_without_fakes():
    """fairlearn gives TPR 0 to a group without positives; here it is undefined, listed, and no gap of 0.5."""
    y, score, group = [0, 1, 1, 0, 0], [0.1, 0.9, 0.2, 0.1, 0.9], ["a", "a", "a", "b", "b"]
    oracle = fl.MetricFrame(
        metrics=fl.true_positive_rate, y_true=y, y_pred=[s >= 0.5 for s in score], sensitive_features=group
    )
    assert oracle.by_group["b"] == 0
    found = fairness.report(y, score, {"g": group}, min_n=1, replicates=0).to_dict()
    assert found["groups"]["g"]["b"]["TPR"] is None
    assert found["groups"]["g"]["b"]["n_fake"] == 0
    assert [item for item in found["not_estimable"] if item["group"] == "b" and "TPR" in item["figures"]]
    assert found["gaps"]["g"]["F_FPR"] == 0.5


def test_purdue_definitions_by_hand():
    """Three groups with FPR 0, 1/2, 1 and TPR 1, 1/2, 1; pooled FPR 1/2 and TPR 5/6."""
    y = [0, 0, 1, 1] * 3
    score = [0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9]
    group = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    gaps = fairness.report(y, score, {"g": group}, mode="purdue").to_dict()["gaps"]["g"]
    assert gaps["F_FPR"] == pytest.approx(1)
    assert gaps["F_EFPR"] == pytest.approx(0.5 + 0 + 0.5)
    assert gaps["F_EO"] == pytest.approx(1 + 1 / 6 + 1 / 3 + 1 / 6)
    assert gaps["F_OAE"] == pytest.approx(1 - 0.5)
    assert gaps["F_DP"] == pytest.approx(1 - 0.5)
    assert gaps["F_MEO"] == pytest.approx(1)
    assert gaps["G_AUC"] == pytest.approx(1 - 0.5)


def test_purdue_drops_a_one_class_group_but_pools_its_rows():
    y, score = [0, 0, 1, 0, 0, 1, 0, 0], [0.1, 0.9, 0.9, 0.1, 0.1, 0.9, 0.9, 0.9]
    group = ["a"] * 3 + ["b"] * 3 + ["real only"] * 2
    gaps = fairness.report(y, score, {"g": group}, mode="purdue").to_dict()["gaps"]["g"]
    assert gaps["F_FPR"] == pytest.approx(0.5)  # with the third group it would be 1
    pooled = 3 / 6
    assert gaps["F_EFPR"] == pytest.approx(abs(0.5 - pooled) + abs(0 - pooled))


def test_corrected_means_do_not_grow_with_the_number_of_groups():
    y, score, group = [], [], []
    for g in range(8):
        y += [0] * 10 + [1] * 10
        score += [0.9] * (2 + g % 2 * 4) + [0.1] * (8 - g % 2 * 4) + [0.9] * 10
        group += [f"g{g}"] * 20
    rows = {k: slice(0, 20 * k) for k in (2, 8)}
    corrected = {
        k: fairness.report(y[r], score[r], {"g": group[r]}, replicates=0).gaps["g"] for k, r in rows.items()
    }
    purdue = {
        k: fairness.report(y[r], score[r], {"g": group[r]}, mode="purdue").gaps["g"] for k, r in rows.items()
    }
    for name in ("F_EFPR", "F_EO"):
        assert corrected[8][name] == pytest.approx(corrected[2][name])
        assert purdue[8][name] == pytest.approx(4 * purdue[2][name])


def test_balanced_parity_ignores_the_share_of_fakes():
    """Same TPR 1 and FPR 0 in both groups; only the mix differs. Raw parity sees a gap, balanced parity
    none.
    """
    y = [0] * 9 + [1] * 1 + [0] * 1 + [1] * 9
    found = fairness.report(y, [0.9 if v else 0.1 for v in y], {"g": ["a"] * 10 + ["b"] * 10}, replicates=0)
    assert found.gaps["g"]["F_DP"] == pytest.approx(0.8)
    assert found.gaps["g"]["F_DP_balanced"] == 0


def test_minimum_n_counts_clusters_not_frames():
    y = [0, 1] * 60
    score = [0.1, 0.9] * 40 + [0.9, 0.1] * 20
    group = ["big"] * 40 + ["also big"] * 40 + ["one person"] * 40
    person = [f"p{k // 4}" for k in range(80)] + ["alone"] * 40
    found = fairness.report(y, score, {"g": group}, person, min_n=5, replicates=0).to_dict()
    assert found["gaps"]["g"]["groups_used"] == 2
    assert found["gaps"]["g"]["F_FPR"] == 0
    listed = [item for item in found["not_estimable"] if item["group"] == "one person"]
    assert "1 clusters" in listed[0]["reason"]
    assert listed[0]["n"] == 40
    assert found["groups"]["g"]["one person"]["n_clusters"] == 1


def test_rows_without_a_cluster_stand_by_themselves():
    """Unknown identities are not one big identity."""
    y, score = [0, 1] * 8, [0.1, 0.9] * 8
    found = fairness.report(y, score, {"g": ["a"] * 8 + ["b"] * 8}, ["x"] * 8 + [None] * 8, replicates=0)
    assert [found.groups["g"][name]["n_clusters"] for name in "ab"] == [1, 8]


def test_one_group_alone_has_no_gap():
    found = fairness.report([0, 1] * 10, [0.1, 0.9] * 10, {"g": ["a"] * 20}, replicates=20).to_dict()
    assert all(found["gaps"]["g"][name] is None for name in GAPS)
    json.dumps(found, allow_nan=False)


def test_rows_without_a_group_take_no_part_in_that_kind():
    y, score, groups, person = faces()
    race = [r if k % 3 else None for k, r in enumerate(groups["race"])]
    found = fairness.report(y, score, {"race": race}, person, replicates=0).to_dict()
    assert sum(row["n"] for row in found["groups"]["race"].values()) == sum(r is not None for r in race)
    assert found["utility"]["n"] == len(y)
    kept = [k for k, r in enumerate(race) if r is not None]
    alone = fairness.report(
        y[kept], score[kept], {"race": [race[k] for k in kept]}, replicates=0, min_n=1
    ).to_dict()
    assert found["gaps"]["race"]["F_EFPR"] == pytest.approx(alone["gaps"]["race"]["F_EFPR"])


def test_intervals_null_and_power_are_there_and_ordered():
    y, score, groups, person = faces()
    found = fairness.report(y, score, groups, person, replicates=100).to_dict()
    for kind in groups:
        gaps = found["gaps"][kind]
        for name in GAPS:
            low, high = gaps["intervals"][name]
            assert 0 <= low <= high <= 2
        for name in ("F_FPR", "F_OAE", "F_DP", "F_MEO"):
            assert 0 < gaps["null"][name]["p"] <= 1
            assert gaps["null"][name]["mean"] <= gaps["null"][name]["p95"] < gaps["detectable"][name]
        for row in found["groups"][kind].values():
            for rate in ("AUC", "ACC", "TPR", "FPR"):
                low, high = row["intervals"][rate]
                assert low <= row[rate] <= high
    assert (
        found["utility"]["intervals"]["AUC"][0]
        < found["utility"]["AUC"]
        < found["utility"]["intervals"]["AUC"][1]
    )


def test_null_tells_an_unfair_detector_from_a_fair_one():
    fair, unfair = (
        fairness.report(y, score, {"race": groups["race"]}, person, replicates=200).to_dict()["gaps"]["race"]
        for y, score, groups, person in (faces(seed=4), faces(seed=4, shift=0.25))
    )
    assert unfair["null"]["F_FPR"]["p"] < 0.01
    assert unfair["F_FPR"] > unfair["detectable"]["F_FPR"]
    assert fair["null"]["F_FPR"]["p"] > 0.05
    assert fair["F_FPR"] > 0  # max - min is above 0 although nothing is unfair: what the null is for


def test_permutation_p_values_are_not_too_small_for_a_fair_detector():
    """60 fair experiments: p below 0.1 in about 10 % of them."""
    small = 0
    for seed in range(60):
        y, score, groups, person = faces(n=100, seed=seed, clusters=60)
        gaps = fairness.report(y, score, {"race": groups["race"]}, person, replicates=40, seed=seed).gaps[
            "race"
        ]
        small += gaps["null"]["F_FPR"]["p"] < 0.1
    assert small <= 13  # binomial(60, 0.1): above with probability 0.4 %


def test_same_seed_same_bits_and_another_seed_other_intervals():
    y, score, groups, person = faces(n=300)
    first, again, other = (
        json.dumps(fairness.report(y, score, groups, person, replicates=50, seed=s).to_dict(), sort_keys=True)
        for s in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_constant_detector_has_no_gap_and_no_skill():
    y, _, groups, person = faces()
    found = fairness.report(y, np.full(len(y), 0.7), groups, person, replicates=20).to_dict()
    assert found["utility"]["AUC"] == 0.5
    assert found["gaps"]["race"]["F_FPR"] == found["gaps"]["race"]["F_MEO"] == 0


def test_threshold_is_used():
    y, score, groups, _ = faces()
    found = fairness.report(y, score, groups, threshold=0.62, replicates=0).to_dict()
    assert found["utility"]["TPR"] == pytest.approx(np.mean(score[y == 1] >= 0.62))
    assert found["threshold"] == 0.62


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "fair"}, "mode"),
        ({"groups": {"race": ["a"]}}, "race"),
        ({"clusters": ["x"]}, "clusters"),
        ({"y_score": [0.1, math.nan]}, "not finite"),
        ({"y_true": [0, 3]}, "neither 0 nor 1"),
    ],
)
def test_bad_input_is_named(change, words):
    given_ = {"y_true": [0, 1], "y_score": [0.1, 0.9], "groups": {"race": ["a", "b"]}, **change}
    with pytest.raises(UsageError) as caught:
        fairness.report(**given_)
    assert words in f"{caught.value.what} {caught.value.why}"


def test_published_keys_are_all_there():
    y, score, groups, person = faces(n=200)
    for mode in ("corrected", "purdue"):
        found = fairness.report(y, score, groups, person, mode=mode, replicates=10).to_dict()
        assert {"utility", "groups", "gaps"} <= set(found)
        assert {"AUC", "EER", "ACC", "TPR", "FPR", "n", "n_real", "n_fake"} <= set(found["utility"])
        assert set(GAPS) <= set(found["gaps"]["race"])
        assert ("intervals" in found["gaps"]["race"]) == (mode == "corrected")


def test_clusters_and_names_are_numbered_in_the_order_of_their_texts():
    values = ["b", None, "it's", 'a"', "b", "a!", "a", None, "é", "a'", "\n"]
    texts = [str(("row", k)) if value is None else str(("", value)) for k, value in enumerate(values)]
    names = sorted(set(texts))
    assert cluster_index(values, len(values)).tolist() == [names.index(text) for text in texts]
    numbers = np.array([7, 3, 7, 3])
    assert cluster_index(numbers, 4).tolist() == cluster_index(["7", "3", "7", "3"], 4).tolist()
    for rows in ([1, True, "1", None], ["b", "a", None, "None", "b"]):
        names, place = indices(rows)
        assert names == sorted({str(value) for value in rows})
        assert [names[k] for k in place] == [str(value) for value in rows]


def test_labels_and_scores_have_the_digest_of_their_sorted_rows():
    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 50), rng.integers(-3, 4, 50) / 8
    for label in (y, 2 * y):
        order = np.lexsort((score, label))
        digest = hashlib.blake2b(digest_size=16)
        for column in (label, score):
            digest.update((column[order] + 0.0).astype("<f8").tobytes())
        assert digest_of(label, score) == digest.hexdigest()
