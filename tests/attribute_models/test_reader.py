"""The one reader of faces: what counts as a face, where landmarks come to lie, and that its parts are
parameters.
"""

from __future__ import annotations

import numpy as np

from attribute_models.detection.alignment import similarity
from attribute_models.detection.boxes import DetectedFace
from attribute_models.reader import SIDE, Aligned, FaceReader, on_template

FIVE = np.array([[30, 40], [60, 42], [46, 58], [34, 72], [58, 73]], np.float32)


class TwoFaces:
    def detect(self, image):
        box = np.array([0, 0, 90, 90], np.float32)
        return [DetectedFace(box, 0.95, FIVE), DetectedFace(box, 0.5, FIVE + 1)]


class Corners:
    """Two landmarks: the crop's middle, and its lower right corner."""

    def predict(self, crops):
        side = crops.shape[1]
        return np.tile(np.array([[side / 2, side / 2], [side, side]], np.float32), (len(crops), 1, 1))


def test_faces_below_the_score_do_not_count():
    image = np.zeros((90, 90, 3), np.uint8)
    assert [face.score for face in FaceReader(TwoFaces(), None).faces(image)] == [0.95]
    assert len(FaceReader(TwoFaces(), None, 0.4).faces(image)) == 2
    assert len(FaceReader(TwoFaces(), None, 0.99).all_faces(image)) == 2


def test_landmarks_come_back_to_the_picture():
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    reader = FaceReader(TwoFaces(), Corners())
    cuts = [reader.cut(image, FIVE), reader.cut(image, FIVE + 5), reader.cut(image, FIVE, 64)]
    assert [cut.crop.shape for cut in cuts[:2]] == [(SIDE, SIDE, 3)] * 2
    first, second = reader.place(cuts[:2])
    [small] = reader.place(cuts[2:])
    there = np.hstack([first, np.ones((2, 1))]) @ similarity(FIVE, SIDE).T
    np.testing.assert_allclose(there, [[SIDE / 2] * 2, [SIDE] * 2], atol=1e-3)
    np.testing.assert_allclose(second, first + 5, atol=1e-3)
    np.testing.assert_allclose(small, first, atol=1e-3)
    assert reader.place([]) == []


def test_the_aligner_is_a_parameter():
    def whole(image, five, side):
        return Aligned(image[:side, :side], np.array([[1, 0, 0], [0, 1, 0]], np.float32))

    image = np.zeros((90, 90, 3), np.uint8)
    reader = FaceReader(TwoFaces(), Corners(), aligner=whole)
    cut = reader.cut(image, FIVE, 64)
    assert cut.crop.shape == (64, 64, 3)
    assert reader.place([cut])[0].tolist() == [[32, 32], [64, 64]]
    assert on_template(image, FIVE, 64).matrix.tolist() == similarity(FIVE, 64).tolist()
