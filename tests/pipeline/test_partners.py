"""Second faces: same cell and split, another identity, and the kind the method asks for."""

from __future__ import annotations

import numpy as np
import pytest

from generators.forgeries.shape_model import MEASURES, shape_model
from manifests.seeding import rng_of
from pipeline.stages.forge import partners
from pipeline.stages.forge.partners import TRIES, Partners, measures_of, shape_of
from pipeline.stages.verify.faces import VerifiedFace


def row(
    name: str, cell: str = "White/Male", split: str = "train", identity: str = "", **measures: float
) -> VerifiedFace:
    model = shape_model()
    delta = np.array([measures.get(m, 0.0) for m in MEASURES])
    points = 30 + 20 * (model.mean + np.tensordot(delta, model.modes, 1))
    return VerifiedFace(
        name,
        cell=cell,
        split=split,
        identity_id=identity or name,
        landmarks=points.astype(np.float32).reshape(-1).tolist(),
    )


def crowd() -> list[VerifiedFace]:
    draw = np.random.default_rng(0)
    return [
        row(f"f{i:02}", yaw=float(draw.normal(0, 0.15)), mouth_open=float(abs(draw.normal(0, 0.1))))
        for i in range(40)
    ]


def test_only_other_identities_of_the_cell_and_split():
    target = row("t")
    others = [
        row("same", identity="t"),
        row("cell", cell="Black/Male"),
        row("split", split="test"),
        row("good"),
    ]
    partners = Partners([target, *others])
    for kind in ("near", "nearest", "moving"):
        assert [f.image_id for f in partners.draw(target, rng_of(1, kind), kind)] == ["good"]
    assert Partners([target]).draw(target, rng_of(1)) == []


def test_nearest_is_the_nearest_by_brute_force():
    faces = crowd()
    drawn = Partners(faces).draw(faces[0], rng_of(1), "nearest")
    gaps = {
        f.image_id: np.linalg.norm(shape_of(f.landmarks) - shape_of(faces[0].landmarks)) for f in faces[1:]
    }
    assert [f.image_id for f in drawn] == sorted(gaps, key=gaps.__getitem__)[:TRIES]


def test_moving_partners_differ_more_in_what_moves_than_near_ones():
    faces = crowd()
    partners = Partners(faces)
    gaps = {}
    for kind in ("near", "moving"):
        gaps[kind] = np.mean(
            [
                abs(
                    measures_of(partners.draw(f, rng_of(1, f.image_id), kind, ("mouth_open",))[0].landmarks)[
                        "mouth_open"
                    ]
                    - measures_of(f.landmarks)["mouth_open"]
                )
                for f in faces
            ]
        )
    assert gaps["moving"] > 1.5 * gaps["near"]


@pytest.mark.parametrize("kind", ["near", "nearest", "moving"])
def test_fewer_tries_are_the_first_of_more(kind: str):
    """So a set that is forged with more tries keeps every fake that it had."""
    faces = crowd()
    partners = Partners(faces)
    most = [f.image_id for f in partners.draw(faces[3], rng_of(9), kind, ("mouth_open",), 24)]
    assert len(most) == len(set(most)) > TRIES
    for tries in (1, TRIES, 12):
        drawn = partners.draw(faces[3], rng_of(9), kind, ("mouth_open",), tries)
        assert [f.image_id for f in drawn] == most[:tries]


def test_draws_are_seeded():
    faces = crowd()
    partners = Partners(faces)
    for kind in ("near", "nearest", "moving"):
        one, two = (partners.draw(faces[3], rng_of(9, kind), kind) for _ in range(2))
        assert [f.image_id for f in one] == [f.image_id for f in two]
    names = {tuple(f.image_id for f in partners.draw(faces[3], rng_of(s))) for s in range(5)}
    assert len(names) > 1


def test_near_ones_are_drawn_of_the_nearer_half_as_by_brute_force():
    faces = crowd()
    partners = Partners(faces[::-1])
    for target in faces[:10]:
        gaps = {
            f.image_id: np.linalg.norm(shape_of(f.landmarks) - shape_of(target.landmarks))
            for f in faces
            if f is not target
        }
        nearer = sorted(gaps, key=lambda name: (gaps[name], name))[: len(gaps) // 2]
        expected = [nearer[k] for k in rng_of(3, target.image_id).permutation(len(nearer))[:TRIES]]
        assert [f.image_id for f in partners.draw(target, rng_of(3, target.image_id))] == expected


def test_equally_near_ones_come_by_image_id():
    faces = [row(f"f{i:02}", yaw=0.1 * (i % 3)) for i in range(40)]
    pool = Partners(faces)
    for target in faces[:20]:
        alike = [f.image_id for f in faces if f is not target and f.landmarks == target.landmarks]
        drawn = [f.image_id for f in pool.draw(target, rng_of(1, target.image_id), "nearest")]
        assert drawn == alike[:TRIES]


def test_a_large_pool_is_cut_into_parts_that_all_are_used(monkeypatch):
    """A target has second faces of its own part alone, and every face is in one."""
    monkeypatch.setattr(partners, "POOL", 20)
    rng = np.random.default_rng(0)
    faces = [
        VerifiedFace(
            f"{k:04d}",
            cell="c",
            split="train",
            identity_id=f"p{k}",
            landmarks=rng.normal(size=20).tolist(),
        )
        for k in range(103)
    ]
    pool = partners.Partners(faces)
    parts = [pool.pools[("c", None, "train")].neighbourhood(face.image_id) for face in faces]
    assert len({part.start for part in parts}) == 5
    assert all(part.start <= k < part.stop for k, part in enumerate(parts))
    assert sorted({k for part in parts for k in range(103)[part]}) == list(range(103))
    for face, part in zip(faces, parts, strict=True):
        drawn = pool.draw(face, np.random.default_rng(1))
        assert len(drawn) == partners.TRIES
        assert all(part.start <= int(one.image_id) < part.stop and one is not face for one in drawn)
