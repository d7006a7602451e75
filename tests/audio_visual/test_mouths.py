"""The reader of mouths on faces that the tests draw: three dots that move, from which a landmark model of the
test reads a face.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from manifests.errors import DataError
from manifests.mesh148 import INDICES, five_of
from pipeline.commands.audio_visual import mouths
from pipeline.commands.audio_visual.mouths import EVERY, MouthReader

DOTS = np.array([[0.25, 0.3], [0.75, 0.3], [0.5, 0.95]])
"""Red, green and blue dot in units of the face: eyes and chin."""


def template(opening):
    """Landmarks of a face in units of its side: stable points where they belong, lips as far apart as the
    mouth is open.
    """
    rng = np.random.default_rng(5)
    points = rng.uniform(0.3, 0.7, (len(INDICES), 2)).astype(np.float32)
    points[mouths.STABLE] = mouths._still()
    angle = np.linspace(0, 2 * np.pi, len(mouths.LIPS), endpoint=False)
    points[mouths.LIPS] = np.stack([0.5 + 0.12 * np.cos(angle), 0.72 + opening * np.sin(angle)], 1)
    return points


def drawn(x, y, side, opening=0.05, shape=(120, 160)):
    """A frame with a face at (x, y): its dots, and a mouth that is as open as `opening`."""
    frame = np.full((*shape, 3), 128, np.uint8)
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    for channel, (u, v) in enumerate(DOTS):
        near = (columns - x - u * side) ** 2 + (rows - y - v * side) ** 2 < (0.08 * side) ** 2
        frame[near] = 0
        frame[near, channel] = 255
    inside = ((columns - x - 0.5 * side) / (0.15 * side)) ** 2 + (
        (rows - y - 0.72 * side) / (opening * side)
    ) ** 2 < 1
    frame[inside] = 250
    return frame


def centres(image):
    """Where the dots are; None where one is not there."""
    out = []
    for channel in range(3):
        others = image[:, :, [k for k in range(3) if k != channel]].max(2)
        rows, columns = np.nonzero((image[:, :, channel] > 160) & (others < 90))
        if not len(rows):
            return None
        out.append([columns.mean() + 0.5, rows.mean() + 0.5])
    return np.array(out)


class Search:
    """Finds the face by its dots; calls: sizes of what was searched."""

    def __init__(self):
        self.calls = []

    def detect(self, image):
        self.calls.append(image.shape)
        dots = centres(image)
        if dots is None:
            return []
        side = np.linalg.norm(dots[1] - dots[0]) / 0.5
        corner = dots[0] - DOTS[0] * side
        five = five_of((template(0.05) * side + corner).astype(np.float32))
        return [SimpleNamespace(score=1.0, five=five, box=np.array([*corner, *(corner + side)]))]


class Landmarks:
    """Landmarks by the dots of an aligned picture; without them points that are none."""

    def predict(self, images):
        out = []
        for image in images:
            dots = centres(image)
            if dots is None:
                out.append(np.full((len(INDICES), 2), np.nan, np.float32))
                continue
            side = np.linalg.norm(dots[1] - dots[0]) / 0.5
            out.append((template(0.05) * side + dots[0] - DOTS[0] * side).astype(np.float32))
        return np.stack(out)


def read(frames):
    search = Search()
    return MouthReader(search, Landmarks()).read(frames), search


def test_a_face_that_moves_and_comes_nearer_has_the_same_mouth():
    found, search = read([drawn(20 + 0.7 * k, 15 + 0.4 * k, 60 + 0.3 * k) for k in range(2 * EVERY)])
    assert len(search.calls) == 4
    assert found.found == 1
    assert found.mouths.shape == (2 * EVERY, 32, 32)
    assert np.abs(found.lips - template(0.05)[mouths.LIPS]).max() < 0.02
    assert np.abs(found.mouths.astype(float) - found.mouths.astype(float).mean(0)).mean() < 8


def test_crops_show_how_far_the_mouth_is_open():
    openings = np.array([0.02, 0.05, 0.08, 0.11, 0.05, 0.02])
    found, _ = read([drawn(30, 20, 70, one) for one in openings])
    white = (found.mouths > 190).sum((1, 2))
    assert np.argsort(white, kind="stable").tolist() == np.argsort(openings, kind="stable").tolist()


def test_a_face_that_jumps_is_searched_again():
    frames = [drawn(10, 10, 50) if k < 5 else drawn(90, 50, 60) for k in range(10)]
    found, search = read(frames)
    assert found.found == 1
    assert len(search.calls) == 7
    assert np.abs(found.lips - template(0.05)[mouths.LIPS]).max() < 0.02


def test_frames_without_a_face_repeat_the_nearest_and_count():
    blank = np.full((120, 160, 3), 128, np.uint8)
    frames = [blank] * 3 + [drawn(30, 20, 70, 0.1)] * 5 + [blank] * 2 + [drawn(30, 20, 70, 0.02)] * 2
    found, _ = read(frames)
    assert found.found == pytest.approx(7 / 12)
    assert (found.mouths[:3] == found.mouths[3]).all()
    assert (found.mouths[9] == found.mouths[10]).all()
    assert (found.mouths[8] == found.mouths[7]).all()


@pytest.mark.parametrize("seen", [0, 9])
def test_a_face_in_less_than_half_of_the_frames_is_refused(seen):
    blank = np.full((120, 160, 3), 128, np.uint8)
    with pytest.raises(DataError, match=f"has a face in {seen} of 20 frames"):
        read([drawn(30, 20, 70)] * seen + [blank] * (20 - seen))


class Fancy(Landmarks):
    """Sees a face in anything, as landmark networks do."""

    def predict(self, images):
        return np.nan_to_num(super().predict(images), nan=0) + np.where(
            np.array([centres(image) is None for image in images])[:, None, None],
            template(0.05) * images.shape[1],
            0,
        )


def test_a_face_that_goes_is_not_followed_into_the_background():
    blank = np.full((120, 160, 3), 128, np.uint8)
    frames = [drawn(30, 20, 70)] * 10 + [blank] * 7
    assert MouthReader(Search(), Fancy()).read(frames).found == pytest.approx(10 / 17)


def test_a_large_frame_is_searched_at_a_smaller_size():
    found, search = read([drawn(200, 100, 400, shape=(700, 960))] * 2)
    assert search.calls == [(350, 480, 3)] * 2
    assert np.abs(found.lips - template(0.05)[mouths.LIPS]).max() < 0.02
