"""Verification policies: the posterior against scikit-learn, and the precision that thresholds deliver."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from attribute_models.attributes.evaluation import Judged, cells_of
from attribute_models.attributes.policy import CellRule, Policy, choose, halves, scores
from attribute_models.attributes.precision import fit_correctness
from manifests.errors import UsageError
from manifests.taxonomy import get_taxonomy

FOUR = get_taxonomy("fairface4")
AGED = get_taxonomy("fairface4-ages")


def judged(n: int, seed: int, sharp: float = 1.0, taxonomy=FOUR) -> Judged:
    """Faces whose labels follow the probabilities; `sharp` above 1 makes the model overconfident."""
    rng = np.random.default_rng(seed)
    classes = dict(taxonomy.axes)
    prob = {axis: rng.dirichlet(np.full(len(names), 0.1), n) for axis, names in classes.items()}
    label = {
        axis: (rng.random(n)[:, None] > p.cumsum(1)).sum(1).clip(0, p.shape[1] - 1)
        for axis, p in prob.items()
    }
    said = {
        axis: (p**sharp / (p**sharp).sum(1, keepdims=True)).astype(np.float32) for axis, p in prob.items()
    }
    return Judged(classes, said, label, tuple(f"face {seed} {k}" for k in range(n)))


@pytest.mark.parametrize("sharp", [1.0, 2.5])
def test_thresholds_deliver_on_faces_that_did_not_choose_them(sharp: float):
    """Also where the model is overconfident: the mean over draws is about the target, and few intervals lie
    below it.
    """
    precision, below = [], []
    for seed in range(12):
        _, report = choose(judged(1200, seed, sharp), FOUR, 0.9, seed)
        precision.append(report["precision"]["value"])
        below += [one["precision"]["upper"] < 0.9 for one in report["cells"].values()]
        assert report["coverage"]["value"] > 0.3
    assert 0.89 < np.mean(precision) < 0.95
    assert np.mean(below) < 0.06


def test_the_rules_are_those_of_the_first_half_and_the_figures_those_of_the_second():
    faces = judged(900, 3)
    policy, report = choose(faces, FOUR, 0.9, seed=5)
    first = halves(faces.keys, 5)
    shuffled = {**faces.label, "race": np.where(first, faces.label["race"], 0)}
    other, changed = choose(Judged(faces.classes, faces.prob, shuffled, faces.keys), FOUR, 0.9, seed=5)
    assert other.rules == policy.rules
    assert changed["precision"] != report["precision"]
    true, predicted = cells_of(faces, FOUR)
    mine = [
        k
        for k in np.flatnonzero(~first)
        if policy.accepts(
            FOUR.cells[predicted[k]], {"race": faces.prob["race"][k], "gender": faces.prob["gender"][k]}
        )
    ]
    assert report["precision"]["n"] == len(mine)
    assert report["precision"]["value"] == pytest.approx(np.mean(true[mine] == predicted[mine]), abs=1e-4)
    assert np.sum(policy.confusion) == len(mine)


def test_a_second_model_must_agree():
    faces = judged(900, 4)
    true, predicted = cells_of(faces, FOUR)
    agree = (true == predicted) | (np.arange(len(faces)) % 10 == 0)
    _, alone = choose(faces, FOUR, 0.95)
    policy, both = choose(faces, FOUR, 0.95, agree=agree, second_model="other")
    assert policy.second_model == "other"
    assert both["coverage"]["value"] > alone["coverage"]["value"], (
        "wrong faces no longer force high thresholds"
    )


def test_taxonomies_with_ages():
    policy, report = choose(judged(4000, 6, taxonomy=AGED), AGED, 0.8)
    assert set(policy.rules) == set(AGED.cells)
    assert all(rule.reached for rule in policy.rules.values())
    assert report["precision"]["upper"] > 0.8


def test_confidence_and_margin():
    prob = {"race": np.array([[0.6, 0.3, 0.1, 0.0]]), "gender": np.array([[0.2, 0.8]])}
    confidence, margin = scores(prob, ("race", "gender"))
    assert confidence == pytest.approx([0.48])
    assert margin == pytest.approx([0.3])
    rule = Policy("fairface4", {"White/Female": CellRule(0.4, 0.3)})
    one = {axis: p[0] for axis, p in prob.items()}
    assert rule.accepts("White/Female", one)
    assert not Policy("fairface4", {"White/Female": CellRule(0.4, 0.35)}).accepts("White/Female", one)
    assert not Policy("fairface4", {"White/Female": CellRule(0.5, 0.0)}).accepts("White/Female", one)
    with pytest.raises(UsageError, match="has no rule"):
        rule.accepts("Asian/Male", one)


def test_the_posterior_mean_is_penalised_logistic_regression():
    rng = np.random.default_rng(0)
    confidence, margin, cell = rng.uniform(0.3, 0.99, 800), rng.random(800), rng.integers(0, 3, 800)
    right = rng.random(800) < confidence - 0.1 * (cell == 2)
    found = fit_correctness(confidence, margin, cell, right, 3, draws=20_000)
    logit = np.log(confidence / (1 - confidence))
    # a penalty of w b^2 / 2 is that of scikit-learn (C = 1) on columns divided by the root of w
    shared = np.column_stack([np.ones(800), logit - logit.mean(), margin - margin.mean()]) / np.sqrt(0.01)
    columns = np.hstack([shared, np.eye(3)[cell]])
    fitted = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=1000).fit(columns, right)
    expected = fitted.coef_[0] / np.r_[np.full(3, np.sqrt(0.01)), np.ones(3)]
    assert found.draws.mean(0) == pytest.approx(expected, abs=0.03)


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(UsageError, match="too few"):
        choose(judged(60, 0), FOUR)
    with pytest.raises(UsageError, match="not a precision"):
        choose(judged(300, 0), FOUR, 1.0)
