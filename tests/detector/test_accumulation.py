"""Pieces of a batch give the gradient of the whole batch's loss; batches made ahead are the same batches."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from detector.losses.base import cvar
from detector.training.batch_loading import ahead
from detector.training.gradients import BatchGradient
from detector.training.sharpness import SAM
from nn.processes import World


class Net(nn.Module):
    """Two outputs; BatchNorm and dropout as asked."""

    def __init__(self, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Flatten(),
        )
        self.fake, self.idle = nn.Linear(64, 1), nn.Linear(64, 2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.body(images)
        return {"fake": self.fake(features)[:, 0], "idle": self.idle(features)}


def coupled(outputs: dict[str, Tensor]) -> Tensor:
    """No mean over samples: the worst 30 %, and the spread of all."""
    return cvar(outputs["fake"].square(), 0.3) + outputs["fake"].std()


X = torch.randn(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def closure(net: nn.Module, pieces: int) -> BatchGradient:
    return BatchGradient(net, (X,), coupled, World(), pieces)


def gradients(net: nn.Module) -> list[Tensor]:
    return [p.grad for p in net.parameters() if p.grad is not None]


@pytest.mark.parametrize("pieces", [2, 3, 12])
def test_pieces_give_the_gradient_of_the_whole_for_a_loss_that_couples_samples(pieces: int) -> None:
    whole, cut = Net(), Net()
    torch.testing.assert_close(closure(whole, 1)(), closure(cut, pieces)())
    assert len(gradients(cut)) == len(gradients(whole)) == 4, "the idle head has no gradient"
    for a, b in zip(gradients(whole), gradients(cut), strict=True):
        torch.testing.assert_close(a, b)
    of_pieces = float(torch.stack([coupled(Net()(x)) for x in X.chunk(3)]).mean().detach())
    assert abs(of_pieces - float(closure(Net(), 3)().detach())) > 1e-3, (
        "averaging pieces would be another loss"
    )


def test_each_piece_is_replayed_by_its_own_draws_and_recorded_once() -> None:
    cut, direct = Net(norm=True, dropout=0.5), Net(norm=True, dropout=0.5)
    torch.manual_seed(8)
    loss = closure(cut, 3)()
    torch.manual_seed(8)
    parts = [direct(x) for x in X.chunk(3)]
    reference = coupled({name: torch.cat([p[name] for p in parts]) for name in parts[0]})
    reference.backward()
    torch.testing.assert_close(loss, reference)
    for a, b in zip(gradients(cut), gradients(direct), strict=True):
        torch.testing.assert_close(a, b)
    for name, value in direct.state_dict().items():
        torch.testing.assert_close(cut.state_dict()[name], value)
    assert int(cut.body[1].num_batches_tracked) == 3


@pytest.mark.parametrize("variant", ["sam", "asam", "gsam"])
def test_a_step_in_pieces_is_the_step_of_the_whole(variant: str) -> None:
    nets = [Net(), Net()]
    for net, pieces in zip(nets, (1, 4), strict=True):
        sam = SAM(net, torch.optim.SGD(net.parameters(), lr=0.1), 0.2, variant=variant, clip=1.0)
        for _ in range(2):
            sam.step(closure(net, pieces))
    for a, b in zip(*(net.state_dict().values() for net in nets), strict=True):
        torch.testing.assert_close(a, b)
    assert not torch.equal(nets[0].fake.weight, Net().fake.weight)


def test_batches_made_ahead_come_in_order_and_not_too_early() -> None:
    started, lock = [], threading.Lock()

    def make(item: int) -> int:
        with lock:
            started.append(item)
        return item * item

    with ThreadPoolExecutor(2) as pool:
        source = ahead(range(20), lambda item: pool.submit(make, item), 2)
        assert next(source) == 0
        assert max(started) <= 5
        assert list(source) == [k * k for k in range(1, 20)]


def test_an_error_while_a_batch_is_made_is_raised_at_its_place() -> None:
    def make(item: int) -> int:
        return 1 // (3 - item)

    with ThreadPoolExecutor(2) as pool:
        source = ahead(range(9), lambda item: pool.submit(make, item), 2)
        assert [next(source) for _ in range(3)] == [0, 0, 1]
        with pytest.raises(ZeroDivisionError):
            next(source)
