from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from attribute_models import load_face_detector
from attribute_models.detection.mtcnn import mtcnn_weight
from attribute_models.networks.mtcnn import Cascade
from manifests.errors import DataError, UsageError


@pytest.fixture(scope="module")
def detector():
    return load_face_detector()


def pictures(draw_face) -> list[np.ndarray]:
    """One face, two, one at the edge, small ones of odd sizes, noise."""
    pair = np.full((256, 420, 3), 128, np.uint8)
    pair[:, :256], pair[60:180, 290:410] = draw_face(256), draw_face(120)
    noise = np.random.default_rng(0).integers(0, 256, (97, 130, 3), dtype=np.uint8)
    return [draw_face(256), pair, draw_face(256)[:, 60:], draw_face(64), draw_face(91)[:77], noise]


@pytest.mark.parametrize("number", range(6))
def test_agrees_with_facenet_pytorch_called_directly(draw_face, number):
    from facenet_pytorch import MTCNN

    image = pictures(draw_face)[number]
    boxes, scores, points = MTCNN(keep_all=True, select_largest=False).detect(image, landmarks=True)
    found = load_face_detector(pad=0.0, upscale_to=0)._cascade.find(image)
    assert len(found.boxes) == (0 if boxes is None else len(boxes)) == (1, 2, 1, 1, 1, 0)[number]
    if boxes is None:
        return
    order = np.argsort(-scores.astype(float))
    np.testing.assert_allclose(found.boxes, boxes[order].astype(float), atol=1e-3)
    np.testing.assert_allclose(found.points, points[order].astype(float), atol=1e-3)
    np.testing.assert_allclose(found.scores, scores[order].astype(float), atol=1e-5)


def test_files_of_other_networks_are_refused(tmp_path):
    folder = mtcnn_weight().path
    for name in ("pnet.pt", "rnet.pt", "onet.pt"):
        shutil.copy(folder / name, tmp_path)
    shutil.copy(folder / "rnet.pt", tmp_path / "onet.pt")
    with pytest.raises(DataError, match="is not this network"):
        Cascade(tmp_path, 20, (0.6, 0.7, 0.7), torch.device("cpu"))
    (tmp_path / "rnet.pt").write_bytes(b"not a network")
    with pytest.raises(DataError, match=r"rnet\.pt"):
        Cascade(tmp_path, 20, (0.6, 0.7, 0.7), torch.device("cpu"))


@pytest.mark.parametrize("size", [64, 128, 300])
def test_finds_the_drawn_face_where_it_is(detector, draw_face, face_marks, size):
    (face,) = detector.detect(draw_face(size))
    assert face.score > 0.9
    assert face.box.dtype == face.five.dtype == np.float32
    assert (face.five.shape, face.box.shape) == ((5, 2), (4,))
    np.testing.assert_allclose(face.five[[0, 1, 3, 4]] / size, face_marks, atol=0.03)
    assert face.box[0] < face.five[:, 0].min()
    assert face.box[2] > face.five[:, 0].max()


def test_a_crop_filled_by_the_face_is_one_face(detector, draw_face):
    crop = draw_face(256)[40:220, 45:210]
    assert len(detector.detect(crop)) == 1


def test_two_faces_come_best_first_and_do_not_depend_on_each_other(detector, draw_face):
    face, small = draw_face(256), draw_face(120)
    canvas = np.full((256, 420, 3), 128, np.uint8)
    canvas[:, :256] = face
    canvas[60:180, 290:410] = small
    found = detector.detect(canvas)
    assert len(found) == 2
    assert found[0].score >= found[1].score
    assert {bool(f.box[0] > 256) for f in found} == {True, False}
    again = detector.detect(canvas)
    assert all(
        a.five.tobytes() == b.five.tobytes() and a.score == b.score for a, b in zip(found, again, strict=True)
    )


def test_pictures_without_a_face(detector):
    assert detector.detect(np.full((100, 80, 3), 90, np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    assert [f for f in detector.detect(noise) if f.score > 0.9] == []


def test_other_arrays_and_parameters_are_refused(detector):
    with pytest.raises(UsageError, match="uint8"):
        detector.detect(np.zeros((64, 64), np.uint8))
    with pytest.raises(UsageError, match="pad"):
        load_face_detector(pad=-1)
    with pytest.raises(UsageError, match="mtcnn"):
        load_face_detector("mtcn")
