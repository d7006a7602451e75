"""A training in steps that goes on exactly where it was stopped: each step is a function of the seed and its
number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from manifests.errors import UsageError
from manifests.seeding import seed_of
from manifests.watching import watching
from nn.saving import save_state
from nn.tensor_files import read_state, restore_optimizer, restoring

Loss = Callable[[int], Tensor]
"""The loss of a step, by its number."""
ANEW = "choose another --out, or give --fresh"
STATE: dict[str, type] = {"key": str, "network": dict, "optimizer": dict, "losses": list}


def train_steps(
    network: nn.Module,
    loss_of: Loss,
    *,
    steps: int,
    lr: float,
    state: Path,
    key: str,
    seed: int,
    every: int,
    what: str,
) -> list[float]:
    """Train `network` in place by Adam, or what is left of it; returns the loss of every step.

    Args:
        network: what is trained. loss_of: the loss of a step. steps: in all. lr: of Adam.
        state: file of the state, written every `every` steps and after the last one.
        key: what the training is; a state with another key is refused. seed: of torch's own draws. what: for
            the progress.

    Raises:
        UsageError: a state of another training, or a loss that is not finite. DataError: a damaged state.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    losses: list[float] = []
    if state.is_file():
        found = read_state(state, STATE, ANEW)
        if found["key"] != key:
            raise UsageError(
                str(state), "is the state of a training with other settings or other features", ANEW
            )
        with restoring(state, ANEW):
            network.load_state_dict(found["network"])
            restore_optimizer(optimizer, found["optimizer"])
            losses = [float(loss) for loss in found["losses"]]
    network.train()
    with watching(what, steps, "steps", len(losses)) as done:
        while len(losses) < steps:
            step = len(losses)
            torch.manual_seed(seed_of(seed, what, step))
            loss = loss_of(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            if not np.isfinite(losses[-1]):
                raise UsageError(
                    "training", f"the loss became {losses[-1]} at step {step}", "lower the learning rate"
                )
            if (step + 1) % every == 0 or step + 1 == steps:
                save_state(
                    state,
                    {
                        "key": key,
                        "network": network.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "losses": losses,
                    },
                )
            done(step + 1)
    network.eval()
    return losses
