"""The autoencoder behind `blend-neural`: training resumes to the same bytes, files are refused by name, it
draws faces.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from generators.autoencoder.files import decoded, load_autoencoder, save_autoencoder
from generators.autoencoder.network import Autoencoder, AutoencoderConfig
from generators.autoencoder.training import AutoencoderSettings, AutoencoderTraining, loss_of
from generators.training.images import TrainingImages
from manifests.errors import DataError, MissingError, UsageError
from manifests.weights import catalogue

SMALL = AutoencoderConfig(widths=(4, 4, 8, 8), latent=6)
EMBEDDED = "faces-autoencoder"


def pictures(count: int = 24, size: int = 32) -> TrainingImages:
    """Smooth blots of colour."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 2), -1)
    places = rng.uniform(-0.5, 0.5, (count, 1, 1, 2))
    blots = np.exp(-4 * np.sum((grid - places) ** 2, -1))[..., None] * rng.uniform(80, 250, (count, 1, 1, 3))
    pixels = blots.astype(np.uint8)
    return TrainingImages(pixels, np.full(count, -1, np.int64), (), np.arange(count))


def training(out: Path, **values) -> AutoencoderTraining:
    out.mkdir(exist_ok=True)
    settings = AutoencoderSettings(
        **{"steps": 12, "batch": 4, "save_every": 4, "precision": "float32", "least": 1, **values}
    )
    return AutoencoderTraining(pictures(), settings, out, "digest of the data", {"data": "blots"}, SMALL)


def test_a_training_that_was_killed_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = training(tmp_path / "whole").run()
    killed = training(tmp_path / "killed")
    one, seen = killed._one, []

    def dies(step: int) -> dict[str, float]:
        seen.append(step)
        if len(seen) == 7:
            raise KeyboardInterrupt
        return one(step)

    monkeypatch.setattr(killed, "_one", dies)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    again = training(tmp_path / "killed")
    assert again.step == 4
    assert again.run() == whole
    for name in ("autoencoder.safetensors", "metrics.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_it_learns_and_the_first_channels_carry_the_most(tmp_path: Path):
    run = training(tmp_path / "out", steps=250, batch=8, lr=5e-3, save_every=250)
    x = torch.from_numpy(pictures().pixels).permute(0, 3, 1, 2).float() / 127.5 - 1

    def error(kept: int) -> float:
        with torch.no_grad():
            return float((run.network(x, torch.full((len(x),), kept)) - x).abs().mean())

    before = error(6)
    run.run()
    assert error(6) < before / 3
    assert error(6) < error(1)


def test_another_training_s_state_is_refused(tmp_path: Path):
    training(tmp_path / "out").run()
    with pytest.raises(UsageError, match="other settings or data"):
        training(tmp_path / "out", seed=9)


def test_detail_that_is_missing_costs_more_than_the_same_error_spread_evenly():
    rng = np.random.default_rng(1)
    image = torch.from_numpy(rng.normal(0, 0.3, (1, 3, 16, 16)).astype(np.float32))
    smooth = torch.nn.functional.avg_pool2d(image, 2)
    smooth = torch.nn.functional.interpolate(smooth, scale_factor=2.0, mode="nearest")
    shifted = image + (smooth - image).abs().mean()
    assert loss_of(image, image) == 0
    assert loss_of(smooth, image) > 2 * loss_of(shifted, image)


def test_files_that_are_no_autoencoder_are_refused(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    save_autoencoder(path, Autoencoder(SMALL), {"data": "none"})
    assert load_autoencoder(path).config == SMALL
    tensors = safetensors.torch.load_file(path)
    good = {"family": "face-autoencoder", "config": SMALL.model_dump_json()}
    for change, words in (
        ({"family": "stylegan2-ada"}, "family"),
        ({"config": "{}"}, "do not fit its header"),
        ({"config": '{"latent": 0}'}, "refused"),
        ({"config": '{"latent": 1024, "widths": [1, 2, 3, 4]}'}, "do not fit"),
    ):
        safetensors.torch.save_file(tensors, path, metadata={**good, **change})
        with pytest.raises(DataError, match=words):
            load_autoencoder(path)
    with pytest.raises(MissingError, match="autoencoder"):
        load_autoencoder("no such one")


def test_the_embedded_one_draws_faces_of_any_size_the_same_on_any_number_of_threads():
    image = np.clip(np.random.default_rng(2).normal(120, 30, (61, 90, 3)), 0, 255).astype(np.float32)
    before = torch.get_num_threads()
    made = decoded(image, 16, EMBEDDED)
    assert made.shape == image.shape
    assert made.dtype == np.float32
    assert 0 <= made.min() <= made.max() <= 255
    torch.set_num_threads(2)
    try:
        assert np.array_equal(made, decoded(image, 16, EMBEDDED))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert not np.array_equal(made, decoded(image, 8, EMBEDDED))


def test_the_embedded_one_s_catalogue_says_what_it_was_trained_on():
    weight = catalogue("autoencoder")[EMBEDDED]
    assert "FairFace" in weight.data
    assert "CC BY 4.0" in weight.licence
    assert weight.path.stat().st_size < 2_000_000
