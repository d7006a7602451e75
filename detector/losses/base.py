"""What a loss gets, needs and gives, and the pieces that several losses share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import ConfigDict
from torch import Tensor

from detector.models.head_names import DEMOGRAPHIC
from manifests.registry import Params, Registry

__all__ = ["DEMOGRAPHIC", "LOSSES", "Given", "Loss", "LossParams", "Needs", "Targets"]

Outputs = Mapping[str, Tensor]


class LossParams(Params):
    """Base of the parameters of losses: numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Targets:
    """The truth of a batch of N rows.

    fake: float32 [N], 0 or 1. groups: int64 [N] for race, gender, cell and family, -1 where unknown. images:
    the network's input, float32 [N, 3, S, S], normalised. masks: float32 [N, h, w] in [0, 1], 1 where forged;
    -1 in the whole row where unknown. pairs: int64 [N], the same number for the halves of a pair, -1 for
    none. tuples, qualities: int64 [N], which image a row is of, and at which quality (its place in the
    settings' list). None: the settings do not ask for it.
    """

    fake: Tensor
    groups: Mapping[str, Tensor] = field(default_factory=dict)
    images: Tensor | None = None
    masks: Tensor | None = None
    pairs: Tensor | None = None
    tuples: Tensor | None = None
    qualities: Tensor | None = None

    def at(self, rows: Tensor) -> Targets:
        """The truth of some of the rows, in that order. rows: int64 or bool, as tensors are indexed."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        groups = {name: value[rows] for name, value in self.groups.items()}
        rest: dict[str, Any] = {k: None if v is None else v[rows] for k, v in values.items() if k != "groups"}
        return Targets(groups=groups, **rest)


@dataclass(frozen=True)
class Needs:
    """What a loss must be given; what is missing is an error before the first step (`losses.needs.check`).

    heads: outputs that must be there. demographic_head: one of race, gender, cell, whichever. groups: known
    in at least two classes of the training rows. counts: groups whose training rows are counted by class.
    layers: feature maps of so many last stages. cosine: heads that must be cosine classifiers, with their
    scale. tuples: each image at several qualities. masks: a mask decoder. images: the network's input.
    network: which architecture (`detector.models.architectures`), or `any`.
    """

    heads: tuple[str, ...] = ()
    demographic_head: bool = False
    groups: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    layers: int = 0
    cosine: Mapping[str, float] = field(default_factory=dict)
    tuples: bool = False
    masks: bool = False
    network: str = "any"


@dataclass(frozen=True)
class Given:
    """What the settings and the training rows give to a loss.

    heads: demographic and family heads. counts: training rows by class, per group; `fake` too (real, fake).
    qualities: how many each image comes in. mask_decoder: whether the network has one. head_mode: see
    `TrainSettings`.
    """

    heads: tuple[str, ...] = ()
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    qualities: int = 1
    mask_decoder: bool = False
    head_mode: str = "shared"


@dataclass(frozen=True)
class WeightPerturbation:
    """Adversarial weight perturbation that a loss asks for. gamma: its size; after: epochs without it at the
    start.
    """

    gamma: float
    after: int


class Loss(ABC):
    """Maps the network's outputs and the truth to one number.

    role: an `objective` trains real/fake by itself; a `penalty` is added to one. trains: heads that it
    trains.
    """

    role: Literal["objective", "penalty"] = "objective"
    needs = Needs()
    trains: tuple[str, ...] = ()
    perturbation: WeightPerturbation | None = None

    def prepare(self, given: Given) -> None:  # noqa: B027 - most losses keep nothing
        """Take what the loss keeps (class counts); called once, before the first batch.

        Args:
            given: what the settings and the training rows give.
        """

    @abstractmethod
    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        """The loss, a float32 scalar.

        Args:
            outputs: of the network, by name: logits [N] or [N, classes], features [N, F].
            targets: the truth of the N rows.
            smoothing: share of the label given to the other class, halved; in [0, 1).
        """


LOSSES: Registry[Loss] = Registry("losses", "detector.losses")


def nothing(outputs: Outputs) -> Tensor:
    """Zero that hangs on the network, for what is not defined in a batch: its gradient is zero, not
    missing.
    """
    return outputs["fake"].float().sum() * 0.0


def smoothed(targets: Targets, smoothing: float) -> Tensor:
    """Labels y (1 - s) + s / 2, float32 [N]."""
    return targets.fake * (1 - smoothing) + smoothing / 2


def sample_losses(outputs: Outputs, targets: Targets, smoothing: float, name: str = "fake") -> Tensor:
    """Binary cross entropy per sample, [N], of the logits called `name`; the label is y (1 - s) + s / 2."""
    logits = outputs[name] if outputs[name].dtype == torch.float64 else outputs[name].float()
    return F.binary_cross_entropy_with_logits(
        logits, smoothed(targets, smoothing).to(logits.dtype), reduction="none"
    )


def group_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy of a demographic head, mean over samples whose group is known; 0 when none is."""
    logits, known = logits if logits.dtype == torch.float64 else logits.float(), truth >= 0
    if not bool(known.any()):
        return logits.sum() * 0.0
    return F.cross_entropy(logits[known], truth[known])


def present(groups: Tensor) -> list[int]:
    """Numbers of the known groups that the batch has, sorted."""
    return [int(g) for g in groups.unique() if g >= 0]


def cvar(losses: Tensor, alpha: float) -> Tensor:
    """Conditional value at risk: min over lambda of lambda + 1/(alpha N) sum [l - lambda]_+, in closed form.

    The mean of the worst alpha N losses, the last one counted by its fraction (Rockafellar & Uryasev, 2000;
    the risk of Ju et al., WACV 2024, eq. 2). losses: [N]. alpha: in (0, 1]; 1 is the mean.
    """
    worst = losses.sort(descending=True).values
    mass = alpha * len(worst)
    shares = (mass - torch.arange(len(worst), device=worst.device, dtype=worst.dtype)).clamp(0, 1)
    return (worst * shares).sum() / mass
