"""Every parameter of every loss has a say in its value."""

from __future__ import annotations

import typing
from typing import Any

import pytest
import torch

from detector.losses import LOSSES
from tests.detector.loss_cases import REACHING, case

IN_TRAINING = {("qad", "awp_gamma"), ("qad", "awp_after")}
"""What the loop does with the weights: tests/detector/test_training_losses.py."""
OTHER = {
    ("focal", "alpha"): 0.3,
    ("individual-fairness", "lipschitz"): 0.1,
    ("stable-reweighting", "steps"): 2,
    ("stable-reweighting", "dims"): 8,
}
ALSO: dict[tuple[str, str], dict[str, Any]] = {("individual-fairness", "metric"): {"lipschitz": 0.1}}
"""What must be set for a parameter to matter."""


def another(annotation: Any, default: Any) -> Any:
    """A value far from the default."""
    if names := [value for value in typing.get_args(annotation) if isinstance(value, str)]:
        return next(name for name in names if name != default)
    if isinstance(default, tuple):
        return tuple(2 * value for value in default)
    return default - 1 if isinstance(default, int) else default / 2


def value(name: str, params: dict[str, Any]) -> float:
    torch.manual_seed(0)
    one = case(name, {**REACHING.get(name, {}), **params})
    return float(one.value({key: 3 * out.detach() for key, out in one.outputs().items()}))


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        (name, parameter)
        for name in LOSSES.names()
        for parameter in LOSSES.get(name).params.model_fields
        if (name, parameter) not in IN_TRAINING
    ],
)
def test_every_parameter_changes_the_loss(name: str, parameter: str) -> None:
    field, at = LOSSES.get(name).params.model_fields[parameter], (name, parameter)
    default = field.get_default(call_default_factory=True)
    changed = OTHER[at] if at in OTHER else another(field.annotation, default)
    also = ALSO.get(at, {})
    assert value(name, also) != value(name, {**also, parameter: changed})
