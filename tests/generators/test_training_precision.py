"""The precision of a generator's training: said, in the header, and never changed on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from generators.training import Phase, TrainSettings
from generators.training.loop import TrainingRun
from generators.training.settings import FEATURE_SETTINGS, LATER
from manifests.atomic import digest_value
from manifests.errors import UsageError
from nn import precision
from nn.processes import World
from nn.safetensors_files import read_metadata
from tests.generators.training_data import TINY, prepared, tensors


def settings(asked: str, kimg: float = 0.032) -> TrainSettings:
    phases = (Phase(resolution=16, kimg=kimg),)
    return TrainSettings(phases=phases, snapshot_kimg=0.016, **{**TINY, "precision": asked})


def on_machine(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(
        precision, "missing", lambda device: "" if native else "this CPU has no bfloat16 arithmetic"
    )
    monkeypatch.setattr(precision, "slowdown", lambda device: 8.0)


def test_a_run_goes_on_in_the_precision_it_began_in(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, said = prepared(folder, tmp_path), []
    on_machine(monkeypatch, native=True)
    TrainingRun(settings("auto"), info, tmp_path, World(), report=said.append).run(stop_after=2)
    assert said[0] == "precision bfloat16 (auto: bfloat16 is native here)"
    assert tensors(tmp_path / "state.pt")["step"] == 2
    on_machine(monkeypatch, native=False)
    with pytest.raises(UsageError, match="computed in bfloat16") as caught:
        TrainingRun(settings("auto"), info, tmp_path, World()).run()
    assert "--precision bfloat16" in caught.value.fix
    with pytest.raises(UsageError, match="other settings"):
        TrainingRun(settings("float32"), info, tmp_path, World()).run()
    TrainingRun(settings("bfloat16"), info, tmp_path, World(), report=said.append).run()
    assert "8.0 times as long as float32" in said[-3]
    assert read_metadata(tmp_path / "generator.safetensors")["precision"] == "bfloat16"


def test_a_run_of_the_names_used_before_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_machine(monkeypatch, native=False)
    info = prepared(folder, tmp_path)
    # what those runs did not know
    later = {"threads", "snapshot_kimg", "phases", *LATER, *FEATURE_SETTINGS}
    values = settings("auto").model_dump(mode="json", exclude=later)
    before = digest_value(
        {
            "settings": {**values, "precision": "fp32"},
            "resolution": 16,
            "data": info["sha256"],
            "start": None,
            "world": 1,
        }
    )
    run = TrainingRun(settings("auto"), info, tmp_path, World())
    assert run.key == before == run.keys["float32"] != run.keys["bfloat16"]
