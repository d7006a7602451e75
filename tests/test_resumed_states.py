"""A training that was killed and goes on writes the very bytes of the states that it would have written
unkilled.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from attribute_models.training import fitting
from attribute_models.training.fitting import untimed
from benchmarks import kill_jobs, kills
from detector.audio_visual import loop as clips
from detector.training import run as training
from generators.autoencoder import training as autoencoders
from generators.autoencoder.network import AutoencoderConfig
from generators.training import loop as generators
from generators.training.images import TrainingImages
from manifests.atomic import digest_file
from nn import training_loop
from nn.saving import save_state
from nn.tensor_files import load_tensor_file

TRAININGS = (fitting, training, generators, clips, autoencoders)
"""Every module that has a `StateFile`; all states are written by `nn.training_loop`."""
CLIP_STEPS = 6


class Killed(BaseException):
    """No command catches it, as none catches a kill."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    kill_jobs.draw_pictures(folder / "pictures")
    kill_jobs.draw_faces(folder / "faces")
    kill_jobs.import_(folder, folder / "m")
    return folder


def train_clips(base: Path, out: Path) -> None:
    """The loop of audio-visual trainings, on a small network."""
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU(), torch.nn.Linear(4, 1))
    out.mkdir(exist_ok=True)
    clips.train_steps(
        network,
        lambda step: network(torch.randn(8, 3)).square().mean(),
        steps=CLIP_STEPS,
        lr=0.01,
        state=out / "state.pt",
        key="k",
        seed=1,
        every=2,
        what="clips",
    )


def train_autoencoder(base: Path, out: Path) -> None:
    """The autoencoder's training, on drawn pictures, with a state every four steps."""
    rng = np.random.default_rng(1)
    images = TrainingImages(
        rng.integers(0, 255, (20, 16, 16, 3), np.uint8), np.full(20, -1, np.int64), (), np.arange(20)
    )
    settings = autoencoders.AutoencoderSettings(steps=12, batch=4, save_every=4, precision="float32")
    out.mkdir(exist_ok=True)
    autoencoders.AutoencoderTraining(
        images, settings, out, "data", {}, AutoencoderConfig(widths=(2, 2, 4, 4), latent=4)
    ).run()


JOBS = {
    name: kill_jobs.JOBS[name] for name in ("train", "train-generator", "train-attributes", "train-landmarks")
} | {"av train": train_clips, "train-autoencoder": train_autoencoder}


def states(monkeypatch: pytest.MonkeyPatch, job: str, base: Path, out: Path, stop: int = 0) -> list[str]:
    """Digests of all states that the job writes, in turn; killed right after the one numbered `stop` from
    1.
    """
    seen: list[str] = []

    def saved(path, state):
        save_state(path, state)
        seen.append(digest_file(path))
        if len(seen) == stop:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(training_loop, "save_state", saved)
        try:
            JOBS[job](base, out)
        except Killed:
            assert stop
    return seen


@pytest.mark.parametrize("job", JOBS)
def test_states_after_a_kill_are_those_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: Path, job: str
):
    whole = states(monkeypatch, job, base, tmp_path / "whole")
    assert len(set(whole)) == len(whole) > 2
    first = states(monkeypatch, job, base, tmp_path / "killed", 1)
    assert first == whole[:1]
    assert states(monkeypatch, job, base, tmp_path / "killed", 1) == whole[1:2]
    assert states(monkeypatch, job, base, tmp_path / "killed") == whole[2:]
    assert kills.contents(tmp_path / "killed") == kills.contents(tmp_path / "whole")


def test_every_training_with_a_state_is_trained_here():
    root = Path(__file__).parents[1]
    packages = ("nn", "attribute_models", "detector", "generators", "pipeline", "manifests")
    found: dict[str, set[Path]] = {"import save_state": set(), "StateFile(": set()}
    for path in (path for folder in packages for path in (root / folder).rglob("*.py")):
        for words, files in found.items():
            if words in path.read_text():
                files.add(path.relative_to(root))
    own = Path("nn/training_loop.py")
    assert found["import save_state"] == {own}
    assert found["StateFile("] - {own} == {Path(module.__file__).relative_to(root) for module in TRAININGS}


def test_equal_states_are_equal_bytes(tmp_path: Path):
    """Whatever objects and storages they share, and once more when read."""
    pair, row = (0.9, 0.999), torch.arange(6.0).reshape(2, 3)
    shared = {
        "a": row,
        "b": row,
        "part": row[1],
        "groups": [{"betas": pair, "name": "x"}, {"betas": pair, "name": "x"}],
    }
    apart = {
        "a": row.clone(),
        "b": row.clone(),
        "part": row[1].clone(),
        "groups": [{"betas": tuple(np.array(pair).tolist()), "name": "".join("x")} for _ in range(2)],
    }
    for name, state in (("shared", shared), ("apart", apart)):
        save_state(tmp_path / name, state)
    save_state(tmp_path / "again", load_tensor_file(tmp_path / "shared"))
    assert len({digest_file(tmp_path / name) for name in ("shared", "apart", "again")}) == 1
    assert torch.equal(load_tensor_file(tmp_path / "shared")["part"], row[1])


def test_the_clock_is_no_figure_of_a_state():
    assert untimed('{"epoch": 1, "loss": 0.25, "seconds": 1.5}') == untimed(
        '{"epoch": 1, "loss": 0.25, "seconds": 12.25}'
    )
    assert untimed("no JSON") == "no JSON"
    assert untimed("[1]") == "[1]"


def test_a_line_keeps_its_time_over_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: Path):
    states(monkeypatch, "train-landmarks", base, tmp_path, 2)
    before = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(before) == 1
    assert "seconds" in before[0]
    states(monkeypatch, "train-landmarks", base, tmp_path)
    after = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert after[:1] == before
    assert ["seconds" in line for line in after] == [True, False, True, True]


def test_a_state_of_an_earlier_version_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: Path):
    """It kept bytes where lines are kept now."""
    states(monkeypatch, "train-generator", base, tmp_path, 2)
    state = load_tensor_file(tmp_path / "state.pt")
    log = tmp_path / "metrics.jsonl"
    assert state.pop("metrics_lines") == 2
    save_state(tmp_path / "state.pt", {**state, "metrics_bytes": log.stat().st_size})
    log.write_text(log.read_text() + "{}\n{")
    states(monkeypatch, "train-generator", base, tmp_path)
    lines = log.read_text().splitlines()
    assert "{}" not in lines
    assert len(lines) > 3
