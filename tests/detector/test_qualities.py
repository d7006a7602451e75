"""Images at several qualities, aligned; the weight push that goes with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from detector.training.qualities import Quality, degrade, parse_qualities, parse_quality, quality_tuples
from detector.training.weight_perturbation import ascent, perturbed
from manifests.errors import UsageError
from manifests.h264 import through_h264
from manifests.images import decode, encode


def picture(seed: int = 0, side: int = 32) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 256, (side // 4, side // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)


def test_qualities_are_read() -> None:
    found = parse_qualities(["raw", "jpeg:30-90", "h264:23", "down:1.5-4"])
    assert found == [
        Quality("raw"),
        Quality("jpeg", 30, 90),
        Quality("h264", 23, 23),
        Quality("down", 1.5, 4),
    ]
    assert parse_qualities([]) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "raw:1",
        "jpg:90",
        "jpeg",
        "jpeg:",
        "jpeg:a",
        "jpeg:90-30",
        "jpeg:0",
        "jpeg:-5",
        "h264:52",
        "down:nan",
    ],
)
def test_qualities_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_quality(text)
    assert caught.value.fix


def test_the_same_quality_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_qualities(["raw", "jpeg:50", "raw"])


def test_each_kind_is_what_it_says() -> None:
    image, rng = picture(), np.random.default_rng(0)
    assert (degrade(image, Quality("raw"), rng) == image).all()
    assert (degrade(image, Quality("jpeg", 40, 40), rng) == decode(encode(image, "jpeg", 40))).all()
    assert (degrade(image, Quality("h264", 40, 40), rng) == through_h264(image, 40)).all()
    blocks = np.tile(np.array([[0, 255], [255, 0]], np.uint8)[:, :, None], (16, 16, 3))
    assert abs(degrade(blocks, Quality("down", 2, 2), rng).astype(int) - 128).max() <= 1


def test_tuples_are_aligned_and_their_draws_belong_to_the_image() -> None:
    images, qualities = (
        np.stack([picture(k) for k in range(3)]),
        parse_qualities(["raw", "jpeg:20-90", "down:2-6"]),
    )
    whole = quality_tuples(images, ["a", "b", "c"], qualities, 7, 1)
    assert whole.shape == (9, 32, 32, 3)
    assert (whole[:3] == images).all()
    part = quality_tuples(images[2:], ["c"], qualities, 7, 1)
    assert (part == whole[[2, 5, 8]]).all()
    other = quality_tuples(images[2:], ["c"], qualities, 7, 2)
    assert not (other[1:] == part[1:]).all()


def small() -> tuple[nn.Sequential, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1))
    return network, torch.randn(8, 4, generator=generator)


def test_the_push_is_the_papers_and_leaves_nothing_behind() -> None:
    network, x = small()
    state = {k: v.clone() for k, v in network.state_dict().items()}

    def loss() -> torch.Tensor:
        return network(x).square().mean()

    torch.manual_seed(5)
    before = torch.get_rng_state()
    loss().backward()
    slopes = {n: p.grad.clone() for n, p in network.named_parameters()}
    network.zero_grad()
    network.load_state_dict(state)
    torch.set_rng_state(before)
    with perturbed(network, loss, 0.1):
        assert torch.equal(torch.get_rng_state(), before)
        for name, p in network.named_parameters():
            old, g = state[name], slopes[name]
            expected = old + 0.1 * old.norm() / g.norm() * g if p.ndim > 1 else old
            torch.testing.assert_close(p.detach(), expected)
            assert p.grad is None
    after = network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in state.items())


def test_weights_come_back_after_an_error_and_gamma_zero_is_nothing() -> None:
    network, x = small()
    state = {k: v.clone() for k, v in network.state_dict().items()}

    def broken() -> None:
        with perturbed(network, lambda: network(x).mean(), 0.5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert all(torch.equal(network.state_dict()[k], v) for k, v in state.items())
    with perturbed(network, lambda: network(x).mean() * float("nan"), 0.5):
        assert all(torch.equal(network.state_dict()[k], v) for k, v in state.items())


def test_processes_push_alike_by_the_sum_of_their_gradients() -> None:
    network, x = small()
    network.eval()
    halves = [lambda rows=rows: network(x[rows]).square().sum() for rows in (slice(0, 3), slice(3, 8))]
    whole = dict(
        zip(range(2), (d for _, d in ascent(network, lambda: network(x).square().sum())), strict=True)
    )
    other = [torch.autograd.grad(halves[1](), p)[0] for p in (network[0].weight, network[3].weight)]

    def add_up(slopes: list[torch.Tensor]) -> None:
        for slope, rest in zip(slopes, other, strict=True):
            slope.add_(rest)

    for k, (_, d) in enumerate(ascent(network, halves[0], add_up)):
        torch.testing.assert_close(d, whole[k])
