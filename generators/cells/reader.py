"""A latent reader: what the attribute model will say of a latent, foretold without making its picture.

A multilayer perceptron of two hidden layers on whitened latents, trained on latents whose pictures were
labelled. It is cheap enough to judge many draws and keep one that will likely be read as its cell. Several of
them, each begun from other numbers, err less together than one (deep ensembles, Lakshminarayanan et al.,
arXiv 1612.01474); their logits are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generators.cells.density import Array
from manifests.seeding import seed_of
from manifests.watching import watched
from nn.devices import torch_threads

HIDDEN = 256
LAYERS = 3
EPOCHS = 30
BATCH = 256
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
DROPOUT = 0.4

Member = tuple[tuple[Array, Array], ...]
"""Weight float64 [out, in] and bias float64 [out] of each layer, the first first; their values are those of
float32.
"""


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _gelu(x: Array) -> Array:
    from scipy.special import erf

    return np.asarray(0.5 * x * (1 + erf(x / np.sqrt(2))))


@dataclass(frozen=True)
class LatentReader:
    """Perceptrons whose mean logits are read.

    members: one or more; the first layer takes whitened latents of D numbers, the last gives C, between them
    GELU. sizes: classes per axis of the taxonomy, in its order; they sum to C.
    """

    members: tuple[Member, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.members or any(len(member) != LAYERS for member in self.members):
            raise ValueError(f"a latent reader has members of {LAYERS} layers each")
        for member in self.members:
            widths = [self.members[0][0][0].shape[1], *(len(bias) for _, bias in member)]
            shapes = [weight.shape for weight, _ in member]
            if shapes != list(zip(widths[1:], widths[:-1], strict=True)) or widths[-1] != sum(self.sizes):
                raise ValueError("the layers of the latent reader do not fit each other")

    @property
    def dim(self) -> int:
        """D, the length of a latent."""
        return int(self.members[0][0][0].shape[1])

    def log_probabilities(self, u: Array) -> list[Array]:
        """Whitened latents float64 [n, D] to log probabilities per axis: float64 [n, size]."""
        y = np.mean([self._logits(member, u) for member in self.members], axis=0)
        return [_log_softmax(part) for part in np.split(y, np.cumsum(self.sizes)[:-1], axis=1)]

    @staticmethod
    def _logits(member: Member, u: Array) -> Array:
        x = np.asarray(u, np.float64)
        for number, (weight, bias) in enumerate(member):
            x = (_gelu(x) if number else x) @ weight.T + bias
        return x

    def score(self, u: Array, classes: Sequence[int]) -> Array:
        """Log probability that the attribute model reads these classes, one index per axis: float64 [n]."""
        parts = self.log_probabilities(u)
        return np.asarray(sum(part[:, index] for part, index in zip(parts, classes, strict=True)))

    def arrays(self) -> dict[str, Array]:
        """Its arrays by name, as `from_arrays` takes them."""
        return {
            f"reader.{k}.{layer}.{kind}": array
            for k, member in enumerate(self.members)
            for layer, pair in enumerate(member)
            for kind, array in zip(("weight", "bias"), pair, strict=True)
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], sizes: tuple[int, ...]) -> LatentReader | None:
        """The reader among these arrays; None where there is none.

        Raises:
            KeyError, ValueError: an array is missing, or shapes do not fit each other.
        """
        count = 1 + max(
            (int(name.split(".")[1]) for name in arrays if name.startswith("reader.")), default=-1
        )
        members = tuple(
            tuple(
                (
                    arrays[f"reader.{k}.{layer}.weight"].astype(np.float64),
                    arrays[f"reader.{k}.{layer}.bias"].astype(np.float64),
                )
                for layer in range(LAYERS)
            )
            for k in range(count)
        )
        return cls(members, sizes) if members else None


def train_reader(u: Array, labels: Sequence[npt.NDArray], seed: int, members: int = 1) -> LatentReader:
    """Fit a reader to soft labels by cross entropy; the same input gives the same reader on one machine.

    Args:
        u: float64 [n, D], whitened latents.
        labels: probabilities per axis, float [n, size].
        members: networks that are trained on them, from seeds of their own, and averaged.
    """
    with torch_threads(1):
        trained = tuple(
            _train(u, labels, seed if k == 0 else seed_of(seed, "member", k) % 2**63) for k in range(members)
        )
    return LatentReader(trained, tuple(label.shape[1] for label in labels))


def _train(u: Array, labels: Sequence[npt.NDArray], seed: int) -> Member:
    """One network by AdamW on a one-cycle schedule (Smith and Topin, arXiv 1708.07120)."""
    import torch
    from torch.nn.functional import gelu

    rng = torch.Generator().manual_seed(seed)
    x, *targets = (torch.as_tensor(np.asarray(a, np.float32)) for a in (u, *labels))
    sizes = tuple(target.shape[1] for target in targets)
    layers = [
        torch.nn.Linear(a, b)
        for a, b in zip((x.shape[1], HIDDEN, HIDDEN), (HIDDEN, HIDDEN, sum(sizes)), strict=True)
    ]
    with torch.no_grad():
        for layer in layers:
            layer.weight.normal_(0, layer.in_features**-0.5, generator=rng)
            layer.bias.zero_()
    optimizer = torch.optim.AdamW(
        [p for layer in layers for p in layer.parameters()], LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=0.1)
    for _ in watched(range(EPOCHS), "training the latent reader", "epochs"):
        for rows in torch.randperm(len(x), generator=rng).split(BATCH):
            z = x[rows]
            for layer in layers[:-1]:
                z = gelu(layer(z))
                z = z * (torch.rand(z.shape, generator=rng) >= DROPOUT) / (1 - DROPOUT)
            parts = layers[-1](z).split(sizes, 1)
            loss = torch.stack(
                [
                    -(target[rows] * y.log_softmax(1)).sum(1).mean()
                    for target, y in zip(targets, parts, strict=True)
                ]
            ).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return tuple(
        (layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()) for layer in layers
    )
