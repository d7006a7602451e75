"""How much a trained network's verdict and those of the detectors beside it count: stacking (Wolpert, Neural
Networks 5, 1992).

Validation images are of the source that the network was trained on; what the others know of other sources
does not show in them. So the others get not the likeliest share but the largest that these images do not tell
from it: the one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984, section
3.4.3). Real and fake weigh alike, no weight is below 0, and the sum is calibrated on these images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detector.inference.calibration import class_weights
from detector.inference.checkpoints import find_detector, read_checkpoint
from detector.inference.prediction import MICRO_BATCH
from detector.metrics.rates import auc
from detector.models.architectures.beside import BesideNetwork, own_part
from detector.models.network import create_network, normalise
from detector.models.network_config import BESIDE, DEFAULT, NetworkConfig, Other
from detector.training.data import SplitData
from manifests.errors import UsageError
from nn.micro_batches import micro_batches

Floats = npt.NDArray[np.float64]
SHARES = np.linspace(0, 1, 21)
RIDGE = 1e-3
"""Half of it, times the squared weights of logits at deviation 1, is added to the mean loss: logits that
separate the images perfectly have no likeliest weights without it."""


@dataclass(frozen=True)
class Stacked:
    """A network with others beside it: what builds it, its state, and what the weighing came to.

    facts: `names`, `weights` (its own first), `bias`, `share` of the others and the `likeliest_share`,
    `val_auc`, `val_auc_alone`.
    """

    config: NetworkConfig
    state: dict[str, Tensor]
    facts: dict[str, Any]


def fit_weights(logits: Floats, labels: npt.NDArray[np.integer]) -> tuple[Floats, float]:
    """Weights and bias of the likeliest logistic regression whose weights are not negative.

    Args:
        logits: float64 [N, K], one column a detector.
        labels: int [N], 1 fake, 0 real.

    Returns:
        float64 [K] from 0, and the bias. A column without spread has weight 0.

    Raises:
        UsageError: a class has no row.
    """
    from scipy.optimize import minimize

    y, rows = np.asarray(labels, np.float64), class_weights(labels)
    centre, spread = logits.mean(0), logits.std(0)
    units = (logits - centre) / np.where(spread > 0, spread, np.inf)

    def loss(values: Floats) -> tuple[float, Floats]:
        z = units @ values[:-1] + values[-1]
        wrong = rows * (1 / (1 + np.exp(-np.clip(z, -500, 500))) - y) / len(y)
        value = float((rows * (np.logaddexp(0, z) - y * z)).mean() + RIDGE / 2 * (values[:-1] ** 2).sum())
        return value, np.append(units.T @ wrong + RIDGE * values[:-1], wrong.sum())

    begin = np.append(np.full(logits.shape[1], 1 / logits.shape[1]), 0.0)
    bounds = [(0.0, None)] * logits.shape[1] + [(None, None)]
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = np.where(spread > 0, found[:-1] / np.where(spread > 0, spread, 1), 0.0)
    return weights, float(found[-1] - weights @ centre)


@dataclass(frozen=True)
class Weights:
    """weights: float64 [K] from 0, the own logit's first. bias: added to the sum. share: of the others, in
    [0, 1], where all logits have deviation 1; likeliest_share: without the rule.
    """

    weights: Floats
    bias: float
    share: float
    likeliest_share: float


def share_out(logits: Floats, labels: npt.NDArray[np.integer]) -> Weights:
    """Weights of a network's logit and of others' by the one-standard-error rule.

    The others are weighed among themselves by `fit_weights`. Of the shares 0, .05, ... 1 that they then may
    have together, the largest is taken whose mean loss (each share at its likeliest scale and bias) is no
    more than one standard error above the least.

    Args:
        logits: float64 [N, K], K from 2, the own one first.
        labels: int [N], 1 fake, 0 real.

    Raises:
        UsageError: a class has no row.
    """
    rows, y = class_weights(labels), np.asarray(labels, np.float64)
    own = np.eye(logits.shape[1])[0] * _inverse(logits[:, 0].std())
    among = np.append(0.0, fit_weights(logits[:, 1:], labels)[0])
    among = among * _inverse((logits @ among).std())
    tried = []
    shares = SHARES if among.any() else SHARES[:1]
    for share in shares:
        mixed = (1 - share) * own + share * among
        scale, bias = fit_weights((logits @ mixed)[:, None], labels)
        z = scale[0] * (logits @ mixed) + bias
        losses = rows * (np.logaddexp(0, z) - y * z)
        tried.append((float(losses.mean()), float(losses.std(ddof=1)), scale[0] * mixed, bias))
    best = min(range(len(tried)), key=lambda k: tried[k][0])
    most = tried[best][0] + tried[best][1] / np.sqrt(len(y))
    kept = max(k for k, one in enumerate(tried) if one[0] <= most)
    return Weights(tried[kept][2], tried[kept][3], float(SHARES[kept]), float(SHARES[best]))


def _inverse(spread: float) -> float:
    return 1 / spread if spread > 0 else 0.0


def as_text(facts: Mapping[str, Any]) -> str:
    """The facts of `Stacked` in one line."""
    names = ", ".join(facts["names"])
    return (
        f"beside {names}: share {facts['share']:.2f} of the verdict (likeliest"
        f" {facts['likeliest_share']:.2f}); validation AUC {facts['val_auc']:.4f}, alone"
        f" {facts['val_auc_alone']:.4f}"
    )


def _others(names: tuple[str, ...]) -> tuple[list[Other], dict[str, Tensor]]:
    """What is beside the network, and its tensors. Of one that has others beside itself, its own part."""
    found: list[Other] = []
    state: dict[str, Tensor] = {}
    for k, name in enumerate(names):
        weight = find_detector(name)
        config, _, tensors = read_checkpoint(weight.path)
        config, tensors = own_part(config, tensors)
        found.append(Other(name=weight.name[:200], sha256=weight.sha256, config=config))
        state |= {f"others.{k}.{key}": value for key, value in tensors.items()}
    return found, state


def put_beside(config: NetworkConfig, names: tuple[str, ...]) -> tuple[NetworkConfig, dict[str, Tensor]]:
    """The configuration with these detectors beside it, each at weight 1, and their tensors.

    Args:
        config: of the network that is trained, which must be `single`.
        names: of detectors, as `find_detector` takes them.

    Raises:
        MissingError: no such detector. DataError: damaged. UsageError: a network of several encoders, which
            has none beside it.
    """
    if config.architecture != DEFAULT:
        raise UsageError(
            f"train.beside = {list(names)}",
            f"does not go with the network {config.architecture!r}",
            "take a loss that trains the network 'single', or set beside = []",
        )
    others, tensors = _others(names)
    return config.model_copy(update={"architecture": BESIDE, "beside": tuple(others)}), tensors


@torch.inference_mode()
def _logits(network: BesideNetwork, data: SplitData, device: str | torch.device) -> Floats:
    parts = []
    for at, kept in micro_batches(len(data), MICRO_BATCH):
        images = normalise(torch.from_numpy(data.batch(at)).to(device), network.config)
        out = network.logits(images)
        if network.config.mirror:
            other = images.flip(3).contiguous(memory_format=torch.channels_last)
            out = (out + network.logits(other)) / 2
        parts.append(out[:kept].double().cpu().numpy())
    return np.concatenate(parts)


def weigh_beside(
    config: NetworkConfig,
    state: Mapping[str, Tensor],
    names: tuple[str, ...],
    data: SplitData,
    device: str | torch.device,
) -> Stacked:
    """Put detectors beside a trained network and weigh them on validation images.

    Args:
        config: of the network.
        state: its tensors by name.
        names: of the detectors beside it.
        data: the validation images.
        device: where the networks compute.

    Raises:
        MissingError, DataError, UsageError: see `put_beside`.
    """
    whole, tensors = put_beside(config, names)
    network = create_network(whole)
    assert isinstance(network, BesideNetwork)
    network.load_state_dict({**state, **tensors})
    network.to(device).to(memory_format=torch.channels_last).eval()
    logits, labels = _logits(network, data, device), np.asarray(data.labels)
    found = share_out(logits, labels)
    own, *weights = (float(w) for w in found.weights)
    others = tuple(
        other.model_copy(update={"weight": w}) for other, w in zip(whole.beside, weights, strict=True)
    )
    facts = {
        "names": [other.name for other in others],
        "weights": [own, *weights],
        "bias": found.bias,
        "share": found.share,
        "likeliest_share": found.likeliest_share,
        "val_auc": float(auc(labels, logits @ found.weights)),
        "val_auc_alone": float(auc(labels, logits[:, 0])),
    }
    fitted = whole.model_copy(update={"beside": others, "own_weight": own, "bias": found.bias})
    return Stacked(fitted, {**state, **tensors}, facts)
