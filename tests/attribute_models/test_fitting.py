from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from attribute_models.training.face_data import FaceData
from attribute_models.training.fitting import Fit, FitSettings, one_cycle
from manifests.errors import DataError, UsageError
from nn import precision
from nn.tracking import listening
from tests.nn.recorder import Recorder


class Killed(Exception):
    pass


def faces(n: int = 24) -> FaceData:
    rng = np.random.default_rng(0)
    label = np.arange(n) % 2
    images = rng.integers(0, 60, (n, 24, 24, 3), dtype=np.uint8)
    images[label == 1] += 150
    return FaceData(images, label.astype(np.int64), label.astype(np.int64), label.astype(np.int64), None, {})


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(4, 2),
    )


def loss(model, images, theta, rows):
    return nn.functional.cross_entropy(model(images).float(), torch.from_numpy(rows.gender))


SETTINGS = FitSettings(sizes=((16, 2), (24, 2)), batch=8, lr=1e-2, threads=1)


def train(out, kill_after=None, settings=SETTINGS):
    seen = []

    def evaluate(model, size):
        seen.append(size)
        return {"size_seen": float(size)}

    def report(line):
        if kill_after is not None and len(seen) == kill_after:
            raise Killed

    fit = Fit(network(), loss, faces(), settings, out)
    return fit.run(evaluate, report).state_dict(), fit.network.state_dict(), seen


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_killed_run_ends_in_the_same_weights(tmp_path):
    whole, raw, sizes = train(tmp_path)
    assert sizes == [16, 16, 24, 24]
    killed = tmp_path / "killed"
    killed.mkdir()
    with pytest.raises(Killed):
        train(killed, kill_after=3)
    resumed, raw_resumed, rest = train(killed)
    assert rest == [24]
    assert same(whole, resumed)
    assert same(raw, raw_resumed)
    other, _, _ = train(tmp_path / "killed", settings=SETTINGS)
    assert same(whole, other)


def test_a_tracker_is_told_of_every_epoch(tmp_path):
    told = Recorder()
    with listening([told], {}):
        train(tmp_path)
    assert [(step, line["size_seen"]) for step, line in told.lines] == [
        (1, 16.0),
        (2, 16.0),
        (3, 24.0),
        (4, 24.0),
    ]
    assert all(line["loss"] > 0 for _, line in told.lines)


def test_training_learns(tmp_path):
    settings = FitSettings(sizes=((16, 20),), batch=8, lr=2e-2, ema=0.9, threads=1, precision="float32")
    _, last, _ = train(tmp_path, settings=settings)
    model = network()
    model.load_state_dict(last)
    data = faces()
    x = torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert (model.eval()(x).argmax(1).numpy() == data.gender).mean() > 0.9


def test_another_seed_gives_other_weights(tmp_path):
    (tmp_path / "b").mkdir()
    first, _, _ = train(tmp_path)
    other, _, _ = train(tmp_path / "b", settings=FitSettings(**{**SETTINGS.__dict__, "seed": 2}))
    assert not same(first, other)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(UsageError, match="other settings"):
        train(tmp_path, settings=FitSettings(**{**SETTINGS.__dict__, "lr": 1e-3}))


def test_the_precision_is_chosen_once_said_and_kept(tmp_path, monkeypatch):
    auto, said = FitSettings(**{**SETTINGS.__dict__, "precision": "auto"}), []
    for native in (True, False):
        monkeypatch.setattr(
            precision, "missing", lambda device, native=native: "" if native else "no arithmetic"
        )
        fit = Fit(network(), loss, faces(), auto, tmp_path)
        assert fit.settings.precision == fit.choice.used == ("bfloat16" if native else "float32")
        fit.run(lambda model, size: {}, said.append)
        (tmp_path / "checkpoint.pt").rename(tmp_path / f"{native}.pt")
    assert [text for text in said if text.startswith("precision")] == [
        "precision bfloat16 (auto: bfloat16 is native here)",
        "precision float32 (auto: no arithmetic)",
    ]
    (tmp_path / "True.pt").rename(tmp_path / "checkpoint.pt")
    with pytest.raises(UsageError, match="another precision"):
        Fit(network(), loss, faces(), auto, tmp_path)


def test_a_checkpoint_that_is_not_one_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match="not readable as plain tensors"):
        train(tmp_path)


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    with pytest.raises(UsageError, match="larger"):
        train(tmp_path, settings=FitSettings(**{**SETTINGS.__dict__, "batch": 100}))


def test_one_cycle_rises_then_falls_to_zero():
    rates = [one_cycle(step, 100, 0.1) for step in range(100)]
    assert np.argmax(rates) in (8, 9, 10)
    assert max(rates) <= 1
    assert rates[-1] == pytest.approx(0, abs=1e-3)
