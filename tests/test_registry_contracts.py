"""What every member of the registries of networks, formats and families keeps to, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detector.models.architectures import ARCHITECTURES
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from generators.checkpoints.formats import GENERATOR_FORMATS, format_of
from generators.forgeries import FORGERIES
from generators.talking.base import CLIP_FORGERIES
from manifests.errors import UsageError
from manifests.families import FAMILIES, family_names, family_of

HEADS = {"gender": ("Male", "Female"), "family": ("none", "swap")}


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_a_network_gives_what_every_use_of_one_reads(name: str):
    config = NetworkConfig(backbone="resnet10t-narrow", input_size=32, architecture=name, heads=HEADS)
    networks = [build_network(config, seed).eval() for seed in (1, 1, 2)]
    first, again, other = (next(iter(network.parameters())) for network in networks)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    out = networks[0](torch.zeros(2, 3, 32, 32))
    assert out["fake"].shape == (2,)
    assert out["features"].shape[0] == 2
    assert {head: out[head].shape for head in HEADS} == dict.fromkeys(HEADS, (2, 2))
    assert networks[0].encoders
    assert isinstance(networks[0].seen, torch.nn.Module)
    assert networks[0].progress == 1.0
    assert ARCHITECTURES.create(name).head_modes


def test_no_two_formats_take_the_same_file():
    formats = [GENERATOR_FORMATS.create(name) for name in GENERATOR_FORMATS.names()]
    endings = [ending for one in formats for ending in one.endings]
    assert len(set(endings)) == len(endings)
    assert all(ending.startswith(".") for ending in endings)
    for one in formats:
        assert one.licence_note
        assert all(format_of(Path(f"a{ending.upper()}")).endings == one.endings for ending in one.endings)
    with pytest.raises(UsageError, match="has suffix") as caught:
        format_of(Path("a.onnx"))
    assert all(ending in caught.value.fix for ending in endings)


@pytest.mark.parametrize("name", FORGERIES.names())
def test_a_forgery_uses_what_its_family_says(name: str):
    entry = FORGERIES.get(name)
    assert entry.facts["uses"] in family_of(entry.family).second
    assert not family_of(entry.family).motion or entry.facts["moves"]


@pytest.mark.parametrize("name", CLIP_FORGERIES.names())
def test_a_forgery_of_clips_is_of_a_family(name: str):
    assert CLIP_FORGERIES.get(name).family in FAMILIES.names()


def test_the_first_names_of_families_keep_their_order():
    """Detectors with a head for the family were trained with it."""
    assert family_names()[:6] == ("none", "swap", "reenact", "blend", "edit", "synthesis")
    assert family_names()[-1] == "unknown"
    assert set(family_names()) == {"none", "unknown", *FAMILIES.names()}
