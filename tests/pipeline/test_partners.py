"""Second faces: same cell and split, another identity, and the kind the method asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.forgeries.shape_model import MEASURES, shape_model
from manifests.seeding import rng_of
from pipeline.stages.forge.partners import TRIES, Partners, measures_of, shape_of


def row(
    name: str, cell: str = "White/Male", split: str = "train", identity: str = "", **measures: float
) -> dict[str, Any]:
    model = shape_model()
    delta = np.array([measures.get(m, 0.0) for m in MEASURES])
    points = 30 + 20 * (model.mean + np.tensordot(delta, model.modes, 1))
    return {
        "image_id": name,
        "cell": cell,
        "split": split,
        "identity_id": identity or name,
        "landmarks": points.astype(np.float32).reshape(-1).tolist(),
    }


def crowd() -> list[dict[str, Any]]:
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
        assert [f["image_id"] for f in partners.draw(target, rng_of(1, kind), kind)] == ["good"]
    assert Partners([target]).draw(target, rng_of(1)) == []


def test_nearest_is_the_nearest_by_brute_force():
    faces = crowd()
    drawn = Partners(faces).draw(faces[0], rng_of(1), "nearest")
    gaps = {f["image_id"]: np.linalg.norm(shape_of(f) - shape_of(faces[0])) for f in faces[1:]}
    assert [f["image_id"] for f in drawn] == sorted(gaps, key=gaps.__getitem__)[:TRIES]


def test_moving_partners_differ_more_in_what_moves_than_near_ones():
    faces = crowd()
    partners = Partners(faces)
    gaps = {}
    for kind in ("near", "moving"):
        gaps[kind] = np.mean(
            [
                abs(
                    measures_of(partners.draw(f, rng_of(1, f["image_id"]), kind, ("mouth_open",))[0])[
                        "mouth_open"
                    ]
                    - measures_of(f)["mouth_open"]
                )
                for f in faces
            ]
        )
    assert gaps["moving"] > 1.5 * gaps["near"]


def test_draws_are_seeded():
    faces = crowd()
    partners = Partners(faces)
    for kind in ("near", "nearest", "moving"):
        one, two = (partners.draw(faces[3], rng_of(9, kind), kind) for _ in range(2))
        assert [f["image_id"] for f in one] == [f["image_id"] for f in two]
    names = {tuple(f["image_id"] for f in partners.draw(faces[3], rng_of(s))) for s in range(5)}
    assert len(names) > 1


def test_near_ones_are_drawn_of_the_nearer_half_as_by_brute_force():
    faces = crowd()
    partners = Partners(faces[::-1])
    for target in faces[:10]:
        gaps = {
            f["image_id"]: np.linalg.norm(shape_of(f) - shape_of(target)) for f in faces if f is not target
        }
        nearer = sorted(gaps, key=lambda name: (gaps[name], name))[: len(gaps) // 2]
        expected = [nearer[k] for k in rng_of(3, target["image_id"]).permutation(len(nearer))[:TRIES]]
        assert [f["image_id"] for f in partners.draw(target, rng_of(3, target["image_id"]))] == expected
