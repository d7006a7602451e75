"""Schedules, early stopping, stratified batches, and batches made ahead."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from detector.training import run as training
from detector.training.loop import train
from detector.training.optimizers import rate_at
from detector.training.sampler import balanced_epoch
from detector.training.settings import TrainSettings
from nn.tracking import listening
from pipeline.__main__ import main
from tests.detector.detector_fixtures import TINY, to_come
from tests.nn.recorder import Recorder


def fit(manifest: Path, out: Path, **changes: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    train(TrainSettings(**{**TINY, "batch": 16, **changes}), manifest, out, to_come(seen))
    return seen


def test_schedules() -> None:
    step = [rate_at(k, 99, 0.1, "step", (0.5, 0.75), 0.1) for k in range(99)]
    assert step[3] == pytest.approx(0.4)
    assert step[20] == step[48] == 1.0
    assert step[49] == step[73] == pytest.approx(0.1)
    assert step[74] == step[98] == pytest.approx(0.01)
    assert [rate_at(k, 9, 0.0, "constant") for k in range(9)] == [1.0] * 9
    cosine = [rate_at(k, 99, 0.0) for k in range(99)]
    assert cosine[49] == pytest.approx(0.5)
    assert all(a > b > 0 for a, b in itertools.pairwise(cosine))


def test_patience_stops_and_a_resumed_run_stops_there_too(
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aucs = iter([0.6, 0.8, 0.7, 0.8, 0.9, 0.95])
    monkeypatch.setattr(training, "validation_figures", lambda scores, data: {"val_auc": next(aucs)})
    seen: list[dict[str, Any]] = []

    def killed(event: dict[str, Any]) -> None:
        seen.append(event)
        if event["event"] == "epoch" and event["epoch"] == 3:
            raise KeyboardInterrupt

    settings = TrainSettings(**{**TINY, "batch": 16, "epochs": 6, "patience": 2})
    with pytest.raises(KeyboardInterrupt):
        train(settings, manifest, tmp_path, killed)
    result = train(settings, manifest, tmp_path, seen.append)
    assert [line["val_auc"] for line in result.metrics] == [0.6, 0.8, 0.7, 0.8]
    assert seen[-1] == {"event": "early stop", "epoch": 4, "best_epoch": 2}
    assert train(settings, manifest, tmp_path, seen.append).metrics == result.metrics


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_epoch_that_is_asked_for_is_kept(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    aucs = iter([0.6, 0.8, 0.7])
    monkeypatch.setattr(training, "validation_figures", lambda scores, data: {"val_auc": next(aucs)})
    weights: list[dict[str, Any]] = []

    def killed(event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            state = torch.load(tmp_path / "state.pt", weights_only=True)
            weights.append({name: value.clone() for name, value in state["average"].items()})
            if event["epoch"] == 2:
                raise KeyboardInterrupt

    settings = TrainSettings(**{**TINY, "batch": 16, "epochs": 3, "keep": keep})
    with pytest.raises(KeyboardInterrupt):
        train(settings, manifest, tmp_path, killed)
    train(settings, manifest, tmp_path, killed)
    facts = json.loads((tmp_path / "training.json").read_text())
    wanted = {"best": 2, "last": 3}[keep]
    assert (facts["kept_epoch"], facts["val_auc"]) == (wanted, [0.6, 0.8, 0.7][wanted - 1])
    kept = load_file(tmp_path / "checkpoint.safetensors")
    same = [all(torch.equal(kept[name], value) for name, value in one.items()) for one in weights]
    assert same == [epoch == wanted for epoch in (1, 2, 3)]


def test_stratified_batches_hold_every_cell_and_method_alike() -> None:
    """3 cells; 2 methods, the second with a third of the fakes; cells of unequal size."""
    rows = [
        (cell, method)
        for cell, n in enumerate((12, 12, 6))
        for method in (0,) * n + (1,) * n + (2,) * (n // 3)
    ]
    cells, methods = (np.array(column) for column in zip(*rows, strict=True))
    labels = (methods > 0).astype(np.int64)
    pair_ids = [
        f"{c}-{k}" if m < 2 else None
        for (c, m), k in zip(
            rows, [sum(1 for r in rows[:i] if r == rows[i]) for i in range(len(rows))], strict=True
        )
    ]
    batches = balanced_epoch(labels, cells, pair_ids, 24, 5, 0, methods=methods)
    assert len(batches) == 6
    for batch in batches:
        fakes, reals = batch[1::2], batch[::2]
        assert (labels[fakes] == 1).all()
        assert (labels[reals] == 0).all()
        assert (cells[fakes] == cells[reals]).all()
        counts = Counter(zip(cells[fakes].tolist(), methods[fakes].tolist(), strict=True))
        assert len(counts) == 6
        assert max(counts.values()) - min(counts.values()) <= 1
        assert all(
            pair_ids[f] == pair_ids[r] for f, r in zip(fakes, reals, strict=True) if pair_ids[f] is not None
        )
    again = balanced_epoch(labels, cells, pair_ids, 24, 5, 0, methods=methods)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    other = balanced_epoch(labels, cells, pair_ids, 24, 5, 1, methods=methods)
    assert not all(np.array_equal(a, b) for a, b in zip(batches, other, strict=True))
    assert balanced_epoch(labels * 0, cells, pair_ids, 24, 5, 0, methods=methods * 0) == []


def test_the_result_does_not_depend_on_the_threads_that_make_batches(manifest: Path, tmp_path: Path) -> None:
    settings = TrainSettings(**{**TINY, "batch": 16, "epochs": 1, "sampling": "stratified"})
    files = [
        train(settings, manifest, tmp_path / str(n), lambda e: None, workers=n).checkpoint.read_bytes()
        for n in (0, 3)
    ]
    assert files[0] == files[1]


def test_a_tracker_is_told_of_every_epoch(manifest: Path, tmp_path: Path) -> None:
    told = Recorder()
    with listening([told], {"epochs": 2}):
        result = train(
            TrainSettings(**{**TINY, "batch": 16, "epochs": 2}), manifest, tmp_path / "out", lambda e: None
        )
    assert [step for step, _ in told.lines] == [1, 2]
    assert all(
        {"loss", "val_auc", "val_race_accuracy", "learning_rate"} <= line.keys() for _, line in told.lines
    )
    assert [line["val_auc"] for _, line in told.lines] == [line["val_auc"] for line in result.metrics]


@pytest.mark.parametrize(
    "changes",
    [
        {"batch": 10, "accumulate": 4},
        {"batch": 9, "sampling": "stratified"},
        {"optimizer": "gsam", "ascent": "process"},
        {"milestones": (0.5, 1.5)},
        {"patience": -1},
        {"clip": -1.0},
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainSettings(**{**TINY, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "asam", "accumulate": 2, "clip": 1.0},
        {"optimizer": "gsam", "schedule": "step", "precision": "bfloat16"},
        {"sampling": "stratified", "schedule": "constant", "pairs": False},
    ],
    ids=str,
)
def test_new_settings_train(manifest: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert np.isfinite(fit(manifest, tmp_path, epochs=1, **changes)[0]["loss"])


def test_several_processes_need_a_manifest(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "--out", str(tmp_path)]) == 2
    assert "--manifest" in capsys.readouterr().err
