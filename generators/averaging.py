"""The mean of several trained generators' weights, and what half precision does to a generator's pictures.

Stages of one training, or snapshots of a run, lie in one valley of the loss: their mean is often better than
each of them (stochastic weight averaging, Izmailov et al., arXiv 1803.05407; post-hoc EMA, Karras et al.,
arXiv 2312.02696). Generators of trainings that have nothing in common have no mean worth looking at.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from generators.sampling import draw_z, even_classes, map_latents, synthesize
from generators.stylegan2.generator import Generator
from manifests.errors import UsageError
from nn.half_precision import half_precision

MEAN_LATENTS = 20_000
"""Mapped latents whose mean is the new `mapping.w_avg`."""
COMPARED = 32
_SEED = 0


@torch.no_grad()
def mean_generator(generators: Sequence[Generator]) -> Generator:
    """A generator whose weights are the mean of these, in float64, and whose `mapping.w_avg` is measured
    anew.

    Args:
        generators: one or more, of one config, on the CPU.

    Raises:
        UsageError: none, or of different sizes.
    """
    if not generators:
        raise UsageError("no generator", "was given", "name one or more")
    for other in generators[1:]:
        if other.config != generators[0].config:
            raise UsageError(
                f"generator {other.name}",
                f"has other sizes or settings than {generators[0].name}",
                "average stages or snapshots of one training",
            )
    mean = copy.deepcopy(generators[0])
    states = [generator.state_dict() for generator in generators]
    mean.load_state_dict(
        {
            name: (sum(state[name].double() for state in states) / len(states)).to(value.dtype)
            for name, value in states[0].items()
        }
    )
    mean.mapping.w_avg.copy_(torch.from_numpy(_styles(mean, MEAN_LATENTS).astype(np.float64).mean(axis=0)))
    return mean


def _styles(generator: Generator, count: int) -> npt.NDArray[np.float32]:
    """Latents float32 [count, w_dim] of a fixed seed, as many of every class as of any other."""
    keys = [("average", number) for number in range(count)]
    z = draw_z(_SEED, keys, generator.z_dim)
    return map_latents(generator, z, even_classes(generator, count))[:, 0]


@torch.no_grad()
def stored_in_half(generator: Generator) -> tuple[dict[str, Tensor], float]:
    """The generator's state with its large tensors in float16, and the mean absolute change of `COMPARED`
    pictures when it is read again, in steps of 255.

    Raises:
        DataError: a weight is too large for it.
    """
    state = half_precision(generator.state_dict())
    small = copy.deepcopy(generator)
    small.load_state_dict(state)
    whole, rounded = (
        synthesize(one, _styles(one, COMPARED)).astype(np.float64) for one in (generator, small)
    )
    return state, float(np.abs(whole - rounded).mean())
