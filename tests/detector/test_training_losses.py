"""Losses, heads, qualities and masks in whole trainings on a tiny set; what does not fit is said before the
first step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detector.inference.prediction import load_detector
from detector.models.network import normalise
from detector.training.augmentation import AugmentParams, augment, augment_mask
from detector.training.batch_maker import BatchMaker
from detector.training.batches import batch_targets
from detector.training.data import SplitData, class_counts, open_manifest, read_split
from detector.training.loop import train
from detector.training.settings import TrainSettings
from manifests.errors import UserError
from manifests.images import encode
from manifests.seeding import rng_of
from manifests.store import read_manifest, write_manifest
from tests.detector.detector_fixtures import TINY, make_set, to_come

ALL = ("race", "gender", "cell", "family")


def fit(manifest: Path, out: Path, **changes: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    train(TrainSettings(**{**TINY, "epochs": 1, **changes}), manifest, out, to_come(seen))
    return seen


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose swaps have masks and whose blends have none."""
    folder = tmp_path_factory.mktemp("masked")
    path = make_set(folder, lambda r: {"mask_path": f"masks/{r.image_id}.png"} if r.family == "swap" else {})
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 4:20] = 255
    (folder / "masks").mkdir()
    for name in read_manifest(path)["mask_path"].to_pylist():
        if name:
            (folder / name).write_bytes(encode(mask, "png"))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {
            "loss": "qad + 0.1 * demographic",
            "loss_params": {"qad": {"awp_after": 0, "awp_gamma": 0.01}},
            "qualities": ["raw", "jpeg:30-90", "down:2"],
            "optimizer": "adamw",
        },
        {"loss": "daw-fdd + bido-hsic", "loss_params": {"bido-hsic": {"against": "cell"}}, "heads": ()},
        {"loss": "pg-fdd", "input_size": 64, "heads": ["cell", "family"], "optimizer": "adamw"},
        {"loss": "ldam + individual-fairness", "heads": ["family"]},
        {"loss": "stable-reweighting + demographic", "head_mode": "reversed", "heads": ["cell"]},
        {"loss": "focal + demographic", "head_mode": "detached", "precision": "bfloat16"},
    ],
    ids=lambda c: str(c["loss"]),
)
def test_they_train_resume_and_load(manifest: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    seen = fit(manifest, tmp_path, **changes)
    heads = changes.get("heads", ("race", "gender"))
    assert np.isfinite(seen[0]["loss"])
    assert {k for k in seen[0] if k.endswith("_accuracy")} == {
        "val_accuracy",
        *(f"val_{h}_accuracy" for h in heads),
    }
    loaded = load_detector(tmp_path)
    assert set(loaded.classes) == set(heads)
    assert loaded.classes.get("family", ("none", "swap", "blend")) == ("none", "swap", "blend")
    assert loaded.predict(np.zeros((2, 40, 30, 3), np.uint8)).shape == (2,)


def test_the_mask_decoder_learns_where(masked: Path, tmp_path: Path) -> None:
    fit(
        masked,
        tmp_path,
        loss="cross-entropy + forgery-mask + forgery-family",
        heads=("family",),
        mask_decoder=True,
        epochs=4,
        optimizer="adamw",
        augment=False,
        lr=0.01,
        residual_norm=False,
    )
    table, folder, classes = open_manifest(masked)
    val = read_split(table, folder, "val", classes, 32)
    network = load_detector(tmp_path).network
    with torch.no_grad():
        out = network(normalise(torch.from_numpy(val.images), network.config))
    maps = torch.sigmoid(out["mask"]).numpy()[val.groups["family"] == 1]
    assert maps.shape[1:] == (4, 4)
    sides = maps[:, 1:3, 1].mean(1), maps[:, 1:3, 3].mean(1)
    assert (sides[0] > sides[1] + 0.1).all()
    assert json.loads((tmp_path / "training.json").read_text())["untrained_heads"] == []


def test_untrained_heads_are_named(manifest: Path, tmp_path: Path) -> None:
    fit(manifest, tmp_path, loss="dag-fdd", heads=("race", "family"))
    assert json.loads((tmp_path / "training.json").read_text())["untrained_heads"] == ["race", "family"]


def test_qad_resumes_to_the_same_bytes_with_its_weight_push(manifest: Path, tmp_path: Path) -> None:
    changes = {
        "loss": "qad",
        "loss_params": {"awp_after": 1, "awp_gamma": 0.01},
        "qualities": ["raw", "jpeg:30-60"],
        "epochs": 2,
        "optimizer": "sgd",
    }

    def stop(event: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TrainSettings(**{**TINY, **changes}), manifest, tmp_path / "a", stop)
    fit(manifest, tmp_path / "a", **changes)
    fit(manifest, tmp_path / "b", **changes)
    fit(manifest, tmp_path / "c", **{**changes, "loss_params": {"awp_after": 2, "awp_gamma": 0.01}})
    first, second, without = ((tmp_path / x / "checkpoint.safetensors").read_bytes() for x in "abc")
    assert first == second
    assert json.loads((tmp_path / "a/metrics.jsonl").read_text().splitlines()[1])["loss"] > 0
    lines = [(tmp_path / x / "metrics.jsonl").read_text().splitlines() for x in "bc"]
    assert lines[0][0] == lines[1][0]
    assert lines[0][1] != lines[1][1]
    assert without


def test_masks_move_with_their_images() -> None:
    params = AugmentParams(flip=0.5, shift=0.3, grid=1, light=0.0, scale=1.0, erase=0.5)
    mask = np.zeros((48, 48), np.uint8)
    mask[10:30, 15:40] = 255
    image = np.repeat(mask[:, :, None], 3, 2)
    for key in range(12):
        moved = augment(image, rng_of(1, key), params)
        own = augment_mask(mask, rng_of(1, key), params)
        covered = augment_mask(np.full_like(mask, 255), rng_of(1, key), params) == 0
        assert (own[covered] == 0).all()
        assert (own[~covered] == moved[:, :, 0][~covered]).all()


def split_data(masked: Path) -> SplitData:
    table, folder, classes = open_manifest(masked)
    return read_split(table, folder, "train", classes, 32)


def test_batches_say_what_they_hold(masked: Path) -> None:
    data = split_data(masked)
    rows = np.array([0, 1, 2, 3, 4])
    assert sorted({data.ids[r].split("-")[-1] for r in (0, 1, 2)}) == ["blend", "real", "swap"]
    masks = torch.from_numpy(BatchMaker(data, 1, None, (), True, True)(rows, 0).masks)
    for k, row in enumerate(rows):
        kind = data.ids[row].split("-")[-1]
        assert float(masks[k].mean()) == {"real": 0.0, "swap": 0.25, "blend": -1.0}[kind]
    truth = batch_targets(data, rows, torch.zeros(10, 3, 32, 32), qualities=2, masks=masks)
    assert truth.tuples.tolist() == [0, 1, 2, 3, 4] * 2
    assert truth.qualities.tolist() == [0] * 5 + [1] * 5
    assert truth.groups["family"].tolist() == data.groups["family"][np.tile(rows, 2)].tolist()
    assert len(set(truth.pairs[:3].tolist())) == 1
    assert not set(truth.pairs[:5].tolist()) & set(truth.pairs[5:].tolist())
    assert truth.masks.shape == (10, 32, 32)


def test_counts_are_of_training_rows(masked: Path) -> None:
    table, _, classes = open_manifest(masked)
    counts = class_counts(table, classes)
    assert counts["fake"] == (16, 32)
    assert counts["family"] == (16, 16, 16)
    assert sum(counts["cell"]) == 48
    assert sorted(counts["cell"]) == [0, 0, 0, 0, 12, 12, 12, 12]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "qad"}, "several qualities"),
        ({"loss": "bido-hsic + bido"}, "did you mean"),
        ({"qualities": ["jpeg:101"]}, "no range"),
        ({"loss": "focal", "mask_decoder": True}, "no loss trains the decoder"),
        ({"loss": "forgery-mask", "mask_decoder": True}, "no training fake has a mask"),
        ({"loss": "pg-fdd"}, "needs the head family"),
        ({"loss": "pg-fdd", "heads": ["cell", "family"]}, "2 x 2"),
        ({"loss": "bido-hsic", "loss_params": {"layers": 6}}, "stages to look at"),
        (
            {"loss": "pg-fdd + forgery-mask", "heads": ["cell", "family"], "mask_decoder": True},
            "needs the pg-fdd network",
        ),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(
    manifest: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        fit(manifest, tmp_path, **changes)
    assert caught.value.fix
    assert not list(tmp_path.glob("*"))


def test_unknown_cells_and_broken_masks_are_said_before_the_first_step(masked: Path, tmp_path: Path) -> None:
    no_cells = make_set(tmp_path / "set", lambda r: {"cell": None, "race": None, "gender": None})
    for loss in ("daw-fdd", "bido-hsic"):
        params = {"against": "cell"} if loss == "bido-hsic" else {}
        with pytest.raises(UserError, match=r"no cells|no training row has a known cell"):
            fit(no_cells, tmp_path / "out", loss=loss, loss_params=params, heads=())
    table = read_manifest(masked)
    broken = tmp_path / "broken"
    make_set(broken)
    write_manifest(table, broken / "manifest.parquet")
    with pytest.raises(UserError, match="16 of 16 forgery masks"):
        fit(broken / "manifest.parquet", tmp_path / "out", loss="forgery-mask", mask_decoder=True, heads=())
