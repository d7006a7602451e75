"""Heads, what of their gradient the trunk gets, stages of trunks, and the mask decoder."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from detector.models.heads import CosineHead, reversal_ramp, reverse_gradient
from detector.models.network import DetectorNetwork, build_network
from detector.models.network_config import NetworkConfig
from manifests.errors import UsageError

HEADS = {"race": ("a", "b"), "cell": ("x", "y", "z"), "family": ("none", "swap")}


def network(**changes: Any) -> DetectorNetwork:
    return build_network(
        NetworkConfig(backbone="test_resnet", input_size=64, heads=HEADS, **changes), 2
    ).train()


def images(n: int = 4) -> torch.Tensor:
    return torch.randn(n, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def slopes(
    mode: str, head: str, progress: float = 1.0, reversal: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of a trunk weight and of the head's weight, of the head's cross entropy."""
    net = network(head_mode=mode, reversal=reversal)
    net.progress = progress
    F.cross_entropy(net(images())[head], torch.tensor([0, 1, 1, 0])).backward()
    first = next(p for p in net.trunk.parameters() if p.ndim == 4)
    return torch.zeros(1) if first.grad is None else first.grad, net.heads[head].weight.grad


def test_reversed_heads_push_the_trunk_the_other_way() -> None:
    shared, own = slopes("shared", "race")
    away, same = slopes("reversed", "race", progress=0.3, reversal=2.0)
    factor = 2 * (2 / (1 + math.exp(-3.0)) - 1)
    torch.testing.assert_close(away, -factor * shared)
    torch.testing.assert_close(same, own)


def test_detached_heads_are_probes() -> None:
    trunk, own = slopes("detached", "cell")
    assert float(trunk.abs().sum()) == 0.0
    torch.testing.assert_close(own, slopes("shared", "cell")[1])


@pytest.mark.parametrize("mode", ["reversed", "detached"])
def test_the_family_head_is_no_demographic_head(mode: str) -> None:
    torch.testing.assert_close(slopes(mode, "family")[0], slopes("shared", "family")[0])


def test_the_ramp_goes_from_nothing_to_all() -> None:
    assert reversal_ramp(0.0) == 0.0
    assert reversal_ramp(1.0) == pytest.approx(1.0, abs=1e-4)
    x = torch.ones(2, requires_grad=True)
    assert torch.equal(reverse_gradient(x, 0.5), x)
    reverse_gradient(x, 0.5).sum().backward()
    assert x.grad.tolist() == [-0.5, -0.5]


def test_cosine_logits_are_bounded_and_blind_to_length() -> None:
    head, x = CosineHead(5, 3, 30.0), torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head(x), head(3 * x))
    expected = 30 * F.cosine_similarity(x[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(x), expected)
    assert isinstance(network(cosine={"race": 30.0}).heads["race"], CosineHead)


def test_stages_are_what_the_trunk_computes_and_only_in_training() -> None:
    net = network(layers=2)
    out = net(images())
    assert [tuple(out[f"layers.{k}"].shape) for k in (0, 1)] == [(4, 192, 4, 4), (4, 96, 2, 2)]
    torch.testing.assert_close(out["layers.1"].mean((2, 3)), out["features"])
    assert "layers.2" not in out
    assert not [name for name in net.eval()(images()) if name.startswith("layers")]
    assert not any(m._forward_hooks for m in net.modules())


def test_more_stages_than_there_are() -> None:
    with pytest.raises(UsageError, match="has 5 stages"):
        network(layers=6)


def test_the_mask_decoder_gives_a_map_and_trains_the_trunk() -> None:
    net = network(mask_decoder=True)
    mask = net(images())["mask"]
    assert mask.shape == (4, 8, 8)
    assert net.eval()(images())["mask"].shape == (4, 8, 8)
    mask.sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in net.decoder.parameters())
    assert float(next(p for p in net.trunk.parameters() if p.ndim == 4).grad.abs().sum()) > 0


def test_building_a_decoder_leaves_statistics_and_weights_alone() -> None:
    plain, more = network(), network(mask_decoder=True)
    for name, value in plain.state_dict().items():
        if name.startswith("trunk"):
            assert torch.equal(value, more.state_dict()[name]), name


def test_tokens_have_no_map_to_decode() -> None:
    with pytest.raises(UsageError, match="no feature maps"):
        build_network(NetworkConfig(backbone="test_vit", input_size=160, mask_decoder=True), 1)


def test_channels_last_trunks_put_out_channels_first() -> None:
    from detector.models.feature_maps import channels_first

    class Last(torch.nn.Module):
        output_fmt = "NHWC"

    assert channels_first(Last(), torch.zeros(1, 4, 5, 6)).shape == (1, 6, 4, 5)
