"""What holds for every registered forgery, whatever it does."""

from __future__ import annotations

import contextlib
import json
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest

from generators import forgeries
from generators.forgeries import FORGERIES, Forgery, ForgeryError
from manifests.errors import DataError, UsageError
from manifests.records import Face
from tests.generators_forgeries.drawn_faces import draw_face
from tests.generators_forgeries.latent_faces import build, with_latent

NAMES = FORGERIES.names()


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def pair(size: int = 64) -> tuple[Face, Face]:
    target = draw_face(size, 0, "t", "White/Male")
    other = draw_face(size, 1, "s", "White/Male", mouth_open=0.12, yaw=0.05, corner_drop=-0.08)
    return with_latent(target, 0), with_latent(other, 1)


def make(name: str, size: int = 64, seed: int = 5) -> Forgery:
    return build(name).forge(*pair(size), rng(seed))


def test_the_three_families_are_there():
    assert {(e.name, e.family, e.facts["uses"]) for e in FORGERIES.entries()} >= {
        ("swap-delaunay", "swap", "source"),
        ("blend-self", "blend", "none"),
        ("reenact-warp", "reenact", "driver"),
    }
    assert all("mesh148" in e.facts["schemes"] and e.summary and e.paper for e in FORGERIES.entries())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [64, 128, 300])
def test_shape_type_and_untouched_outside(name, size):
    target, other = pair(size)
    made = build(name).forge(target, other, rng())
    assert made.image.shape == target.image.shape
    assert made.mask.shape == target.image.shape[:2]
    assert made.image.dtype == made.mask.dtype == np.uint8
    outside = made.mask == 0
    assert outside.any()
    assert (made.image[outside] == target.image[outside]).all()
    assert (made.image != target.image).any(2).mean() > 0.02
    rim = np.concatenate([made.mask[[0, -1]].ravel(), made.mask[:, [0, -1]].ravel()])
    assert not rim.any()


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_not_changed(name):
    target, other = pair()
    kept = (
        [face.image.copy() for face in (target, other)],
        [face.landmarks.copy() for face in (target, other)],
    )
    for face in (target, other):
        face.image.setflags(write=False)
        face.landmarks.setflags(write=False)
    build(name).forge(target, other, rng())
    for face, image, points in zip((target, other), *kept, strict=True):
        np.testing.assert_array_equal(face.image, image)
        np.testing.assert_array_equal(face.landmarks, points)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bytes_other_seed_other_bytes(name):
    first, again, other = make(name), make(name), make(name, seed=6)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert first.record == again.record
    assert (first.image != other.image).any()


@pytest.mark.parametrize("name", NAMES)
def test_threads_do_not_matter(name):
    before = cv2.getNumThreads()
    try:
        images = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            images.append(make(name, 128).image)
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("name", NAMES)
def test_record_says_who_and_how(name):
    entry, record = FORGERIES.get(name), make(name).record
    assert (record.method, record.family) == (name, entry.family)
    assert (record.target_id, record.target_cell) == ("t", "White/Male")
    uses = entry.facts["uses"]
    assert record.source_id == ("s" if uses == "source" else None)
    assert record.source_cell == ("White/Male" if uses == "source" else None)
    assert record.driver_id == ("s" if uses == "driver" else None)
    assert record.seed == 5
    assert record.licence == entry.licence
    assert record.params
    assert json.loads(json.dumps(record.params)) == record.params


@pytest.mark.parametrize("name", NAMES)
def test_other_sizes_of_the_second_face_fit(name):
    made = build(name).forge(pair(64)[0], pair(256)[1], rng())
    assert made.image.shape == (64, 64, 3)


def spoiled(kind: str) -> np.ndarray:
    points = draw_face(64).landmarks.copy()
    if kind == "nan":
        points[3, 1] = np.nan
    elif kind == "infinite":
        points[0] = np.inf
    elif kind == "equal":
        points[:] = 30
    elif kind == "line":
        points[:, 1] = points[:, 0]
    elif kind == "outside":
        points += 200
    elif kind == "tiny":
        points = 30 + points / 10
    elif kind == "mirrored":
        points[:, 0] = 64 - points[:, 0]
    elif kind == "few":
        points = points[:20]
    return points.astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["nan", "infinite", "equal", "line", "outside", "tiny", "mirrored", "few"])
def test_degenerate_landmarks_are_refused(name, kind):
    target, other = pair()
    bad = target.model_copy(update={"landmarks": spoiled(kind)})
    with pytest.raises(DataError) as caught:
        build(name).forge(bad, other, rng())
    assert caught.value.reason == "degenerate_landmarks"
    if FORGERIES.get(name).facts["uses"] != "none":
        with pytest.raises(ForgeryError) as caught:
            build(name).forge(target, bad, rng())
        assert caught.value.reason == "degenerate_landmarks"


@pytest.mark.parametrize("name", NAMES)
def test_landmarks_are_needed_and_of_a_known_scheme(name):
    target, other = pair()
    for update, reason in (
        ({"landmarks": None, "landmark_scheme": None}, "no_landmarks"),
        ({"landmark_scheme": "five"}, "landmark_scheme"),
    ):
        with pytest.raises(ForgeryError) as caught:
            build(name).forge(target.model_copy(update=update), other, rng())
        assert caught.value.reason == reason
        assert caught.value.fix


@pytest.mark.parametrize("name", NAMES)
def test_random_landmarks_never_crash(name):
    target, other = pair()
    forger, made_of = build(name), []
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(0, 2.0 + 3 * seed, (148, 2)).astype(np.float32)
        odd = target.model_copy(update={"landmarks": target.landmarks + noise})
        for faces in ((odd, other), (other, odd)):
            with contextlib.suppress(ForgeryError):
                made = forger.forge(*faces, rng(seed))
                outside = made.mask == 0
                assert (made.image[outside] == faces[0].image[outside]).all()
                made_of.append(seed)
    assert len(made_of) >= 2, "landmarks that are a little off are good enough for a fake"


def test_second_face_is_asked_for():
    for name in [e.name for e in FORGERIES.entries() if e.facts["uses"] != "none"]:
        with pytest.raises(UsageError, match="needs a"):
            build(name).forge(pair()[0], None, rng())
    forgeries.get("blend-self")().forge(pair()[0], None, rng())


def test_unknown_name_and_parameters():
    with pytest.raises(UsageError, match="did you mean swap-delaunay"):
        forgeries.get("swap-delauney")
    with pytest.raises(UsageError, match="featherr"):
        forgeries.get("swap-delaunay")({"featherr": 1})


def test_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ForgeryError("pose_gap", "face", "why", "fix")))
    assert (error.reason, error.what, error.why, error.fix) == ("pose_gap", "face", "why", "fix")


def test_import_is_light():
    code = (
        "import sys, generators.forgeries; print([m for m in ('cv2', 'scipy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
