"""The gates of a fake: what they measure, on pictures whose answer is known, and whom they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generators.forgeries.shape_model import MEASURES, shape_model
from pipeline.engine.config_fakes import ForgeSection
from pipeline.faces.landmark_batches import alone, together
from pipeline.faces.picture import IdentityReader
from pipeline.stages.forge.fakes import Fake
from pipeline.stages.forge.gates import (
    REASONS,
    Figures,
    Person,
    measure_fake,
    refuse,
    seam_excess,
    transferred_share,
)
from pipeline.stages.forge.making import Item, Target, attempts
from pipeline.stages.forge.stage import gate_figures
from pipeline.stages.verify.faces import VerifiedFace

LIMITS = ForgeSection()
GOOD = {"mask_share": 0.3, "seam": 0.5, "face_found": True}


def points(**measures: float) -> np.ndarray:
    model = shape_model()
    delta = np.array([measures.get(m, 0.0) for m in MEASURES])
    return (64 + 40 * (model.mean + np.tensordot(delta, model.modes, 1)) - [0, 20]).astype(np.float32)


def disc(radius: float) -> np.ndarray:
    y, x = np.mgrid[:128, :128]
    return (255 * np.clip(radius + 0.5 - np.hypot(x - 64, y - 64), 0, 1)).astype(np.uint8)


def test_seam_is_nought_for_no_change_and_grows_with_the_step():
    target = np.random.default_rng(0).integers(90, 110, (128, 128, 3)).astype(np.uint8)
    mask = disc(40)
    assert seam_excess(target, target, mask, 64) == 0
    seams = []
    for step in (10, 40, 80):
        fake = target.copy()
        fake[mask > 127] += np.uint8(step)
        seams.append(seam_excess(target, fake, mask, 64))
    assert 0 < seams[0] < seams[1] < seams[2]
    assert seams[2] > LIMITS.max_seam


def test_a_soft_edge_shows_less_seam_than_a_hard_one():
    target = np.full((128, 128, 3), 100, np.uint8)
    y, x = np.mgrid[:128, :128]
    soft = (255 * np.clip((50 - np.hypot(x - 64, y - 64)) / 20, 0, 1)).astype(np.uint8)
    seams = [
        seam_excess(target, (100 + 60 * (mask / 255)[..., None] * np.ones(3)).astype(np.uint8), mask, 64)
        for mask in (disc(40), soft)
    ]
    assert seams[1] < 0.5 * seams[0]


def test_an_edge_that_was_in_the_target_is_no_seam():
    mask = disc(40)
    target = np.full((128, 128, 3), 60, np.uint8)
    target[mask > 127] = 160
    assert (
        abs(seam_excess(target, np.clip(target.astype(int) + 20, 0, 255).astype(np.uint8), mask, 64)) < 1e-9
    )


@pytest.mark.parametrize(("arrived", "share"), [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (-0.1, -0.5)])
def test_transferred_share_is_the_part_of_the_motion_that_arrived(arrived, share):
    found = transferred_share(points(), points(mouth_open=arrived), points(mouth_open=0.2), ("mouth_open",))
    assert found == pytest.approx(share, abs=0.03)


def test_no_motion_has_no_share():
    assert transferred_share(points(), points(), points(), MEASURES) is None


@pytest.mark.parametrize(
    ("family", "figures", "reason"),
    [
        ("swap", GOOD, None),
        ("blend", GOOD | {"mask_share": 0.001}, "mask_too_small"),
        ("blend", GOOD | {"mask_share": 0.99}, "mask_too_large"),
        ("blend", GOOD | {"seam": 30.0}, "visible_seam"),
        ("blend", GOOD | {"face_found": False}, "lost_face"),
        ("swap", GOOD | {"to_target": 0.3, "to_other": 0.5}, "identity_not_moved"),
        ("swap", GOOD | {"to_target": 0.5, "to_other": 0.3}, None),
        ("reenact", GOOD | {"to_target": 0.7, "to_other": 0.8}, "identity_not_kept"),
        ("reenact", GOOD | {"to_target": 0.2, "transferred": 0.1}, "little_motion"),
        ("reenact", GOOD | {"to_target": 0.2, "transferred": 0.8}, None),
        ("blend", GOOD | {"to_target": 0.9, "transferred": 0.0}, None),
    ],
)
def test_each_gate_refuses_what_it_is_for(family: str, figures: dict[str, Any], reason: str | None):
    found = refuse(Figures(**figures), family, LIMITS)
    assert found == reason
    assert found is None or found in REASONS


class Reader:
    """Finds the face where it is told, and calls the mean colour of the face's middle its identity."""

    def __init__(self, at: np.ndarray | None, seen: np.ndarray) -> None:
        self.at, self.seen = at, seen
        self.batches: list[int] = []

    def fives(self, image: np.ndarray) -> list[tuple[np.ndarray, float]]:
        from manifests.mesh148 import five_of

        return [] if self.at is None else [(five_of(self.at), 0.99)]

    def points_of(self, asks: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        self.batches.append(len(asks))
        return [self.seen if image[0, 0, 0] else points for image, points in asks]

    def embed(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        return image[60:68, 60:68].mean((0, 1)).astype(np.float32) / 255


def test_a_fake_is_measured_against_both_faces():
    target, fake, mask = np.zeros((128, 128, 3), np.uint8), np.full((128, 128, 3), 255, np.uint8), disc(40)
    people = Person(points(), np.zeros(3, np.float32)), Person(points(mouth_open=0.2), np.ones(3, np.float32))
    reader: Any = Reader(points(), points(mouth_open=0.15))
    swap = alone(reader, measure_fake(reader, "swap", (), (target, fake, mask), *people))
    assert (swap.to_target, swap.to_other, swap.transferred) == (pytest.approx(3**0.5), 0.0, None)
    assert swap.face_found
    reenact = alone(reader, measure_fake(reader, "reenact", ("mouth_open",), (target, fake, mask), *people))
    assert reenact.transferred == pytest.approx(0.75, abs=0.05)
    blend = alone(reader, measure_fake(reader, "blend", (), (target, fake, mask), people[0], None))
    assert (blend.to_target, blend.transferred) == (None, None)
    assert blend.mask_share == pytest.approx((mask > 0).mean())


def test_side_by_side_fakes_share_batches_and_get_the_figures_of_one_alone():
    target, mask = np.zeros((128, 128, 3), np.uint8), disc(40)
    fakes = [np.full((128, 128, 3), value, np.uint8) for value in (255, 128, 0)]
    people = Person(points(), np.zeros(3, np.float32)), Person(points(mouth_open=0.2), np.ones(3, np.float32))
    reader: Any = Reader(points(), points(mouth_open=0.15))

    def works() -> list[Any]:
        return [
            measure_fake(reader, family, ("mouth_open",), (target, fake, mask), *people)
            for fake in fakes
            for family in ("reenact", "blend", "swap")
        ]

    assert together(reader, works()) == [alone(reader, work) for work in works()]
    assert reader.batches[:2] == [6, 3]
    assert set(reader.batches[2:]) == {1}
    assert together(None, []) == []


def test_landmarks_of_many_faces_are_those_of_each_alone():
    reader = IdentityReader("mtcnn", "fairforge-mesh148", "dlib-resnet", 0.9)
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)
    asks = [(image, points() * 96 / 128 + k) for k, image in enumerate(images)]
    for one, found in zip(asks, reader.points_of(asks), strict=True):
        np.testing.assert_array_equal(found, reader.points_of([one])[0])


def test_a_face_found_elsewhere_is_lost():
    images = np.zeros((128, 128, 3), np.uint8), np.zeros((128, 128, 3), np.uint8), disc(40)
    for at, found in ((None, False), (points() + 40, False), (points() + 3, True)):
        reader: Any = Reader(at, points())
        assert (
            alone(reader, measure_fake(reader, "blend", (), images, Person(points()), None)).face_found
            is found
        )


def test_tries_are_other_faces_or_other_draws():
    target, a, b = (Target(VerifiedFace(name)) for name in "tab")
    assert attempts(Item("m", target, True, (a, b), 5), 6) == [(5, a), (5, b)]
    draws = attempts(Item("m", target, False, (), 5), 6)
    assert draws[0] == (5, None)
    assert len({seed for seed, _ in draws}) == len(draws) == 6
    assert attempts(Item("m", target, False, (), 5), 9)[:6] == draws


def test_reasons_are_counted_per_method():
    def fake(method: str, status: str, **values: Any) -> Fake:
        return Fake("i", method, "swap", "t", "c", "test", 1, status, **values)

    rows = [
        fake("m", "accepted", refused=["visible_seam"], seam=1.0),
        fake("m", "rejected", reason="pose_gap", refused=["visible_seam", "pose_gap"]),
        fake("n", "rejected", reason="no_partner_in_cell_and_split"),
    ]
    figures = gate_figures(rows)
    assert figures["m"]["refused_tries"] == {"pose_gap": 1, "visible_seam": 2}
    assert (figures["m"]["attempted"], figures["m"]["accepted"]) == (2, 1)
    assert figures["m"]["figures"]["seam"] == 1.0
    assert figures["n"]["rejected"] == {"no_partner_in_cell_and_split": 1}
