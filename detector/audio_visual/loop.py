"""A training in steps that goes on exactly where it was stopped: each step is a function of the seed and its
number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from manifests.seeding import seed_of
from nn.tensor_files import restore_optimizer
from nn.training_loop import Figures, StateFile, Steps, run_steps

Loss = Callable[[int], Tensor]
"""The loss of a step, by its number."""
ANEW = "give --fresh"
STATE: dict[str, type] = {"network": dict, "optimizer": dict, "losses": list}


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
        network: what is trained.
        loss_of: the loss of a step.
        steps: in all.
        lr: learning rate of Adam.
        state: file of the state.
        key: what the training is; a state with another key is refused.
        seed: of torch's own draws.
        every: after so many steps, and after the last one, the state is written.
        what: the work, as progress is told of it.

    Raises:
        UsageError: a state of another training, or a loss that is not finite.
        DataError: a damaged state.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    losses: list[float] = []
    states = StateFile(state, key, STATE, ANEW, "other settings or other features")
    found = states.read()
    if found is not None:
        with states.restoring():
            network.load_state_dict(found["network"])
            restore_optimizer(optimizer, found["optimizer"])
            losses = [float(loss) for loss in found["losses"]]

    def one(step: int) -> dict[str, float]:
        torch.manual_seed(seed_of(seed, what, step))
        loss = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": float(loss.detach())}

    def save(done: int, figures: Figures) -> None:
        losses.extend(figures["loss"])
        states.write({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses})

    network.train()
    run_steps(one, Steps(steps, len(losses), what), due=lambda done: done % every == 0, save=save)
    network.eval()
    return losses
