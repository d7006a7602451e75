"""What a detector's network is to the rest of the program, and what its training must know of it.

A loss names the architecture that it trains (`Needs.network`); all others train `single`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from detector.models.network_config import DEFAULT, NetworkConfig
from manifests.registry import Params, Registry

if TYPE_CHECKING:
    from detector.losses.base import Targets

__all__ = ["ARCHITECTURES", "DEFAULT", "Architecture", "DetectorNetwork"]


class DetectorNetwork(nn.Module, ABC):
    """Base of the networks. `forward`: float32 [N, 3, S, S] normalised by mean and std, to logits by name.

    The output has `fake` [N] (above 0 means fake), one [N, classes] per head of `heads`, `features` [N, F],
    and in training mode whatever its loss needs besides.

    Args:
        config: what builds it again.
    """

    heads: nn.ModuleDict
    progress: float
    """Share of the training that is done, in [0, 1]; 1 outside of one."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config, self.progress = config, 1.0

    @property
    @abstractmethod
    def encoders(self) -> tuple[nn.Module, ...]:
        """Every trunk that may start from pretrained weights."""

    @property
    @abstractmethod
    def seen(self) -> nn.Module:
        """The trunk that the verdict comes from: what a heat map is of."""


class Architecture(ABC):
    """One kind of network: how it is built, and which settings go with it.

    loss: the loss that trains it, where it is one alone. pieces: whether a batch may be cut into
    micro-batches (`accumulate`). normalises: whether `l2_features` means anything. head_modes: settings of
    `head_mode` that go with it. piecewise: whether heads may start from random weights beside a trunk of
    another detector. exports: formats that a trained one can be written in.
    """

    loss: str = ""
    pieces: bool = True
    normalises: bool = True
    head_modes: tuple[str, ...] = ("shared", "reversed", "detached")
    piecewise: bool = False
    exports: tuple[str, ...] = ("onnx",)

    def __init__(self, params: Params) -> None:
        self.params = params

    @abstractmethod
    def build(self, config: NetworkConfig) -> DetectorNetwork:
        """The network with weights drawn from torch's generator.

        Args:
            config: of the network.

        Raises:
            UsageError: unknown backbone, or one without the stages or maps that the configuration asks for.
        """

    def inputs(self, targets: Targets) -> tuple[Tensor, ...]:
        """What the network takes in training.

        Args:
            targets: the truth of a batch, its images among it.

        Returns:
            The images, float32 [N, 3, S, S], and what else the network's `forward` takes.
        """
        assert targets.images is not None
        return (targets.images,)


ARCHITECTURES: Registry[Architecture] = Registry("architectures", "detector.models.architectures")
"""Architectures by name; they have no parameters of their own."""
