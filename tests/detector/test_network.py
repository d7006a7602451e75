"""Backbones, the multi-task network, and its normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torchvision.transforms.functional import to_tensor

from detector.models.architectures.single import SingleNetwork
from detector.models.backbones import BACKBONES, TrunkParams, build_backbone
from detector.models.network import build_network, normalise
from detector.models.network_config import NetworkConfig
from detector.models.residual import residual
from manifests.errors import UsageError

SMALL = NetworkConfig(
    backbone="test_resnet", input_size=32, heads={"race": ("a", "b", "c"), "gender": ("m", "f")}
)


@pytest.mark.parametrize("name", BACKBONES.names())
def test_every_preset_names_a_model_of_timm(name: str) -> None:
    with torch.device("meta"):
        trunk = build_backbone(name, TrunkParams())
        out = trunk.eval()(torch.zeros(1, 3, 64, 64))
    assert out.shape == (1, trunk.num_features)
    assert BACKBONES.get(name).paper


def test_a_timm_name_gives_timms_features() -> None:
    trunk = build_backbone("test_resnet", TrunkParams()).eval()
    reference = timm.create_model("test_resnet", pretrained=False, num_classes=0).eval()
    reference.load_state_dict(trunk.state_dict())
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(trunk(x), reference(x))


def test_unknown_backbone_gets_the_nearest_names() -> None:
    with pytest.raises(UsageError, match="resnet10t") as caught:
        build_backbone("resnet10tt", TrunkParams())
    assert "xception" in caught.value.fix


@pytest.mark.parametrize(("stride", "side"), [(None, 2), (4, 2), (2, 4), (1, 8)])
def test_stem_stride_keeps_the_weights_and_changes_the_feature_map(stride: int | None, side: int) -> None:
    trunk = build_backbone("resnet10t", TrunkParams(stem_stride=stride)).eval()
    with torch.no_grad():
        assert trunk.forward_features(torch.zeros(1, 3, 64, 64)).shape[-1] == side
    plain = timm.create_model("resnet10t", pretrained=False, num_classes=0)
    assert {k: v.shape for k, v in trunk.state_dict().items()} == {
        k: v.shape for k, v in plain.state_dict().items()
    }


def test_narrow_preset_sees_all_pixels_twice() -> None:
    trunk = build_backbone("resnet10t-narrow", TrunkParams()).eval()
    sides = []
    for layer in trunk.conv1:
        layer.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    with torch.no_grad():
        trunk(torch.zeros(1, 3, 64, 64))
    assert sides[0] == 64
    assert sides[-2] == 64 or sides.count(64) >= 2
    assert sides[-1] == 32


def test_stem_stride_needs_a_resnet() -> None:
    with pytest.raises(UsageError, match="no ResNet stem"):
        build_backbone("test_vit", TrunkParams(stem_stride=2))


def test_outputs_have_a_head_each() -> None:
    out = build_network(SMALL, 1).eval()(torch.zeros(5, 3, 32, 32))
    assert out["fake"].shape == (5,)
    assert out["race"].shape == (5, 3)
    assert out["gender"].shape == (5, 2)


def test_weights_depend_on_the_seed_alone_and_global_state_is_kept() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one = build_network(SMALL, 5)
    assert torch.equal(torch.rand(1), expected)
    two, three = build_network(SMALL, 5), build_network(SMALL, 6)
    assert torch.equal(one.fake.weight, two.fake.weight)
    assert not torch.equal(one.fake.weight, three.fake.weight)


def test_residual_is_blind_to_slow_change_and_sees_a_checkerboard() -> None:
    ramp = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
    assert float(residual(ramp)[..., 1:-1].abs().max()) < 1e-5
    board = (torch.arange(16)[:, None] + torch.arange(16)).remainder(2).float() * 2 - 1
    torch.testing.assert_close(residual(board.expand(1, 3, 16, 16)), 4 * board.expand(1, 3, 16, 16))
    network = SingleNetwork(SMALL.model_copy(update={"residual_input": True}))
    assert network.trunk.conv1[0].in_channels == 6 if hasattr(network.trunk.conv1, "__getitem__") else True


def test_normalised_residual_weighs_sharp_and_smooth_pictures_alike() -> None:
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    sharp, faint = residual(images, normalised=True), residual(0.25 * images, normalised=True)
    torch.testing.assert_close(sharp, faint, rtol=0.1, atol=0.01)
    assert float(sharp.std((1, 2, 3)).mean()) == pytest.approx(1, abs=0.05)
    assert float(residual(torch.full((1, 3, 24, 24), 0.3), normalised=True).abs().max()) < 1e-4
    assert not torch.allclose(residual(images), residual(0.25 * images), rtol=0.1)


def test_normalise_is_torchvisions() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3), dtype=np.uint8)
    config = SMALL.model_copy(update={"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)})
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (config.mean, config.std))
    expected = torch.stack([(to_tensor(image) - mean) / std for image in images])
    torch.testing.assert_close(normalise(torch.from_numpy(images), config), expected)
