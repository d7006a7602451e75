"""Training end to end on a tiny set: resume to the same bytes, selection on val only, errors before the first
step.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from detector.inference.prediction import load_detector
from detector.training.data import open_manifest, read_split
from detector.training.loop import train
from detector.training.settings import TrainSettings
from manifests.errors import DataError, UserError
from tests.detector.detector_fixtures import TINY, make_set, to_come

FILES = ("checkpoint.safetensors", "training.json", "metrics.jsonl")
SETTINGS = TrainSettings(**TINY)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def fit(manifest: Path, out: Path, **changes: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    train(TrainSettings(**{**TINY, **changes}), manifest, out, to_come(seen))
    return seen


@pytest.fixture(scope="module")
def trained(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole training with dropout, SAM and augmentation."""
    out = tmp_path_factory.mktemp("trained")
    assert [e["epoch"] for e in fit(manifest, out)] == [1, 2, 3]
    return out


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_killed_after_an_epoch_ends_in_the_same_bytes(
    trained: Path, manifest: Path, tmp_path: Path, stop: int
) -> None:
    def report(event: dict[str, Any]) -> None:
        if event.get("epoch") == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, manifest, tmp_path, report)
    seen = fit(manifest, tmp_path)
    assert [e["epoch"] for e in seen] == list(range(stop + 1, 4))
    assert contents(tmp_path) == contents(trained)


def test_killed_by_the_system_in_the_middle_of_an_epoch(
    trained: Path, manifest: Path, tmp_path: Path
) -> None:
    program = f"""
import os, signal
from pathlib import Path
from detector.training.loop import train
from detector.training.run import Run
from detector.training.settings import TrainSettings
steps = []
plain = Run.step
def step(self, *args):
    steps.append(1)
    if len(steps) == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, *args)
Run.step = step
settings = TrainSettings(**{TINY!r})
train(settings, Path({str(manifest)!r}), Path({str(tmp_path)!r}), lambda event: None)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert (tmp_path / "state.pt").is_file()
    assert not (tmp_path / "training.json").exists()
    fit(manifest, tmp_path)
    assert contents(tmp_path) == contents(trained)


def test_done_is_done_and_other_settings_start_again(trained: Path, manifest: Path, tmp_path: Path) -> None:
    before = {name: (trained / name).stat().st_mtime_ns for name in FILES}
    assert fit(manifest, trained) == []
    assert before == {name: (trained / name).stat().st_mtime_ns for name in FILES}

    def report(event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TrainSettings(**{**TINY, "lr": 0.0005}), manifest, tmp_path, report)
    seen = fit(manifest, tmp_path)
    assert [e["event"] for e in seen] == ["restart", "epoch", "epoch", "epoch"]
    assert contents(tmp_path) == contents(trained)


def test_what_is_written_is_true(trained: Path, manifest: Path) -> None:
    facts = json.loads((trained / "training.json").read_text())
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    aucs = [line["val_auc"] for line in lines]
    assert facts["kept_epoch"] == 1 + aucs.index(max(aucs))
    table, folder, classes = open_manifest(manifest)
    val = read_split(table, folder, "val", classes, 32)
    scores = load_detector(trained).predict(val.images)
    assert facts["val_auc"] == pytest.approx(roc_auc_score(val.labels, scores), abs=1e-12)
    assert facts["settings"] == SETTINGS.seeded().model_dump(mode="json")
    text = json.dumps(facts) + json.dumps(lines)
    assert str(manifest.parent) not in text
    assert "seconds" not in text


def test_test_rows_are_never_read(manifest: Path, trained: Path, tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    for file in (tmp_path / "set" / "images").glob("*-06-*"):
        file.unlink()
    fit(path, tmp_path / "out")
    assert contents(tmp_path / "out")["checkpoint.safetensors"] == contents(trained)["checkpoint.safetensors"]


def test_it_learns(manifest: Path, tmp_path: Path) -> None:
    seen = fit(manifest, tmp_path, epochs=8, residual_input=True, optimizer="adamw", lr=0.003, augment=False)
    assert seen[-1]["loss"] < 0.7 * seen[0]["loss"]
    assert max(e["val_auc"] for e in seen) > 0.9


@pytest.fixture(scope="module")
def first_epoch(
    manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[torch.Tensor, Path]]:
    """Trains one epoch, once for the same settings: the weights of the trunk in one row, and the folder."""
    known: dict[str, tuple[torch.Tensor, Path]] = {}

    def trained_by(settings: dict[str, Any]) -> tuple[torch.Tensor, Path]:
        if str(settings) not in known:
            out = tmp_path_factory.mktemp("epoch")
            assert np.isfinite(fit(manifest, out, epochs=1, **settings)[0]["loss"])
            trunk = load_detector(out).network.trunk.state_dict().values()
            known[str(settings)] = torch.cat([value.flatten().float() for value in trunk]), out
        return known[str(settings)]

    return trained_by


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ({}, {"loss": "cross-entropy"}),
        ({"loss": "cross-entropy"}, {"heads": ()}),
        ({}, {"loss": "daw-fdd"}),
        ({}, {"optimizer": "sgd"}),
        ({}, {"base_optimizer": "sgd"}),
        ({}, {"lr": 0.0123}),
        ({}, {"sampling": "shuffle"}),
        ({"sampling": "shuffle"}, {"batch": 9}),
        ({}, {"dropout": 0.37}),
        ({}, {"precision": "bfloat16"}),
        ({}, {"rho": 0.2}),
        ({}, {"ema": 0.0}),
        ({}, {"augment": False}),
    ],
    ids=str,
)
def test_each_setting_changes_what_is_trained(
    first_epoch, before: dict[str, Any], change: dict[str, Any]
) -> None:
    (plain, _), (other, out) = first_epoch(before), first_epoch({**before, **change})
    heads_alone = change == {
        "heads": ()
    }  # with cross-entropy no loss trains them: only their numbers are drawn before the trunk's
    assert heads_alone or not torch.equal(plain, other), "the setting had no effect"
    assert set(load_detector(out).classes) == set(change.get("heads", ("race", "gender")))
    facts = json.loads((out / "training.json").read_text())["settings"]
    assert {name: facts[name] for name in change} == json.loads(json.dumps(change))


def test_global_state_is_left_alone(manifest: Path, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit(manifest, tmp_path, epochs=1, threads=1)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.rand(1), expected)


def broken(case: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A manifest or settings with one thing wrong."""
    rules: dict[str, Any] = {
        "one class": lambda r: None if r.label else {},
        "no val": lambda r: None if r.split == "val" else {},
        "val with one class": lambda r: None if r.split == "val" and not r.label else {},
        "missing cell": lambda r: None if r.split == "train" and r.cell == "Black/Male" and r.label else {},
        "no race": lambda r: {"race": None},
    }
    settings: dict[str, Any] = {
        "unknown loss": {"loss": "croos-entropy"},
        "unknown backbone": {"backbone": "test_resnt"},
        "no heads": {"heads": ()},
        "batch": {"batch": 256},
    }
    return make_set(folder, rules.get(case, lambda r: {})), settings.get(case, {})


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("one class", "only real images"),
        ("no val", "has no val rows"),
        ("val with one class", "only fakes"),
        ("missing cell", r"Black/Male \(no fake\)"),
        ("no race", "no training row has a known race"),
        ("unknown loss", "did you mean cross-entropy"),
        ("unknown backbone", "did you mean test_resnet"),
        ("no heads", "needs demographic heads"),
        ("batch", "is larger than one epoch"),
    ],
)
def test_errors_come_before_the_first_step(tmp_path: Path, case: str, message: str) -> None:
    path, changes = broken(case, tmp_path / "set")
    with pytest.raises(UserError, match=message) as caught:
        fit(path, tmp_path / "out", **changes)
    assert caught.value.fix
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss_params": {"lamda": 1}}, "lamda"),
        ({"augment_params": {"blurr": 1}}, "blurr.*its parameters are: flip"),
        (
            {"loss": "daw-fdd + bido-hsic", "loss_params": {"layers": 2}},
            "takes a table of parameters for each loss",
        ),
    ],
)
def test_parameters_that_nothing_takes_are_refused_with_the_settings(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSettings(**changes)


def test_unreadable_images_are_listed_before_the_first_step(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    names = sorted((tmp_path / "set" / "images").glob("*-00-*"))[:7]
    names[0].unlink()
    for name in names[1:]:
        name.write_bytes(name.read_bytes()[:40])
    with pytest.raises(DataError) as caught:
        fit(path, tmp_path / "out")
    text = str(caught.value)
    assert "7 of 48 train images" in text
    assert all(name.name in text for name in names[:5])
    assert names[5].name not in text
    assert "2 more" in text


def test_a_loss_that_is_not_finite_stops_with_a_reason(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"became (nan|inf)|not finite"):
        fit(
            manifest,
            tmp_path,
            optimizer="sgd",
            lr=10.0,
            weight_decay=10.0,
            augment=False,
            epochs=30,
            momentum=0.99,
        )


def test_a_damaged_state_is_named(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"not a state")
    with pytest.raises(DataError, match="is not readable as plain tensors"):
        fit(manifest, tmp_path)
