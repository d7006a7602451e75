"""A latent reader: what the attribute model will say of a latent, foretold without making its picture.

A small multilayer perceptron on whitened latents, trained on latents whose pictures were labelled. It is cheap enough to judge
several draws and keep the one that will most likely be read as its cell. Several of them, each begun from other numbers, err less
together than one (deep ensembles, Lakshminarayanan et al., arXiv 1612.01474); their logits are averaged, which makes them one wider
perceptron.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generators.cells.density import Array
from manifests.seeding import seed_of

HIDDEN = 128
EPOCHS = 30
BATCH = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.03
DROPOUT = 0.4


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


@dataclass(frozen=True)
class LatentReader:
    """Weights of the perceptron: hidden [H, D] and [H], output [C, H] and [C]; all float64.

    sizes: classes per axis of the taxonomy, in its order; they sum to C.
    """

    hidden: Array
    hidden_bias: Array
    output: Array
    output_bias: Array
    sizes: tuple[int, ...]

    def log_probabilities(self, u: Array) -> list[Array]:
        """Whitened latents float64 [n, D] to log probabilities per axis: float64 [n, size]."""
        from scipy.special import erf

        x = u @ self.hidden.T + self.hidden_bias
        x = 0.5 * x * (1 + erf(x / np.sqrt(2)))
        y = x @ self.output.T + self.output_bias
        return [_log_softmax(part) for part in np.split(y, np.cumsum(self.sizes)[:-1], axis=1)]

    def score(self, u: Array, classes: Sequence[int]) -> Array:
        """Log probability that the attribute model reads these classes, one index per axis: float64 [n]."""
        parts = self.log_probabilities(u)
        return np.asarray(sum(part[:, index] for part, index in zip(parts, classes, strict=True)))


def train_reader(u: Array, labels: Sequence[npt.NDArray], seed: int, members: int = 1) -> LatentReader:
    """Fit a reader to soft labels by cross entropy; the same input gives the same reader on one machine.

    Args:
        u: float64 [n, D], whitened latents. labels: probabilities per axis, float [n, size].
        members: networks that are trained on them, from seeds of their own, and averaged.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _averaged([_train(u, labels, seed if k == 0 else seed_of(seed, "member", k) % 2**63) for k in range(members)])
    finally:
        torch.set_num_threads(threads)


def _averaged(members: Sequence[LatentReader]) -> LatentReader:
    """One perceptron whose logits are the mean of the members'."""
    if len(members) == 1:
        return members[0]
    return LatentReader(
        np.concatenate([member.hidden for member in members]), np.concatenate([member.hidden_bias for member in members]),
        np.concatenate([member.output for member in members], axis=1) / len(members),
        np.mean([member.output_bias for member in members], axis=0), members[0].sizes,
    )


def _train(u: Array, labels: Sequence[npt.NDArray], seed: int) -> LatentReader:
    import torch

    rng = torch.Generator().manual_seed(seed)
    dim, sizes = u.shape[1], tuple(label.shape[1] for label in labels)
    x, *targets = (torch.as_tensor(np.asarray(a, np.float32)) for a in (u, *labels))
    first = torch.nn.Linear(dim, HIDDEN)
    second = torch.nn.Linear(HIDDEN, sum(sizes))
    with torch.no_grad():
        for layer in (first, second):
            layer.weight.normal_(0, layer.in_features**-0.5, generator=rng)
            layer.bias.zero_()
    optimizer = torch.optim.AdamW([*first.parameters(), *second.parameters()], LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=rng).split(BATCH):
            z = torch.nn.functional.gelu(first(x[rows]))
            z = z * (torch.rand(z.shape, generator=rng) >= DROPOUT) / (1 - DROPOUT)
            parts = second(z).split(sizes, 1)
            loss = torch.stack([
                -(target[rows] * y.log_softmax(1)).sum(1).mean() for target, y in zip(targets, parts, strict=True)
            ]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    arrays = (first.weight, first.bias, second.weight, second.bias)
    return LatentReader(*(a.detach().numpy().astype(np.float64) for a in arrays), sizes)
