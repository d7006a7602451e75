"""Compiled training steps: the same draws, nearly the same numbers, exact resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from generators.training import Phase, TrainSettings
from generators.training import compiled as module
from generators.training.compiled import compiled, draw_noise, paint
from generators.training.loop import TrainingRun
from manifests.errors import UsageError
from nn.processes import World
from tests.generators.small_generators import small_generator
from tests.generators.test_feature_discriminator import small_network
from tests.generators.training_data import TINY, equal, prepared, tensors

CPU = torch.device("cpu")


def settings(**more: object) -> TrainSettings:
    phases = (Phase(resolution=16, kimg=0.032),)
    return TrainSettings(phases=phases, snapshot_kimg=0.016, **{**TINY, "style_mixing": 0.0, **more})


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_painting_with_noise_drawn_before_is_synthesis(architecture: str) -> None:
    model = small_generator(architecture=architecture)
    w = torch.randn(3, model.num_ws, model.w_dim, generator=torch.Generator().manual_seed(1))
    noise = draw_noise(model, 3, torch.Generator().manual_seed(2), CPU)
    with torch.no_grad():
        expected = model.synthesis(w, "random", torch.Generator().manual_seed(2))
        assert torch.equal(paint(model.synthesis, w, noise), expected)
        assert not torch.equal(paint(model.synthesis, w, [n * 0 for n in noise]), expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_a_compiled_run_is_nearly_the_same_and_resumes_exactly(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is compiled (discriminator, heads on features) is captured and run, in graphs whose
    code the compiler does not write (that takes a minute).
    """
    monkeypatch.setattr(module, "BACKEND", "aot_eager")
    states = {}
    frozen = {"eyes": small_network()}
    for name, use, cut in (("plain", False, None), ("whole", True, None), ("cut", True, 2)):
        out = tmp_path / name
        info = prepared(folder, out)
        asked = settings(compile=use, feature_networks=("eyes",), feature_width=4)
        run = TrainingRun(asked, info, out, World(), frozen=frozen)
        run.run(stop_after=cut)
        if cut:
            TrainingRun(asked, info, out, World(), frozen=frozen).run()
        states[name] = tensors(out / "state.pt")
    assert equal(states["whole"], states["cut"])
    plain, whole = states["plain"]["generator"], states["whole"]["generator"]
    assert plain.keys() == whole.keys()
    for name, value in plain.items():
        torch.testing.assert_close(value, whole[name], rtol=1e-3, atol=1e-3)
    assert states["plain"]["key"] != states["whole"]["key"]


def test_without_a_compiler_it_is_said_before_anything_is_done(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    info = prepared(folder, tmp_path)
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler"):
        TrainingRun(settings(compile=True), info, tmp_path, World())
    TrainingRun(settings(), info, tmp_path, World())


def test_functions_that_are_not_compiled_are_themselves() -> None:
    assert compiled(len, use=False) is len
