"""Mouth shapes and the warp: lips meet, mouths open, nothing else moves, and frames are smooth."""

from itertools import pairwise

import numpy as np
import pytest

from generators.forgeries.checks import ForgeryError
from generators.forgeries.shape_model import MEASURES, at, measure, shape_model
from generators.talking.face_shape import FaceShape, Style
from generators.talking.motion import HEAD, head_of
from generators.talking.renderer import TalkingFace
from generators.talking.speech import Phone
from generators.talking.visemes import CONTROLS, FPS, controls_of
from manifests.seeding import rng_of
from tests.generators_forgeries.drawn_faces import draw_face

STILL = np.zeros(len(HEAD))


def control(**values: float) -> np.ndarray:
    return np.array([values.get(name, 0.0) for name in CONTROLS])


def opening(face: TalkingFace, **values: float) -> float:
    """Height of the inner mouth where the landmarks go, eye distances."""
    points = face.landmarks(control(**values), STILL)
    return float(measure(shape_model().normalise(points)[0])[MEASURES.index("mouth_open")])


def test_lips_meet_in_the_middle_of_m_and_the_jaw_opens_in_a():
    phones = [Phone("m", 0.2, 0.3), Phone("A:", 0.3, 0.55), Phone("b", 0.55, 0.65), Phone("i:", 0.65, 0.9)]
    found = controls_of(phones, 0.0, FPS)
    named = dict(zip(CONTROLS, found.T, strict=True))
    middle = {name: int((start + end) / 2 * FPS - 0.75) for name, start, end in phones}
    assert named["close"][middle["m"]] > 0.95
    assert named["close"][middle["b"]] > 0.8
    assert named["close"][middle["A:"]] == 0
    assert named["open"][middle["A:"]] > 0.6
    assert named["wide"][middle["i:"]] > 0.5 > named["open"][middle["i:"]]


def test_frames_depend_on_their_time_alone():
    phones = [
        Phone("a", k / 10, (k + 1) / 10) if k % 2 else Phone("m", k / 10, (k + 1) / 10) for k in range(30)
    ]
    whole, part = controls_of(phones, 0.5, 50), controls_of(phones, 0.5 + 10 / FPS, 20)
    assert np.allclose(whole[10:30], part, atol=1e-5)


@pytest.mark.parametrize("smile", [0.0, 0.15])
def test_a_mouth_opens_and_closes_also_that_of_a_smile(smile: float):
    face = TalkingFace(draw_face(96, 1, mouth_open=smile))
    assert opening(face, close=1) < 0.03
    assert opening(face) < 0.03
    assert 0.1 < opening(face, open=0.5) < opening(face, open=1)
    assert opening(face, open=1) == pytest.approx(0.32, abs=0.06)


def test_corners_go_together_in_o_and_apart_in_e():
    face = TalkingFace(draw_face(96, 1))

    def width(**values: float) -> float:
        points = face.landmarks(control(open=0.3, **values), STILL)
        return float(np.ptp(points[at(61, 291), 0]))

    assert width(round=1) < 0.85 * width() < width() < width(wide=1)


def test_the_chin_goes_down_with_the_jaw_and_eyes_shut_in_a_blink():
    face = TalkingFace(draw_face(96, 1))
    down = face.landmarks(control(open=1), STILL) - face.landmarks(control(), STILL)
    assert down[at(17)[0], 1] > down[at(152)[0], 1] > 1
    assert np.abs(down[at(33, 133, 1, 168)]).max() < 0.01
    blink = STILL.copy()
    blink[HEAD.index("blink")] = 1
    eyes = [np.ptp(face.landmarks(control(), head)[at(159, 145), 1]) for head in (STILL, blink)]
    assert eyes[1] < 0.2 * eyes[0]


def test_an_open_mouth_is_dark_with_teeth_and_the_rest_of_the_picture_stays():
    drawn = draw_face(128, 1)
    face = TalkingFace(drawn)
    closed, opened = (face.frame(control(open=value), STILL).astype(float) for value in (0.0, 1.0))
    points = face.landmarks(control(open=1), STILL)
    x, (top, bottom) = int(points[at(13)[0], 0]), points[at(13, 14), 1]
    inside = opened[int(top) + 1 : int(bottom), x].mean(1)
    assert inside.max() > inside.min() + 40
    assert inside.min() < 70
    assert np.abs(opened[:10] - drawn.image[:10]).mean() < 1.5
    upper = slice(0, int(points[at(2)[0], 1]))
    assert np.abs(opened[upper] - closed[upper]).mean() < 0.5


def test_no_head_motion_and_a_closed_mouth_give_nearly_the_picture():
    drawn = draw_face(128, 2, mouth_open=-0.084)
    frame = TalkingFace(drawn).frame(control(), STILL).astype(float)
    assert np.abs(frame - drawn.image).mean() < 2.0


def test_frames_are_smooth_and_the_same_each_time():
    phones = [
        Phone(name, k * 0.09, (k + 1) * 0.09)
        for k, name in enumerate(["m", "aI", "b", "oU", "t", "I", "z"] * 4)
    ]
    controls, head = controls_of(phones, 0.1, 40), head_of(40, rng_of(4, "head"))
    face = TalkingFace(draw_face(96, 3))
    frames = list(face.frames(controls, head))
    again = list(TalkingFace(draw_face(96, 3)).frames(controls, head))
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))
    jumps = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]
    assert 0.1 < np.mean(jumps) < 6
    assert max(jumps) < 12


def test_heads_move_little_and_blink_now_and_then():
    motion = np.concatenate([head_of(75, rng_of(seed, "head")) for seed in range(40)])
    named = dict(zip(HEAD, motion.T, strict=True))
    assert np.abs(motion[:, :6]).max() < 0.25
    assert 0.02 < (named["blink"] > 0.5).mean() < 0.12
    assert np.abs(np.diff(head_of(75, rng_of(1, "head"))[:, :6], axis=0)).max() < 0.03


def test_a_face_without_landmarks_is_refused():
    with pytest.raises(ForgeryError, match="no landmarks"):
        TalkingFace(draw_face(64).model_copy(update={"landmarks": None, "landmark_scheme": None}))


def test_lips_of_a_pose_never_cross():
    shape = shape_model().mean.copy()
    shape[at(14)[0], 1] = shape[at(13)[0], 1] - 0.05  # lower lip above the upper one, as a landmarker may say
    face = FaceShape(shape, Style())
    for values in ({"close": 1.0}, {"tuck": 1.0}, {"open": 1.0}, {"open": 0.4, "tuck": 0.5}):
        posed = face.posed(control(**values), STILL)
        assert (posed.lower[:, 1] >= posed.upper[:, 1] - 0.03).all(), values
