"""Sums of losses by config: `loss = "daw-fdd + 0.5 * bido-hsic"`, parameters by loss in `loss_params`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from detector.losses.base import LOSSES, Given, Loss, Needs, Outputs, Targets, WeightPerturbation
from detector.losses.needs import check, check_trained, merge
from manifests.errors import UsageError


@dataclass(frozen=True)
class Term:
    """One loss of a sum: its registered name and its weight."""

    name: str
    weight: float = 1.0


def parse(expression: str) -> list[Term]:
    """Terms of `name`, `weight * name`, and sums of these with `+`; spaces do not matter.

    Raises:
        UsageError: an empty term, a weight that is no positive number, a loss named twice.
    """
    terms = []
    for part in expression.split("+"):
        weight, star, name = part.rpartition("*")
        try:
            value = float(weight) if star else 1.0
        except ValueError:
            value = math.nan
        if not name.strip() or not (math.isfinite(value) and value > 0):
            raise UsageError(
                f"loss {expression!r}",
                f"cannot be read at {part.strip()!r}",
                'write names with weights above 0, such as "daw-fdd + 0.5 * bido-hsic"',
            )
        terms.append(Term(name.strip(), value))
    names = [term.name for term in terms]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"loss {expression!r}", f"names {', '.join(twice)} twice", "name each loss once, with its weight"
        )
    return terms


class TotalLoss(Loss):
    """The weighted sum of losses. Penalties alone get a cross entropy of weight 1 beside them.

    terms: (name, weight, loss) in the order of the expression. Raises when built: see `build_loss`.
    """

    def __init__(self, terms: list[tuple[str, float, Loss]]) -> None:
        if all(loss.role == "penalty" for _, _, loss in terms):
            terms = [("cross-entropy", 1.0, LOSSES.create("cross-entropy")), *terms]
        self.terms = terms
        self.needs: Needs = merge([(name, loss.needs) for name, _, loss in terms])
        self.trains = tuple(dict.fromkeys(head for _, _, loss in terms for head in loss.trains))
        asked = [loss.perturbation for _, _, loss in terms if loss.perturbation is not None]
        self.perturbation: WeightPerturbation | None = max(asked, key=lambda p: p.gamma, default=None)

    def prepare(self, given: Given) -> None:
        """Check that all fits (`losses.needs.check`), then give each loss what it keeps.

        Raises:
            UsageError: something that a loss needs is not given; a decoder or a head mode that no loss makes
                use of.
        """
        for name, _, loss in self.terms:
            check(name, loss.needs, given)
            loss.prepare(given)
        check_trained(self.trains, given)

    def parts(self, outputs: Outputs, targets: Targets, smoothing: float) -> dict[str, Tensor]:
        """The value of each loss before its weight, by name."""
        return {name: loss(outputs, targets, smoothing) for name, _, loss in self.terms}

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        values = self.parts(outputs, targets, smoothing)
        total = None
        for name, weight, _ in self.terms:
            term = values[name] if weight == 1.0 else weight * values[name]
            total = term if total is None else total + term
        assert total is not None
        return total


def build_loss(expression: str, params: Mapping[str, Any]) -> TotalLoss:
    """The loss of an expression. `prepare` it with what settings and data give before its first batch.

    params: of the loss where the expression names one; where it names several, a table of parameters for each
    name.

    Raises:
        UsageError: an expression that cannot be read, an unknown loss or parameter, losses that exclude each
            other.
        MissingError: a loss needs a package that is not installed.
    """
    terms = parse(expression)
    names = [term.name for term in terms]
    if len(terms) == 1:
        by_name: Mapping[str, Any] = {names[0]: params}
    else:
        by_name = params
        for name in names:
            LOSSES.get(name)
        wrong = [key for key, value in params.items() if key not in names or not isinstance(value, Mapping)]
        if wrong:
            raise UsageError(
                f"loss_params: {', '.join(wrong)}",
                f"the sum {expression!r} takes a table of parameters for each loss",
                f'write e.g. loss_params = {{ "{names[-1]}" = {{ ... }} }}; its losses are'
                f" {', '.join(names)}",
            )
    return TotalLoss([(t.name, t.weight, LOSSES.create(t.name, by_name.get(t.name))) for t in terms])
