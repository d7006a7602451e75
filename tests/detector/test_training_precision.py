"""The precision of a training: said, recorded, and never changed on the way; what is finished stays
finished.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from detector.inference.checkpoints import read_state
from detector.training import loop as training
from detector.training.settings import TrainSettings
from manifests.watching import watch_by
from nn import precision
from tests.detector.detector_fixtures import TINY

AUTO = TrainSettings(**{**TINY, "epochs": 2, "batch": 16, "precision": "auto"})


def on_machine(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(
        precision, "missing", lambda device: "" if native else "this CPU has no bfloat16 arithmetic"
    )


def stopped(settings: TrainSettings, manifest: Path, out: Path) -> None:
    """A training that was interrupted after its first epoch."""

    def report(event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(settings, manifest, out, report)


def test_a_state_is_not_resumed_in_another_precision(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_machine(monkeypatch, native=True)
    stopped(AUTO, manifest, tmp_path)
    key = read_state(tmp_path / "state.pt")["key"]
    on_machine(monkeypatch, native=False)
    seen: list[dict[str, Any]] = []
    training.train(AUTO, manifest, tmp_path, seen.append)
    assert [event["event"] for event in seen] == ["precision", "restart", "epoch", "epoch"]
    assert seen[0]["precision"] == "float32"
    assert 'set precision = "bfloat16" to go on' in seen[1]["reason"]
    assert json.loads((tmp_path / "training.json").read_text())["key"] != key


def test_the_named_precision_goes_on_with_what_auto_began(
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_machine(monkeypatch, native=False)
    stopped(AUTO, manifest, tmp_path)
    seen: list[dict[str, Any]] = []
    training.train(AUTO.model_copy(update={"precision": "float32"}), manifest, tmp_path, seen.append)
    assert [event["event"] for event in seen] == ["precision", "epoch"]


def test_a_finished_training_stays_finished_on_another_machine(
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_machine(monkeypatch, native=False)
    shown: list[tuple[Any, ...]] = []

    def watch(*work: Any) -> Any:
        shown.append(work)
        return nullcontext(lambda now: None)

    with watch_by(watch):
        settings = AUTO.model_copy(update={"epochs": 1})
        training.train(settings, manifest, tmp_path, lambda event: None)
    facts = json.loads((tmp_path / "training.json").read_text())
    assert (facts["precision"], facts["settings"]["precision"]) == ("float32", "auto")
    on_machine(monkeypatch, native=True)
    seen: list[dict[str, Any]] = []
    training.train(settings, manifest, tmp_path, seen.append)
    assert seen == []
    assert shown == [("training", 4, "steps", 0)]
