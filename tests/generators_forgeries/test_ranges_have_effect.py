"""A parameter does what it is named for, not only what a further random number does to all that is drawn
after it: two values are compared that draw equally often.
"""

from __future__ import annotations

import contextlib
import typing

import pytest

from generators.forgeries import FORGERIES, ForgeryError
from manifests.seeding import rng_of
from tests.generators_forgeries.drawn_faces import draw_face
from tests.generators_forgeries.latent_faces import build, with_latent

RANGES = [
    (method, name)
    for method in FORGERIES.names()
    for name, field in FORGERIES.get(method).params.model_fields.items()
    if field.annotation == tuple[float, float]
]
ON = {"bend": (0.02, 0.04)}
"""Ranges that are off by default."""


def fakes(method: str, **params: typing.Any) -> list[bytes]:
    target = with_latent(draw_face(96, 0, "t", "White/Male"), 0)
    other = with_latent(draw_face(96, 1, "s", "White/Male", mouth_open=0.12, yaw=0.05, corner_drop=-0.08), 1)
    made = []
    for k in range(6):
        with contextlib.suppress(ForgeryError):
            made.append(build(method, **params).forge(target, other, rng_of(k, method)).image.tobytes())
    return made


def test_the_walk_is_long() -> None:
    assert len(RANGES) > 40
    assert {name for _, name in RANGES} >= {"bend", "feather", "relight", "strength", "smoothing"}


@pytest.mark.parametrize(("method", "name"), RANGES)
def test_every_range_changes_the_fake_itself(method: str, name: str) -> None:
    low, high = ON.get(name, FORGERIES.get(method).params.model_fields[name].default)
    assert low < high
    least, most = (fakes(method, **{name: (value, value)}) for value in (low, high))
    assert least
    assert least != most


class Read(dict):
    """A dictionary that knows which of its values were asked for."""

    def __init__(self, *args: typing.Any) -> None:
        super().__init__(*args)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> typing.Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: typing.Any = None) -> typing.Any:
        self.asked.add(key)
        return super().get(key, default)


EVERYTHING = {
    "blend-self": {"side": "either", "resample": 1.0, "hulls": "any", "bend": (0.01, 0.02)},
    "blend-neural": {"side": "either", "resample": 1.0, "hulls": "any", "bend": (0.01, 0.02)},
}
"""Parameters with which a method draws all that it can draw."""


@pytest.mark.parametrize("method", [name for name in FORGERIES.names() if hasattr(build(name), "_draw")])
def test_what_is_drawn_is_used(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forger = build(method, **EVERYTHING.get(method, {}))
    draw, drawn, names = forger._draw, [], set()

    def watched(*args: typing.Any) -> Read:
        drawn.append(Read(draw(*args)))
        names.update(drawn[-1])
        return drawn[-1]

    monkeypatch.setattr(forger, "_draw", watched)
    target = draw_face(96, 0, "t", "White/Male")
    other = draw_face(96, 1, "s", "White/Male", mouth_open=0.12, yaw=0.05, corner_drop=-0.08)
    for k in range(16):
        forger.forge(target, other, rng_of(k, method))
    asked = set.union(*(one.asked for one in drawn))
    assert names
    assert sorted(names - asked) == []
