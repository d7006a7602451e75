"""What each of two processes does in `test_distributed.py`: the trainings, and one step that ascends by its
own rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

from detector.training.loop import train
from detector.training.settings import TrainSettings
from detector.training.sharpness import SAM
from nn.processes import World, join_world

CURVATURE = (torch.diag(torch.tensor([4.0, 1.0])), torch.tensor([[1.0, 0.5], [0.5, 3.0]]))
START, RHO, RATE = torch.tensor([1.0, -2.0]), 0.3, 0.1


def own_ascent(world: World) -> list[float]:
    """One step on f = sum over ranks of w A_r w / 2, each rank ascending on its own term."""
    net = nn.Module()
    net.w = nn.Parameter(START.clone())

    def closure() -> torch.Tensor:
        loss = 0.5 * net.w @ CURVATURE[world.rank] @ net.w
        loss.backward()
        return loss

    SAM(net, torch.optim.SGD([net.w], lr=RATE), RHO, reduce=world.sum_gradients, local_ascent=True).step(
        closure
    )
    return net.w.tolist()


def main(manifest: str, out: str, cases: str) -> None:
    torch.set_num_threads(1)
    with join_world("cpu") as world:
        found = world.collect(own_ascent(world))
        if world.rank == 0:
            Path(out, "ascent.json").write_text(json.dumps(found))
        for name, values in json.loads(cases).items():
            train(TrainSettings(**values), Path(manifest), Path(out, name), lambda event: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
