"""Two gloo processes do what one process does with the same global batch, within rounding."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from detector.inference.checkpoints import read_checkpoint
from detector.losses import build_loss
from detector.models.batch_norm import GlobalBatchNorm
from detector.models.network import build_network
from detector.training.loop import train
from detector.training.preparation import check_shares
from detector.training.settings import TrainSettings
from manifests.errors import UsageError
from manifests.seeding import seed_of
from nn.processes import World
from tests.detector.detector_fixtures import TINY
from tests.detector.two_processes import CURVATURE, RATE, RHO, START

BASE = {**TINY, "epochs": 1, "batch": 16, "warmup": 0.0, "base_optimizer": "sgd", "lr": 0.02}
CASES: dict[str, dict[str, Any]] = {
    "batchnorm": {**BASE, "loss": "daw-fdd", "clip": 0.5},
    "pieces": {
        **BASE,
        "backbone": "test_convnext",
        "optimizer": "gsam",
        "accumulate": 2,
        "loss": "dag-fdd",
        "sampling": "stratified",
    },
}


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def together(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cases trained by two processes."""
    out, port = tmp_path_factory.mktemp("two"), free_port()
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
            str(Path(__file__).with_name("two_processes.py")),
            str(manifest),
            str(out),
            json.dumps(CASES),
        ]
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
    try:
        ends = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "".join(e.decode()[-3000:] for _, e in ends)
    return out


@pytest.mark.parametrize("name", list(CASES))
def test_two_processes_equal_one_within_rounding(
    together: Path, manifest: Path, tmp_path: Path, name: str
) -> None:
    train(TrainSettings(**CASES[name]), manifest, tmp_path, lambda event: None)
    one, two = (load_file(folder / "checkpoint.safetensors") for folder in (tmp_path, together / name))
    assert one.keys() == two.keys()
    config, _, _ = read_checkpoint(tmp_path / "checkpoint.safetensors")
    still = build_network(config, seed_of(CASES[name].get("seed", 2026), "weights")).state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one if not one[k].is_floating_point())
    floats = [k for k in one if one[k].is_floating_point()]
    moved, apart = (max(float((one[k] - other[k]).abs().max()) for k in floats) for other in (still, two))
    assert apart < 1e-4, (apart, moved)
    assert moved > 100 * apart, (apart, moved)
    lines = [json.loads((folder / "metrics.jsonl").read_text()) for folder in (tmp_path, together / name)]
    assert lines[0]["loss"] == pytest.approx(lines[1]["loss"], rel=1e-5)
    assert lines[0]["val_auc"] == pytest.approx(lines[1]["val_auc"], abs=0.05)
    facts = [json.loads((folder / "training.json").read_text()) for folder in (tmp_path, together / name)]
    assert facts[1].pop("processes") == 2
    assert facts[0]["key"] == facts[1]["key"]


def test_own_ascent_is_per_process_and_the_step_is_common(together: Path) -> None:
    found = json.loads((together / "ascent.json").read_text())
    assert found[0] == found[1]
    slope = sum(a @ (START + RHO * (a @ START) / (a @ START).norm()) for a in CURVATURE)
    assert np.allclose(found[0], (START - RATE * slope).numpy(), atol=1e-6)
    common = CURVATURE[0] + CURVATURE[1]
    shared = START - RATE * common @ (START + RHO * (common @ START) / (common @ START).norm())
    assert not np.allclose(found[0], shared.numpy(), atol=1e-3), "the two ascents differ"


def test_global_norm_of_one_process_is_torchs(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        plain = torch.nn.BatchNorm2d(3)
        with torch.no_grad():
            plain.weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
        shared = GlobalBatchNorm.like(torch.nn.BatchNorm2d(3))
        shared.load_state_dict(plain.state_dict())
        x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 3 + 7
        xs = [x.clone().requires_grad_(True) for _ in range(2)]
        for layer, inputs in zip((plain, shared), xs, strict=True):
            (layer(inputs) ** 3).sum().backward()
        torch.testing.assert_close(xs[0].grad, xs[1].grad, atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(plain.weight.grad, shared.weight.grad, rtol=1e-3, atol=1e-3)
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(shared.state_dict()[name], value)
        torch.testing.assert_close(plain.eval()(x), shared.eval()(x))
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("changes", "size", "fits"),
    [
        ({"batch": 8}, 2, True),
        ({"batch": 8}, 3, False),
        ({"batch": 8, "accumulate": 2}, 4, False),
        ({"batch": 8, "accumulate": 2}, 2, True),
        ({"batch": 12, "sampling": "shuffle"}, 4, True),
        ({"batch": 12}, 4, False),
    ],
)
def test_batches_that_do_not_split_are_refused(changes: dict[str, Any], size: int, fits: bool) -> None:
    settings = TrainSettings(**{**TINY, **changes})
    if fits:
        check_shares(settings, World(0, size), build_loss(settings.loss, settings.loss_params))
        return
    with pytest.raises(UsageError, match="does not split") as caught:
        check_shares(settings, World(0, size), build_loss(settings.loss, settings.loss_params))
    assert "multiple of" in caught.value.fix


def test_pieces_do_not_go_with_pairs_of_images() -> None:
    settings = TrainSettings(**{**TINY, "batch": 8, "accumulate": 2, "loss": "pg-fdd"})
    with pytest.raises(UsageError, match="does not go with loss pg-fdd"):
        check_shares(settings, World(), build_loss(settings.loss, settings.loss_params))
