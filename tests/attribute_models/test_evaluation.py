"""Figures of a model, against scikit-learn and hand-made answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from attribute_models.attributes.evaluation import Judged, coverage_curve, evaluate, head_figures
from manifests.taxonomy import get_taxonomy
from nn.calibration import calibration_error

FOUR = get_taxonomy("fairface4")


def judged(n: int = 600, seed: int = 0) -> Judged:
    rng = np.random.default_rng(seed)
    classes = {"race": FOUR.races, "gender": FOUR.genders}
    prob = {h: rng.dirichlet(np.full(len(c), 0.5), n).astype(np.float32) for h, c in classes.items()}
    label = {h: np.array([rng.choice(len(p), p=p / p.sum()) for p in prob[h].astype(float)]) for h in classes}
    label["race"][:5] = -1
    return Judged(classes, prob, label, tuple(map(str, range(n))))


def test_figures_are_scikit_learns():
    faces = judged()
    found = evaluate(faces, FOUR)["heads"]["race"]
    label, top = faces.label["race"][5:], faces.prob["race"][5:].argmax(1)
    assert found["n"] == 595
    assert found["accuracy"]["value"] == pytest.approx((label == top).mean(), abs=1e-4)
    assert found["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(label, top), abs=1e-4)
    assert found["confusion"]["counts"] == confusion_matrix(label, top).tolist()
    assert (
        found["balanced_accuracy"]["lower"]
        < found["balanced_accuracy"]["value"]
        < found["balanced_accuracy"]["upper"]
    )


def test_cells_and_their_confusion():
    faces = judged()
    found = evaluate(faces, FOUR)
    true = [
        FOUR.cells[r * 2 + g] if r >= 0 else None
        for r, g in zip(faces.label["race"], faces.label["gender"], strict=True)
    ]
    predicted = [
        FOUR.cells[r.argmax() * 2 + g.argmax()]
        for r, g in zip(faces.prob["race"], faces.prob["gender"], strict=True)
    ]
    expected = confusion_matrix(true[5:], predicted[5:], labels=list(FOUR.cells))
    assert found["confusion"]["counts"] == expected.tolist()
    one = found["cells"]["Asian/Male"]
    assert one["n"] == true.count("Asian/Male")
    assert one["cell_accuracy"]["value"] == pytest.approx(expected[4, 4] / expected[4].sum(), abs=1e-4)


def test_calibrated_probabilities_have_a_small_error_and_overconfident_ones_a_large_one():
    faces = judged(6000)
    prob, label = faces.prob["gender"], faces.label["gender"]
    assert calibration_error(prob, label) < 0.03
    sharp = prob**4 / (prob**4).sum(1, keepdims=True)
    assert calibration_error(sharp, label) > 0.06
    assert calibration_error(np.array([[0.9, 0.1]] * 10), np.array([0] * 5 + [1] * 5)) == pytest.approx(0.4)


def test_the_coverage_curve_keeps_the_most_confident():
    curve = {
        c["coverage"]: c for c in coverage_curve(np.linspace(1, 0.1, 10), np.array([True] * 4 + [False] * 6))
    }
    assert curve[0.4]["accuracy"]["value"] == 1
    assert curve[0.5]["accuracy"]["value"] == 0.8
    assert curve[0.5]["threshold"] == pytest.approx(0.6)
    assert curve[1.0]["accuracy"]["value"] == 0.4


def test_a_head_without_labels_has_no_figures():
    assert head_figures(np.ones((3, 2), np.float32) / 2, np.full(3, -1), ["a", "b"]) == {"n": 0}
