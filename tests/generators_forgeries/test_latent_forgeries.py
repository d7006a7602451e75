"""Latent forgeries: directions against known ones, layers that are mixed, and a reason for every face that
cannot be used.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from generators import forgeries
from generators.cells.directions import fit_directions, read_directions
from generators.cells.model import fold, unfold
from generators.forgeries import ForgeryError, latent_pictures
from generators.forgeries.shape_model import MEASURES
from manifests.errors import DataError, MissingError, UsageError
from manifests.records import Face
from tests.generators_forgeries.drawn_faces import draw_face
from tests.generators_forgeries.latent_faces import build, files, tiny_generator, with_latent


def rng(seed: int = 4) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def own_picture(face: Face) -> Face:
    """The face with the picture of its latent."""
    generator = tiny_generator()
    image = latent_pictures.picture(generator, latent_pictures.styles(face, generator), 64, 64)
    return face.model_copy(update={"image": image.astype(np.uint8)})


def pair() -> tuple[Face, Face]:
    return own_picture(with_latent(draw_face(64, 0, "t"), 0)), own_picture(
        with_latent(draw_face(64, 1, "s", mouth_open=0.2), 1)
    )


def test_directions_move_what_they_are_asked_to_and_nothing_else():
    draws = np.random.default_rng(0)
    mix = draws.standard_normal((12, 12))
    w = fold(draws.standard_normal((6000, 12)) @ mix.T, "p")
    truth = np.linalg.qr(draws.standard_normal((12, 3)))[0].T @ np.linalg.inv(mix)
    labels = {name: unfold(w, "p") @ row for name, row in zip("abc", truth, strict=True)}
    found = fit_directions(w, labels, generator_sha256="x")
    assert min(found.explained) > 0.95
    start = w[:200]
    step = unfold(found.move(start, {"b": 0.4}, 9.0), "p") - unfold(start, "p")
    made = (step @ truth.T).mean(0)
    assert 0.2 < made[1] <= 0.45
    assert np.abs(made[[0, 2]]).max() < 0.2 * made[1]


def test_steps_are_cut_and_latents_do_not_grow():
    found = read_directions(files()[1])
    w = np.random.default_rng(5).standard_normal((20, 16))
    before, far = (
        (unfold(x, "p") - found.mean) @ found.inverse.T for x in (w, found.move(w, {"yaw": 50.0}, 3.0))
    )
    assert (np.linalg.norm(far, axis=1) <= np.linalg.norm(before, axis=1) * (1 + 1e-5)).all()
    np.testing.assert_array_equal(found.move(w, {"yaw": 50.0}, 3.0), found.move(w, {"yaw": 500.0}, 3.0))
    np.testing.assert_allclose(found.move(w, {}, 3.0), w, atol=1e-5)


def test_files_of_directions_are_checked(tmp_path):
    path = files()[1]
    assert read_directions(path).to_bytes() == path.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-9])
    (tmp_path / "text.safetensors").write_text("no")
    for name in ("cut", "text"):
        with pytest.raises(DataError):
            read_directions(tmp_path / f"{name}.safetensors")
    with pytest.raises(DataError, match="not a file of latent directions"):
        read_directions(files()[0])
    with pytest.raises(UsageError, match="yew"):
        read_directions(path).move(np.zeros((1, 16)), {"yew": 1.0}, 1.0)
    with pytest.raises(DataError, match="flat"):
        fit_directions(
            np.random.default_rng(0).standard_normal((99, 4)), {"flat": np.ones(99)}, generator_sha256=""
        )
    with pytest.raises(DataError, match="draws"):
        fit_directions(
            np.random.default_rng(0).standard_normal((9, 4)), {"a": np.arange(9.0)}, generator_sha256=""
        )


@pytest.mark.parametrize("name", ["swap-latent", "reenact-latent", "edit-latent"])
def test_faces_that_cannot_be_used_have_a_reason(name):
    target, other = pair()
    forger = build(name, max_difference=12.0)
    forger.forge(target, other, rng())
    photograph = draw_face(64)
    wide = target.model_copy(update={"latent": np.zeros((1, 7), np.float32)})
    endless = target.model_copy(update={"latent": np.full((1, 16), np.nan, np.float32)})
    for face, reason in (
        (photograph, "no_latent"),
        (wide, "no_latent"),
        (endless, "no_latent"),
        (with_latent(draw_face(64), 3), "latent_mismatch"),
    ):
        with pytest.raises(ForgeryError) as caught:
            forger.forge(face, other, rng())
        assert caught.value.reason == reason
        assert caught.value.fix


def test_a_swap_needs_both_latents_and_a_reenactment_the_targets_alone():
    target, other = pair()
    photograph = other.model_copy(update={"latent": None, "generator": None})
    with pytest.raises(ForgeryError) as caught:
        build("swap-latent").forge(target, photograph, rng())
    assert caught.value.reason == "no_latent"
    assert build("reenact-latent").forge(target, photograph, rng()).record.driver_id == "s"
    elsewhere = other.model_copy(update={"generator": str(files()[0]), "generator_sha256": None})
    with pytest.raises(ForgeryError) as caught:
        build("swap-latent").forge(target, elsewhere, rng())
    assert caught.value.reason == "other_generator"


def test_another_generator_or_none_is_missing_not_a_reason():
    target, other = pair()
    with pytest.raises(DataError, match="digest"):
        build("edit-latent").forge(target.model_copy(update={"generator_sha256": "0" * 64}), None, rng())
    with pytest.raises(MissingError):
        build("edit-latent").forge(
            target.model_copy(update={"generator": "nowhere.safetensors"}), None, rng()
        )
    with pytest.raises(MissingError, match="latent directions"):
        forgeries.get("reenact-latent")().forge(target, other, rng())


def test_swap_takes_the_sources_middle_layers(monkeypatch):
    target, other = pair()
    asked, picture = [], latent_pictures.picture
    monkeypatch.setattr(
        latent_pictures, "picture", lambda g, w, *size: asked.append(w.copy()) or picture(g, w, *size)
    )
    build("swap-latent", fine=(32,), strength=(1, 1)).forge(target, other, rng())
    mixed, own, theirs = asked[-1], target.latent[0], other.latent[0]
    np.testing.assert_allclose(mixed, [own, *[theirs] * 5, *[own] * 4], atol=1e-6)


def test_a_picture_is_what_the_generator_makes():
    face, generator = with_latent(draw_face(64), 2), tiny_generator()
    with torch.inference_mode():
        image = (
            generator.synthesis(np.repeat(face.latent, generator.num_ws, 0)[None])[0].permute(1, 2, 0).numpy()
        )
    ours = latent_pictures.picture(generator, latent_pictures.styles(face, generator), 64, 64)
    np.testing.assert_allclose(ours, np.clip(image * 127.5 + 128, 0, 255), atol=1.01)
    assert latent_pictures.picture(generator, latent_pictures.styles(face, generator), 100, 90).shape == (
        100,
        90,
        3,
    )


def test_layers_by_resolution():
    assert [latent_pictures.layer_of(r) for r in (4, 8, 16, 32, 64)] == [0, 2, 4, 6, 8]
    assert set(MEASURES) <= set(read_directions(files()[1]).names)


def test_threads_of_torch_do_not_matter():
    before, images = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            images.append(build("swap-latent").forge(*pair(), rng()).image)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*images)
