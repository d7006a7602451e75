"""What ties count: exact level by enumeration, one draw for the same data, intervals that agree with p."""

import itertools
import json

import numpy as np
import pytest

from detector import fairness
from detector.metrics.comparison import compare
from detector.metrics.gap_intervals import at_candidates, ends, invert, most
from detector.metrics.method_gaps import method_gaps
from detector.metrics.ties import MID, Tail, Ties, digest_of, tail
from manifests.errors import UsageError


def rows(seed, per_group=20, rate=0.06, groups="ab"):
    """Scores of reals alone, few of them called fake, and as many fakes, all found."""
    rng = np.random.default_rng(seed)
    n = per_group * len(groups)
    score = np.r_[np.where(rng.random(n) < rate, 0.5, 0) + rng.random(n) / 2, np.full(n, 0.9)]
    return np.repeat([0, 1], n), score, list(groups) * (2 * per_group)


@pytest.mark.parametrize("rate", [0.03, 0.1, 0.5])
@pytest.mark.parametrize("level", [0.05, 0.2])
def test_a_random_share_of_ties_has_exactly_its_level(rate, level):
    """All experiments of two groups of four rows, all permutations: P(p <= level) over shares.

    The p is below the level for shares up to a limit, so its chance is that limit, not a simulation.
    """
    seats = [list(one) for one in itertools.combinations(range(8), 4)]
    size, of_mid = 0.0, 0.0
    for calls in itertools.product((0, 1), repeat=8):
        chance = rate ** sum(calls) * (1 - rate) ** (8 - sum(calls))
        drawn = np.array([abs(2 * sum(calls[k] for k in seat) - sum(calls)) / 4 for seat in seats])
        # the one found is one of all permutations, and counts as a draw anyhow
        found = drawn[0]
        ends_of_p = tail(found, drawn[1:])
        size += chance * np.clip((level - ends_of_p.without) / (ends_of_p.with_all - ends_of_p.without), 0, 1)
        of_mid += chance * (ends_of_p.p() <= level)
    assert size == pytest.approx(level, abs=1e-12)
    assert of_mid != pytest.approx(level, abs=1e-3)


def test_the_share_is_uniform_over_data_and_the_same_for_the_same():
    shares = [Ties("random", 0, *rows(seed)[:2]).share("race", "F_FPR", found=0.1) for seed in range(400)]
    assert np.abs(np.quantile(shares, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.07
    y, score, _ = rows(1)
    first = Ties("random", 0, y, score)
    turned = Ties("random", 0, y[::-1], score[::-1])
    assert first.share("race", "F_FPR", found=0.1) == turned.share("race", "F_FPR", found=0.1)
    others = [
        first.share("race", "F_DP", found=0.1),
        first.share("cell", "F_FPR", found=0.1),
        Ties("random", 1, y, score).share("race", "F_FPR", found=0.1),
    ]
    assert len({first.share("race", "F_FPR", found=0.1), *others}) == 4
    assert Ties("mid", 5, y, score).share("race", "F_FPR", found=0.1) == MID
    assert digest_of([0.0, 1.0]) == digest_of([1.0, -0.0]) != digest_of([0.0, 2.0])


def test_nothing_is_drawn_where_no_gap_is_found():
    """A detector without a single alarm is never said to differ between groups, whatever the seed."""
    y, score, group = rows(0)
    score[y == 0] = np.linspace(0, 0.4, (y == 0).sum())
    made = [
        fairness.report(y, score, {"g": group}, replicates=40, seed=seed, ties=ties).gaps["g"]
        for seed in range(25)
        for ties in ("random", "mid")
    ]
    assert Ties("random", 0, y, score).share("g", "F_FPR", found=0.0) == MID
    for gaps in made:
        assert gaps["F_FPR"] == 0
        assert gaps["null"]["F_FPR"]["p"] == 0.5
        assert gaps["null"]["F_FPR"]["p_bounds"] == [0, 1]
        assert gaps["intervals"]["F_FPR"][0] == 0
        assert 0.02 < gaps["intervals"]["F_FPR"][1] < 0.4


def test_the_same_reals_have_the_same_draw_beside_other_fakes():
    y, score, _ = rows(0)
    other = np.where(y == 1, 1 - score / 2, score)
    one, two = (Ties("random", 0, y, values) for values in (score, other))
    for name in ("F_FPR", "F_EFPR"):
        assert one.share("g", name, found=0.1) == two.share("g", name, found=0.1)
    for name in ("F_TPR", "F_DP"):
        assert one.share("g", name, found=0.1) != two.share("g", name, found=0.1)


def test_ties_are_drawn_unless_asked_otherwise():
    y, score, group = rows(3)
    default, asked = (
        fairness.report(y, score, {"g": group}, replicates=20, **ties).to_dict()
        for ties in ({}, {"ties": "random"})
    )
    assert default == asked
    assert compare(y, score, 1 - score, {"g": group}, replicates=20)["ties"] == "random"


def test_other_ties_are_refused():
    y, score, group = rows(0)
    for call in (
        lambda: fairness.report(y, score, {"g": group}, ties="none"),
        lambda: compare(y, score, score, {"g": group}, ties="none"),
        lambda: method_gaps(y, score, ["m"] * len(y), group, ties="none"),
    ):
        with pytest.raises(UsageError, match="none"):
            call()


def test_reports_say_which_and_between_which_bounds():
    y, score, group = rows(3)
    made = {
        (ties, seed): fairness.report(y, score, {"g": group}, replicates=60, ties=ties, seed=seed).to_dict()
        for ties in ("mid", "random")
        for seed in (0, 1)
    }
    again = fairness.report(y, score, {"g": group}, replicates=60, ties="random").to_dict()
    assert json.dumps(made["random", 0]) == json.dumps(again)
    for (ties, seed), report in made.items():
        gaps = report["gaps"]["g"]
        null = gaps["null"]
        share = Ties(ties, seed, y, score)
        assert report["ties"] == ties
        for name, found in null.items():
            low, high = found["p_bounds"]
            assert 0 <= low < high <= 1
            assert found["p"] == pytest.approx(low + share.share("g", name, found=gaps[name]) * (high - low))
    mid, random = (made[ties, 0]["gaps"]["g"] for ties in ("mid", "random"))
    assert mid["null"]["F_FPR"]["p_bounds"] == random["null"]["F_FPR"]["p_bounds"]
    assert mid["corrected"] == random["corrected"]
    assert mid["intervals"]["G_AUC"] == random["intervals"]["G_AUC"]
    assert mid["null"]["F_FPR"]["p"] != random["null"]["F_FPR"]["p"]


@pytest.mark.parametrize("ties", ["mid", "random"])
def test_an_interval_leaves_out_0_if_and_only_if_its_test_rejects(ties):
    """Over data of which some are rejected: gaps of a report, and differences of two detectors."""
    rejected = np.zeros(2)
    for seed in range(12):
        y, score, group = rows(seed, rate=0.02 + 0.04 * seed)
        score[: len(y) // 2 : 2] -= 0.5 * (seed % 2)  # every other time one group is hardly ever called fake
        gaps = fairness.report(y, score, {"g": group}, replicates=59, ties=ties, seed=seed).gaps["g"]
        for name, null in gaps["null"].items():
            assert (gaps["intervals"][name][0] > 0) == (null["p"] < 0.05), (seed, name)
            rejected[0] += null["p"] < 0.05
        other = np.where(
            y == 0, np.random.default_rng(seed).permutation(score[y == 0]).tolist() + [0.9] * 40, 0.9
        )
        found = compare(y, score, other, {"g": group}, replicates=199, ties=ties, seed=seed)["gaps"]["g"]
        for name, value in found.items():
            if name != "groups_used" and value["difference"]:
                low, high = value["interval"]
                assert (low <= 0 <= high) == (value["p"] > 0.05), (seed, name, value)
                rejected[1] += value["p"] <= 0.05
    assert (rejected > 0).all()


def test_the_interval_holds_the_candidates_that_its_p_does_not_reject():
    """By hand at every candidate, where the same share counts."""
    known, values, size = np.ones((1, 2), bool), np.array([[0.05, 0.35]]), np.full((1, 2), 20.0)
    made = at_candidates(values, size, known, lambda v: most(v[0]), 4000, np.random.default_rng(0))
    for share in (0.02, 0.5, 0.98):
        got = ends(made, share, Tail(0.01, 0.03))
        p_above = 1 - made.less - (1 - share) * (made.at_most - made.less)
        p_above[0] = 0.01 + share * 0.02
        below = 0.025 * np.minimum(made.true / made.chance, 1)
        inside = (p_above > 0.05 - below) & (1 - p_above > below)
        assert inside.any()
        assert not inside.all()
        assert (made.true[inside] >= got.low - 1e-9).all()
        assert (made.true[inside] <= got.high + 1e-9).all()
        outside = ~inside
        assert ((made.true[outside] <= got.low + 1e-9) | (made.true[outside] >= got.high - 1e-9)).all()


def test_more_of_the_ties_make_larger_ps_and_lower_intervals():
    known = np.ones((1, 2), bool)
    found = [
        invert(np.array([[0.0, 0.1]]), np.full((1, 2), 20.0), known, lambda v: most(v[0]), 2000,
               np.random.default_rng(0), ties=share)
        for share in (0.05, 0.5, 0.95)
    ]  # fmt: skip
    assert found[0].high > found[1].high > found[2].high
    assert len({float(part.estimate) for part in found}) == 1


def test_a_detector_is_not_told_from_itself_by_a_draw():
    y, score, group = rows(2)
    for seed in range(30):
        found = compare(y, score, score, {"g": group}, replicates=20, ties="random", seed=seed)["gaps"]["g"]
        assert found["F_FPR"]["p"] == 1
        assert found["F_FPR"]["interval"] == [0, 0]


def test_ties_of_many_experiments_are_those_of_each():
    rng = np.random.default_rng(4)
    found, drawn = rng.integers(0, 4, 5) / 4, rng.integers(0, 4, (5, 40)) / 4
    finer, finer_drawn = rng.integers(0, 2, 5), rng.integers(0, 2, (5, 40)).astype(float)
    whole = tail(found, drawn, finer, finer_drawn)
    for k in range(5):
        alone = tail(found[k], drawn[k], finer[k], finer_drawn[k])
        assert (whole.without[k], whole.with_all[k]) == (alone.without, alone.with_all)
    assert tail(0.5, np.array([np.nan, 0.5])) == (0, 1)
