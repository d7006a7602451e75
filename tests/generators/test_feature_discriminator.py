"""Discriminators on frozen features: what is fixed stays fixed, what learns resumes exactly, and G learns of
it.
"""

import hashlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from generators import load_generator
from generators.sampling import draw_z, map_latents, synthesize
from generators.training import Phase, TrainSettings
from generators.training.feature_discriminator import (
    FeatureDiscriminator,
    hinge_of_generator,
    hinge_of_real_and_fake,
)
from generators.training.feature_networks import FeatureNetwork
from generators.training.loop import TrainingRun
from generators.training.policy_augmentation import augment_by_policy
from manifests.errors import UsageError
from nn.processes import World
from pipeline.commands.generators.training import find_start
from tests.generators.training_data import TINY, equal, prepared, tensors


def small_network(name="eyes", seed=0):
    """Two maps at strides 2 and 4, batch normalisation between: frozen, it must keep its statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        second = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU())

    def maps(x):
        fine = first(x)
        return [fine, second(fine)]

    return FeatureNetwork(name, nn.ModuleList([first, second]), maps, f"digest-{seed}")


def judge(c_dim=0, width=8, seed=3):
    return FeatureDiscriminator({"eyes": small_network()}, 16, c_dim, width, seed)


def settings(**more):
    values = {**TINY, "feature_networks": ("eyes",), "feature_width": 8, "ada_target": None, **more}
    return TrainSettings(**{"phases": (Phase(resolution=16, kimg=0.064),), "snapshot_kimg": 0.016, **values})


@pytest.mark.parametrize("alone", [False, True])
def test_a_run_cut_anywhere_ends_in_the_same_bytes(folder, tmp_path, alone):
    phases = (Phase(resolution=8, kimg=0.032), Phase(resolution=16, kimg=0.048))
    asked = settings(phases=phases, features_alone=alone, fade_kimg=0.02)
    for name in ("whole", "cut"):
        prepared(folder, tmp_path / name)
    info = json.loads((tmp_path / "whole" / "data" / "images.json").read_text())
    TrainingRun(asked, info, tmp_path / "whole", World(), frozen={"eyes": small_network()}).run()
    for _ in range(6):
        network = {"eyes": small_network()}
        TrainingRun(asked, info, tmp_path / "cut", World(), frozen=network).run(stop_after=3)
    TrainingRun(asked, info, tmp_path / "cut", World(), frozen={"eyes": small_network()}).run()
    whole, cut = tensors(tmp_path / "whole" / "state.pt"), tensors(tmp_path / "cut" / "state.pt")
    assert equal(whole, cut)
    assert any(name.startswith("heads.") for name in whole["features"])
    digests = [
        hashlib.sha256((tmp_path / name / "generator.safetensors").read_bytes()).hexdigest()
        for name in ("whole", "cut")
    ]
    assert digests[0] == digests[1]
    logged = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert all(("loss_d" in line) is not alone and "loss_f" in line for line in logged)


def test_heads_learn_and_nothing_else_of_them_changes(folder, tmp_path):
    network = small_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    info = prepared(folder, tmp_path)
    run = TrainingRun(settings(), info, tmp_path, World(), frozen={"eyes": network})
    run.run(stop_after=1)
    features = run.networks.features
    first = {name: value.clone() for name, value in features.state_dict().items()}
    run.run()
    last = run.networks.features.state_dict()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(torch.equal(first[n], last[n]) for n in last if n.startswith("projections."))
    moved = [n for n in last if n.endswith("original") and not torch.equal(first[n], last[n])]
    assert len(moved) == sum(n.endswith("original") for n in last) > 0


def test_a_generator_learns_from_features_alone(folder, tmp_path):
    info = prepared(folder, tmp_path)
    asked = settings(
        phases=(Phase(resolution=16, kimg=3.2),),
        snapshot_kimg=8,
        ema_kimg=0.15,
        features_alone=True,
        learning_rate_g=0.006,
        **{"channel_max": 16},
    )
    TrainingRun(asked, info, tmp_path, World(), frozen={"eyes": small_network()}).run()
    model = load_generator(tmp_path / "generator.safetensors")
    images = synthesize(model, map_latents(model, draw_z(1, [("s", i) for i in range(64)], model.z_dim)))
    corner, middle = images[:, :3, :3].mean(axis=(0, 1, 2)), images[:, 7:9, 7:9].mean(axis=(0, 1, 2))
    assert np.abs(corner - (20, 30, 60)).max() < 60
    assert np.abs(middle - (230, 140, 20)).max() < 75


def test_another_network_is_another_run(folder, tmp_path):
    info = prepared(folder, tmp_path)
    TrainingRun(settings(), info, tmp_path, World(), frozen={"eyes": small_network()}).run(stop_after=2)
    with pytest.raises(UsageError, match="other settings"):
        TrainingRun(settings(), info, tmp_path, World(), frozen={"eyes": small_network(seed=1)}).run()


@pytest.mark.parametrize("alone", [False, True])
def test_heads_go_on_under_other_settings(folder, tmp_path, alone):
    """Of the networks that both runs see with; a discriminator that judges nothing need not fit."""
    for name in ("a", "whole", "cut"):
        info = prepared(folder, tmp_path / name)
    TrainingRun(settings(), info, tmp_path / "a", World(), frozen={"eyes": small_network()}).run()
    learnt = tensors(tmp_path / "a" / "state.pt")["features"]
    before, said = find_start(str(tmp_path / "a")), []
    frozen = {"eyes": small_network(), "ears": small_network("ears", 1)}
    still = {"learning_rate_f": 1e-9, "learning_rate_g": 1e-9, "seed": 5, "features_alone": alone}
    asked = settings(**still, channel_base=128 if alone else TINY["channel_base"], batch=4)

    def run(name, **more):
        more = {"asked": asked, "frozen": frozen, "report": said.append, **more}
        return TrainingRun(more.pop("asked"), info, tmp_path / name, World(), **more)

    run("whole", **before).run()
    assert "heads that go on: eyes" in said
    kept = tensors(tmp_path / "whole" / "state.pt")["features"]
    assert all(torch.allclose(kept[n], learnt[n], atol=1e-5) for n in learnt if "._" not in n)
    run("cut", **before).run(stop_after=3)
    run("cut", **before).run()
    assert equal(*(tensors(tmp_path / name / "state.pt")["features"] for name in ("whole", "cut")))
    with pytest.raises(UsageError, match="other settings"):
        run("cut", **{**before, "heads": None}).run()
    more = settings(**still, feature_networks=("ears", "eyes"), channel_base=asked.channel_base)
    prepared(folder, tmp_path / "more")
    run("more", asked=more, **before).run()
    assert said[-1] != "heads that go on: none"
    assert "heads that go on: eyes" in said[said.index("heads that go on: eyes") + 1 :]
    wider = settings(**still, feature_width=16, channel_base=asked.channel_base)
    prepared(folder, tmp_path / "wider")
    run("wider", asked=wider, **before).run()
    assert "heads that go on: none" in said


def test_runs_without_features_keep_their_key():
    plain = TrainSettings(phases=(Phase(resolution=16, kimg=1),), **TINY)
    assert not [name for name in plain.key_values() if "feature" in name or name.endswith("_f")]
    assert plain.model_copy(update={"feature_width": 9}).key_values() == plain.key_values()
    assert settings(feature_width=9).key_values() != settings().key_values()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"feature_networks": (), "features_alone": True}, "needs feature_networks"),
        ({"feature_networks": ("a", "a")}, "twice"),
        ({"features_alone": True, "warmup_kimg": 1}, "StyleGAN2's discriminator"),
    ],
)
def test_settings_that_contradict_each_other(wrong, words):
    with pytest.raises(ValueError, match=words):
        settings(**wrong)


def test_a_network_that_cannot_see_so_small_images():
    network = FeatureNetwork("deep", nn.Identity(), lambda x: [nn.functional.avg_pool2d(x, 32)], "d")
    with pytest.raises(UsageError, match="cannot see images of 8 px"):
        FeatureDiscriminator({"deep": network}, 8, 0, 8, 0)


def test_hinge_losses_are_their_formulas():
    real, fake = (
        [torch.tensor([[0.5, 2.0]]), torch.tensor([[-1.0]])],
        [torch.tensor([[0.0, -3.0]]), torch.ones(1, 1)],
    )
    first = (0.5 + 0) / 2 + (1 + 0) / 2
    second = 2.0 + 2.0
    assert float(hinge_of_real_and_fake(real, fake)) == pytest.approx((first + second) / 2)
    assert float(hinge_of_generator(fake)) == pytest.approx(-(-1.5 + 1) / 2)


def test_heads_are_one_lipschitz_and_see_every_scale_below_their_own():
    features = judge()
    for module in features.heads.modules():
        if isinstance(module, nn.Conv2d):
            for _ in range(30):
                weight = module.weight
            assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(
                1, abs=0.05
            )
    projection = features.projections["eyes"]
    fine, coarse = torch.randn(1, 8, 8, 8), torch.randn(1, 12, 4, 4)
    one, two = projection([fine, coarse]), projection([fine, coarse + 1])
    assert not torch.equal(one[0], two[0]), "the finest map has what the coarser one says"
    assert torch.equal(projection([fine + 1, coarse])[1], one[1])


def test_classes_change_what_is_thought_of_an_image():
    features, images = judge(c_dim=2), torch.randn(3, 3, 16, 16)
    told = [torch.eye(2)[[k] * 3] for k in (0, 1)]
    first, second = (features(images, c) for c in told)
    assert all(not torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(logits.shape == (3, logits.shape[1]) for logits in first)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    one = judge().state_dict()
    torch.manual_seed(2)
    assert equal(one, judge().state_dict())
    assert not equal(one, judge(seed=4).state_dict())


def test_the_policy_moves_cuts_and_colours_each_image_by_its_own_draw():
    images = torch.rand(64, 3, 32, 32) + 0.5
    out = augment_by_policy(images, torch.Generator().manual_seed(0))
    assert torch.equal(out, augment_by_policy(images, torch.Generator().manual_seed(0)))
    holes = (out == 0).all(dim=1).float().mean(dim=(1, 2))
    assert holes.std() > 0.05
    assert 0.15 < float(holes.mean()) < 0.35, (
        "a square of half a side, part of it outside, and what a shift left"
    )
    same = augment_by_policy(images[:1].expand(64, -1, -1, -1), torch.Generator().manual_seed(1))
    assert len(torch.unique(same.mean(dim=(1, 2, 3)))) == 64
    images.requires_grad_(True)
    augment_by_policy(images, torch.Generator().manual_seed(0)).sum().backward()
    assert torch.isfinite(images.grad).all()
    assert float(images.grad.abs().sum()) > 0


def test_a_policy_does_what_it_names_and_nothing_else():
    images = torch.rand(16, 3, 32, 32) * 0.2 + 0.5
    rng = torch.Generator().manual_seed(0)
    assert torch.equal(augment_by_policy(images, rng, ()), images)
    moved = augment_by_policy(images, rng, ("translation", "cutout"))
    kept = (moved != 0).all(dim=1)
    assert 0.5 < float(kept.float().mean()) < 0.9
    assert float(moved[kept[:, None].expand_as(moved)].min()) >= 0.5
    coloured = augment_by_policy(images, rng, ("colour",))
    assert (coloured != 0).all()
    assert float((coloured - images).mean(dim=(1, 2, 3)).std()) > 0.1


def test_another_policy_is_another_run_and_the_default_keeps_the_key_of_before():
    assert "feature_augment" not in settings().key_values()
    assert settings(feature_augment=("cutout",)).key_values()["feature_augment"] == ["cutout"]
    with pytest.raises(ValueError, match="feature_augment"):
        settings(feature_augment=("blur",))
