"""Every registered feature network: maps from fine to coarse, frozen, with gradients to the image, by
digest.
"""

import pytest
import torch

from manifests.errors import UsageError
from pipeline.commands.generators.training import parse_settings
from pipeline.faces.feature_networks import FEATURE_NETWORKS


@pytest.mark.parametrize("name", FEATURE_NETWORKS.names())
def test_a_network_is_frozen_and_sees_images_of_64_pixels(name):
    network = FEATURE_NETWORKS.create(name)
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64).requires_grad_(True)
    maps = network(images)
    assert [m.shape[-1] for m in maps] == [16, 8, 4, 2][: len(maps)]
    assert len(maps) >= 3
    assert [(m.shape[1], m.shape[-1]) for m in maps] == network.shapes(64)
    sum(m.sum() for m in maps).backward()
    assert float(images.grad.abs().sum()) > 0
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert len(network.digest) == 64


def test_a_name_that_is_not_known_is_told_before_anything_is_read():
    phases = [{"resolution": 16, "kimg": 1}]
    with pytest.raises(UsageError, match="efficientnet_lite1"):
        parse_settings(phases, {"feature_networks": ["efficientnet_lite9"]}, [])
    assert parse_settings(phases, {"feature_networks": ["fairforge-small"]}, []).feature_networks == (
        "fairforge-small",
    )
