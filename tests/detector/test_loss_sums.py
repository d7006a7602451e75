"""Sums of losses by config, and what does not fit together."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from detector.losses import Given, build_loss
from detector.losses.compose import Term, parse
from manifests.errors import UsageError
from tests.detector.loss_cases import COUNTS, GIVEN, HEADS, prepared, targets


def test_expressions_are_read() -> None:
    assert parse("daw-fdd") == [Term("daw-fdd")]
    assert parse(" daw-fdd+0.5*bido-hsic + 1e-3 * focal") == [
        Term("daw-fdd"),
        Term("bido-hsic", 0.5),
        Term("focal", 0.001),
    ]


@pytest.mark.parametrize(
    "text", ["", "daw-fdd +", "0*focal", "-1*focal", "nan*focal", "x*focal", "inf*focal", "2*"]
)
def test_expressions_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        parse(text)


def given(**changes: Any) -> Given:
    return Given(**{**vars(GIVEN), "mask_decoder": False, **changes})


def outputs() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return {
        "fake": torch.randn(12, generator=g),
        **{h: torch.randn(12, len(c), generator=g) for h, c in HEADS.items()},
    }


def test_a_sum_is_the_sum() -> None:
    total = build_loss("daw-fdd + 0.25 * focal + 0.5*demographic", {"focal": {"gamma": 1.0}})
    total.prepare(given())
    parts = [prepared("daw-fdd"), prepared("focal", {"gamma": 1.0}), prepared("demographic")]
    expected = sum(w * p(outputs(), targets(), 0.1) for w, p in zip((1, 0.25, 0.5), parts, strict=True))
    assert float(total(outputs(), targets(), 0.1)) == pytest.approx(float(expected), rel=1e-6)
    assert total.trains == ("race", "gender", "cell")


def test_penalties_alone_get_cross_entropy() -> None:
    alone, written = (build_loss(text, {}) for text in ("demographic", "cross-entropy + demographic"))
    assert float(alone(outputs(), targets(), 0.0)) == float(written(outputs(), targets(), 0.0))
    assert [name for name, _, _ in alone.terms] == ["cross-entropy", "demographic"]


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        ("focal + focal", {}, "focal twice"),
        ("focal + bido", {}, "did you mean bido-hsic"),
        ("focal + dag-fdd", {"gamma": 2.0}, "table of parameters"),
        ("focal + dag-fdd", {"daw-fdd": {}}, "daw-fdd"),
        ("focal + dag-fdd", {"dag-fdd": {"alpha": 2.0}}, "alpha"),
        ("pg-fdd + bido-hsic", {}, "needs the pg-fdd network"),
        ("ldam + pg-fdd", {"ldam": {"head": "cell", "scale": 10.0}}, "wants scale"),
    ],
)
def test_sums_that_cannot_be_are_named(text: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build_loss(text, params)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("focal", {"gamma": math.nan}),
        ("bido-hsic", {"hide": math.inf}),
        ("qad", {"layer_weights": [math.nan]}),
        ("qad", {"layer_weights": []}),
        ("qad", {"layer_weights": [-1.0]}),
        ("pg-fdd", {"temperature": 0.0}),
        ("multi-task", {"demographic_weight": math.inf}),
        ("bido-coco", {"against": "age"}),
        ("ldam", {"head": "mask"}),
    ],
    ids=str,
)
def test_numbers_that_cannot_be_are_refused(text: str, params: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(params))):
        build_loss(text, params)


ONE_CELL = {**COUNTS, "cell": (40, 0, 0, 0)}
NO_CELLS = {**COUNTS, "cell": (0, 0, 0, 0)}


@pytest.mark.parametrize(
    ("text", "params", "facts", "message"),
    [
        ("multi-task", {}, given(heads=()), "needs demographic heads"),
        ("demographic", {}, given(heads=("family",)), "needs demographic heads"),
        ("forgery-family", {}, given(heads=("race",)), "needs the head family"),
        ("forgery-mask", {}, given(), "needs the mask decoder"),
        ("focal", {}, given(mask_decoder=True), "no loss trains the decoder"),
        ("focal", {}, given(head_mode="reversed"), "no loss trains a demographic head"),
        ("qad", {}, given(qualities=1), "several qualities"),
        ("daw-fdd", {}, given(counts=NO_CELLS), "no training row has a known cell"),
        ("bido-hsic", {"against": "cell"}, given(counts=ONE_CELL), "have only one"),
        ("individual-fairness", {"across": "cells"}, given(counts=ONE_CELL), "have only one"),
        ("ldam", {}, Given(), "were not counted"),
        ("ldam", {"head": "cell"}, given(heads=("race",)), "needs the head cell"),
        ("ldam", {"head": "cell"}, given(counts=NO_CELLS), "no training row has a known cell"),
        ("pg-fdd", {}, given(heads=("cell",)), "needs the head family"),
        ("pg-fdd", {}, given(heads=("family",)), "needs demographic heads"),
        ("pg-fdd", {}, given(head_mode="detached"), "does not go"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said_before_the_first_batch(
    text: str, params: dict[str, Any], facts: Given, message: str
) -> None:
    loss = build_loss(text, params)
    with pytest.raises(UsageError, match=message) as caught:
        loss.prepare(facts)
    assert caught.value.fix


def test_ldam_without_counts_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(UsageError, match="no class counts"):
        build_loss("ldam", {})(outputs(), targets(), 0.0)
