"""Training on fakes drawn anew: the same bytes at any number of workers, when killed and resumed, and in two
processes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detector.inference.checkpoints import read_checkpoint
from detector.training.loop import TrainResult, train
from detector.training.settings import TrainSettings
from manifests.atomic import digest_file
from manifests.errors import DataError, UsageError
from pipeline.stages.train.online import build_forge, forge_of
from tests.online_training.online_set import METHODS, PARAMS, TINY, make_set


class KilledError(Exception):
    pass


def run(
    manifest: Path, out: Path, workers: int = 0, kill_after: int = 0, **changes: Any
) -> tuple[TrainResult, list[Any]]:
    settings, events = TrainSettings(**{**TINY, **changes}), []

    def report(event: dict[str, Any]) -> None:
        events.append(event)
        if kill_after and event.get("epoch") == kill_after:
            raise KilledError

    made = train(
        settings,
        manifest,
        out,
        report,
        workers=workers,
        build_forge=forge_of(settings.model_dump()),
    )
    return made, events


@pytest.fixture(scope="module")
def whole(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training in one go, without workers."""
    out = tmp_path_factory.mktemp("whole")
    run(manifest, out)
    return out


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_make_the_same_bytes(
    manifest: Path, whole: Path, tmp_path: Path, workers: int
) -> None:
    run(manifest, tmp_path, workers)
    for name in ("checkpoint.safetensors", "metrics.jsonl"):
        assert digest_file(tmp_path / name) == digest_file(whole / name)


def test_a_killed_training_goes_on_to_the_same_bytes(manifest: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(manifest, tmp_path, kill_after=1)
    assert not (tmp_path / "checkpoint.safetensors").exists()
    _, events = run(manifest, tmp_path)
    assert [e["epoch"] for e in events if e["event"] == "epoch"] == [2]
    for name in ("checkpoint.safetensors", "metrics.jsonl"):
        assert digest_file(tmp_path / name) == digest_file(whole / name)


def test_two_processes_do_what_one_does(manifest: Path, tmp_path: Path) -> None:
    values = {**TINY, "epochs": 1, "base_optimizer": "sgd", "optimizer": "sgd", "lr": 0.02, "warmup": 0.0}
    alone, _ = run(manifest, tmp_path / "alone", **values)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    running = []
    for rank in (0, 1):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        command = [
            sys.executable,
            str(Path(__file__).with_name("online_process.py")),
            str(manifest),
            str(tmp_path / "two"),
            json.dumps(values),
        ]
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
    ends = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], ends
    two = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert two[0]["loss"] == pytest.approx(alone.metrics[0]["loss"], rel=1e-5)
    assert two[0]["refused_draws"] == alone.metrics[0]["refused_draws"]
    mine, theirs = (read_checkpoint(tmp_path / n / "checkpoint.safetensors")[2] for n in ("alone", "two"))
    for name, value in mine.items():
        assert value.float().sub(theirs[name].float()).abs().max() < 1e-4, name


def test_what_is_trained_on_is_said(manifest: Path, whole: Path) -> None:
    facts = json.loads((whole / "training.json").read_text())
    assert facts["settings"]["online"] == METHODS
    assert facts["images"] == {"train": 24, "val": 12}  # 12 and 6 real faces, and as many fakes
    assert facts["classes"]["family"] == ["none", "swap", "blend"]


def test_fewer_batches_an_epoch(manifest: Path, tmp_path: Path) -> None:
    made, _ = run(manifest, tmp_path, epoch_batches=2, epochs=1)
    assert made.metrics[0]["steps"] == 2


def test_the_mask_decoder_learns_from_masks_that_are_drawn(manifest: Path, tmp_path: Path) -> None:
    made, _ = run(manifest, tmp_path, epochs=1, mask_decoder=True, loss="cross-entropy + forgery-mask")
    assert made.metrics[0]["loss"] > 0


def test_family_heads_learn_the_drawn_method(manifest: Path, tmp_path: Path) -> None:
    made, _ = run(manifest, tmp_path, epochs=1, heads=("family",), loss="cross-entropy + forgery-family")
    assert made.metrics[0]["val_family_accuracy"] is not None


def test_faces_without_landmarks_cannot_be_forged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no landmarks"):
        run(make_set(tmp_path / "set", landmarks=False), tmp_path / "out")


@pytest.mark.parametrize(
    ("online", "params", "words"),
    [
        ({"blend-selff": 1}, {}, "blend-self"),
        ({"blend-self": 0}, {}, "above 0"),
        ({"swap-latent": 1}, {}, "latents"),
        ({"blend-self": 1}, {"swap-delaunay": {}}, "swap-delaunay"),
        ({"blend-self": 1}, {"blend-self": {"no_such": 1}}, "no_such"),
    ],
)
def test_what_cannot_be_drawn_is_refused(online: dict[str, Any], params: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_forge(online, params)


def test_settings_and_maker_go_together(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train\.online"):
        train(TrainSettings(**TINY), manifest, tmp_path, lambda event: None)
    with pytest.raises(UsageError, match=r"train\.online"):
        train(
            TrainSettings(), manifest, tmp_path, lambda event: None, build_forge=build_forge(METHODS, PARAMS)
        )
