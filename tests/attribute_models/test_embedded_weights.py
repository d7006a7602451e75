from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attribute_models import align, load_attribute_model, load_face_detector, load_landmarker
from attribute_models.detection.alignment import apply, invert, similarity
from attribute_models.registry import ATTRIBUTE_MODELS
from manifests.errors import DataError
from manifests.mesh148 import GROUPS, MIRROR, five_of
from manifests.taxonomy import get_taxonomy
from manifests.weights import catalogue, find_weight

NAMES = ("fairforge-small", "fairforge-mesh148")


@pytest.fixture(scope="module")
def landmarker():
    return load_landmarker()


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_the_catalogued_one_and_has_a_card(name):
    weight = find_weight(name, catalogue()[name].kind)
    assert weight.path.stat().st_size < 12e6
    assert "FairFace" in weight.data
    assert "fairforge train-" in weight.recipe
    card = (weight.path.parent / "README.md").read_text(encoding="utf-8")
    assert name in card
    assert "CC BY 4.0" in card
    assert ATTRIBUTE_MODELS.create(name).weight == weight


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_has_a_figure_in_the_card(name):
    weight = catalogue()[name]
    card = (weight.path.parent / "README.md").read_text(encoding="utf-8")
    cells = weight.measured["cells"]
    assert len(cells) == 8
    for cell, figures in cells.items():
        rows = [line for line in card.splitlines() if line.startswith(f"| {cell} | {figures['n']} |")]
        assert len(rows) == 2  # one per model, over the same faces


def test_detect_align_and_landmark_a_drawn_face(landmarker, draw_face, face_marks):
    image = draw_face(200)
    (face,) = load_face_detector().detect(image)
    mesh = landmarker.predict(align(image, face.five, 128)[None])[0]
    mesh = apply(mesh, invert(similarity(face.five, 128)))
    np.testing.assert_allclose(five_of(mesh)[[0, 1, 3, 4]] / 200, face_marks, atol=0.03)
    lips, oval = mesh[list(GROUPS["lips_outer"])], mesh[list(GROUPS["oval"])]
    assert oval[:, 1].max() > lips[:, 1].max() > mesh[list(GROUPS["nose"]), 1].max()
    assert mesh[list(GROUPS["right_brow"]), 0].max() < mesh[list(GROUPS["left_brow"]), 0].min()


def test_landmarks_follow_a_mirrored_and_a_smaller_picture(landmarker, draw_face, face_marks):
    image = draw_face(256)
    crop = align(image, np.insert(face_marks * 256, 2, [128, 147], axis=0), 128)
    points = landmarker.predict(crop[None])[0]
    mirrored = landmarker.predict(crop[None, :, ::-1])[0]
    np.testing.assert_allclose(mirrored[MIRROR] * [-1, 1] + [128, 0], points, atol=0.05)
    small = align(image, np.insert(face_marks * 256, 2, [128, 147], axis=0), 48)
    np.testing.assert_allclose(landmarker.predict(small[None])[0] * 128 / 48, points, atol=3.0)


def test_attributes_of_a_drawn_face_are_probabilities(draw_face):
    model = load_attribute_model()
    image = draw_face(128)
    images = np.stack([image, image[:, ::-1], 255 - image])
    found = model.predict(images)
    for head, names in model.classes.items():
        assert found[head].shape == (3, len(names))
        assert (found[head] >= 0).all()
        np.testing.assert_allclose(found[head].sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(
            found[head][1], found[head][0], atol=1e-3, err_msg="a mirror image is perceived alike"
        )
        assert np.abs(found[head][2] - found[head][0]).max() > 0.01, "another picture is perceived otherwise"
    race, gender = model.predict_cells(images)
    asian = [k for k, name in enumerate(model.classes["race"]) if name in ("East Asian", "Southeast Asian")]
    place = get_taxonomy("fairface4").races.index("Asian")
    np.testing.assert_allclose(race[:, place], found["race"][:, asian].sum(1), rtol=1e-4)
    np.testing.assert_allclose(race.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(gender, found["gender"], atol=1e-6)
    assert model.label_source == f"model:fairforge-small@{model.weight.sha256[:8]}"


def test_a_changed_file_is_refused(monkeypatch, tmp_path):
    weight = catalogue()["fairforge-mesh148"]
    folder = tmp_path / "weights"
    folder.mkdir()
    data = bytearray(weight.path.read_bytes())
    data[-1] ^= 1
    (folder / "changed.safetensors").write_bytes(data)
    entry = f'["mine"]\nfile = "changed.safetensors"\nsha256 = "{weight.sha256}"\nkind = "landmarks"\n'
    (folder / "weights.toml").write_text(entry)
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(folder))
    with pytest.raises(DataError, match="the catalogue says"):
        load_landmarker("mine")
    Path(folder / "changed.safetensors").write_bytes(weight.path.read_bytes())
    assert load_landmarker("mine").weight.name == "mine"
