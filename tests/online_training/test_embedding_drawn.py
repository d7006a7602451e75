"""A detector trained on fakes drawn anew is calibrated on val rows without stored fakes: these are drawn
once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.inference.checkpoints import read_checkpoint, save_checkpoint
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from pipeline.__main__ import main
from tests.online_training.online_set import METHODS, PARAMS, make_set


@pytest.mark.parametrize(("online", "code"), [(METHODS, 0), ({}, 2)])
def test_fakes_of_the_val_split_are_drawn_as_the_training_drew_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    online: dict[str, float],
    code: int,
) -> None:
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path / "weights"))
    manifest = make_set(tmp_path / "set")
    config = NetworkConfig(backbone="test_resnet", input_size=32)
    save_checkpoint(
        tmp_path / "d" / "checkpoint.safetensors", config, build_network(config, 0).state_dict(), {}
    )
    settings = {"batch": 8, "seed": 2, "online": online, "online_params": PARAMS if online else {}}
    (tmp_path / "d" / "training.json").write_text(
        json.dumps({"settings": settings, "kept_epoch": 1, "val": {"steps": 1}})
    )
    words = ["weights", "embed", str(tmp_path / "d"), "--name", "mine", "--licence", "l", "--data", "d"]
    assert main([*words, "--validation", str(manifest)]) == code
    if code:
        assert "needs real and fake images" in capsys.readouterr().err
        return
    header = read_checkpoint(tmp_path / "weights" / "mine.safetensors")[1]
    assert header["calibration"]["n"] == 12  # three val faces of two cells, and a fake of each
