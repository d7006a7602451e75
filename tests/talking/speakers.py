"""Drawn faces that speak; whether espeak-ng is here."""

import pytest

from generators.talking.scenes import Scene
from generators.talking.speech import espeak_library
from tests.generators_forgeries.drawn_faces import draw_face

NEEDS_ESPEAK = pytest.mark.skipif(espeak_library() is None, reason="espeak-ng is not installed")
FRAMES = 15


def scene(seed: int, size: int = 64, **measures: float) -> Scene:
    """Part of a second of a drawn face that speaks."""
    face = draw_face(size, seed, cell="White/Male", **measures)
    return Scene(face.model_copy(update={"gender": "Male"}), 5, FRAMES)
