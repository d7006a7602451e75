"""`draw_once`: a step whose generator learns from the images that the discriminators were shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from generators import load_generator
from generators.training import Phase, TrainSettings
from generators.training.loop import TrainingRun
from generators.training.steps import Stepper
from nn.processes import World
from tests.generators.small_generators import small_generator
from tests.generators.test_feature_discriminator import small_network
from tests.generators.training_data import TINY, equal, prepared, tensors

FEATURES = {"feature_networks": ("eyes",), "feature_width": 4}
KINDS = {
    "stylegan2": {},
    "beside": FEATURES,
    "alone": {**FEATURES, "features_alone": True},
}


def run_of(
    folder: Path, out: Path, *, kimg: float = 0.064, start: object = None, **more: object
) -> TrainingRun:
    phases = (Phase(resolution=16, kimg=kimg),)
    asked = TrainSettings(phases=phases, snapshot_kimg=0.016, **{**TINY, **more})
    frozen = {"eyes": small_network()} if more.get("feature_networks") else None
    return TrainingRun(asked, prepared(folder, out), out, World(), start=start, frozen=frozen)


@pytest.mark.parametrize("kind", list(KINDS))
def test_one_draw_serves_all_and_a_cut_run_ends_in_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    drawn: list[int] = []
    real = Stepper._fake

    def counted(self: Stepper, what: str, step: int, c: object) -> object:
        drawn.append(step)
        return real(self, what, step, c)

    monkeypatch.setattr(Stepper, "_fake", counted)
    run_of(folder, tmp_path / "whole", draw_once=True, **KINDS[kind]).run()
    assert drawn == list(range(8))
    drawn.clear()
    run_of(folder, tmp_path / "twice", **KINDS[kind]).run()
    assert drawn == [step for step in range(8) for _ in range(2)]
    run_of(folder, tmp_path / "cut", draw_once=True, **KINDS[kind]).run(stop_after=3)
    run_of(folder, tmp_path / "cut", draw_once=True, **KINDS[kind]).run()
    whole, cut, twice = (tensors(tmp_path / name / "state.pt") for name in ("whole", "cut", "twice"))
    assert equal(whole, cut)
    assert not equal(whole["generator"], twice["generator"])
    assert whole["key"] != twice["key"]


def test_weights_that_came_with_a_start_rest_as_long_as_they_are_frozen(folder: Path, tmp_path: Path) -> None:
    start = small_generator(resolution=16)
    sizes = {"z_dim": start.z_dim, "w_dim": start.w_dim}
    run = run_of(folder, tmp_path, start=start, draw_once=True, frozen_kimg=0.032, **sizes, **KINDS["alone"])
    run.run(stop_after=4)
    kept = load_generator(tmp_path / "generator.safetensors").state_dict()
    names = [name for name, _ in start.named_parameters()]
    assert all(kept[name].equal(start.state_dict()[name]) for name in names)
    heads = tensors(tmp_path / "state.pt")["features"]
    run.run()
    later = tensors(tmp_path / "state.pt")
    assert not equal(heads, later["features"])
    assert any(not later["generator"][name].equal(start.state_dict()[name]) for name in names)
