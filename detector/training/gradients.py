"""From a batch to its gradient: the loss of the whole global batch, whatever it is cut into.

A batch may be cut into micro-batches (accumulation, for memory) and shared by processes. Losses of fair
training couple samples (CVaR, groups), so averaging the losses of the pieces would be another loss. Instead
all outputs are computed first, the loss of the whole batch is differentiated by them, and each piece is run
again with its part of that gradient (gradient caching: Gao, Zhang, Han, Callan, RepL4NLP 2021, arXiv
2101.06983): exact for every loss, at one more forward pass. BatchNorm in training sees one micro-batch at a
time, which is another normalisation than the whole batch's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detector.training.sharpness import frozen_statistics, random_state, set_random_state
from nn.precision import autocast
from nn.processes import World

Outputs = dict[str, Tensor]


@dataclass
class BatchGradient:
    """A closure for `SAM.step`: adds this process's part of the gradient of the global loss, and returns that
    loss.

    inputs: of the network, this process's rows ([n, 3, S, S] first). loss: of the outputs of the whole global
    batch, rows in the order of ranks. pieces: micro-batches of equal size; above 1 the network must take
    images alone. precision: `float32`, or `bfloat16` by autocast.
    """

    network: nn.Module
    inputs: tuple[Tensor, ...]
    loss: Callable[[Mapping[str, Tensor]], Tensor]
    world: World
    pieces: int = 1
    precision: str = "float32"

    def _forward(self, *inputs: Tensor) -> Outputs:
        with autocast(str(inputs[0].device), self.precision):
            outputs: Outputs = self.network(*inputs)
        return outputs

    def value(self) -> Tensor:
        """The global loss with its graph, all rows of this process at once."""
        return self.loss(self.world.gather(self._forward(*self.inputs)))

    def __call__(self) -> Tensor:
        """Compute loss and gradient; see the class."""
        if self.pieces == 1:
            loss = self.value()
            loss.backward()
            return loss
        (images,) = self.inputs
        chunks = images.chunk(self.pieces)
        states, parts = [], []
        with torch.no_grad(), frozen_statistics(self.network):
            for chunk in chunks:
                states.append(random_state(chunk.device))
                parts.append(self._forward(chunk))
        own = {name: torch.cat([part[name] for part in parts]).requires_grad_(True) for name in parts[0]}
        loss = self.loss(self.world.gather(own))
        loss.backward()
        self._replay(chunks, states, own)
        return loss

    def _replay(
        self, chunks: Sequence[Tensor], states: Sequence[tuple[Tensor, Tensor | None]], own: Outputs
    ) -> None:
        """Run each piece again, by the same draws, backwards from its rows of the outputs' gradients."""
        start = 0
        for chunk, state in zip(chunks, states, strict=True):
            set_random_state(chunk.device, state)
            outputs = self._forward(chunk)
            rows = slice(start, start + len(chunk))
            start += len(chunk)
            used = [
                (outputs[name], whole.grad[rows]) for name, whole in own.items() if whole.grad is not None
            ]
            torch.autograd.backward([value for value, _ in used], [gradient for _, gradient in used])
