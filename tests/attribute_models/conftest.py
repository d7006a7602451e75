"""A drawn face (no real person) and a small folder of labelled pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from manifests.taxonomy import AGES, GENDERS, get_taxonomy

EYES_AND_MOUTH = np.array([[0.4, 0.43], [0.6, 0.43], [0.415, 0.68], [0.585, 0.68]])


def _draw(size: int) -> np.ndarray:
    side = size * 4
    image = np.full((side, side, 3), (120, 140, 160), np.uint8)

    def oval(centre, axes, colour, start=0, stop=360, width=-1):
        at, half = [tuple(round(v * side) for v in pair) for pair in (centre, axes)]
        cv2.ellipse(image, at, half, 0, start, stop, colour, width, cv2.LINE_AA)

    oval((0.5, 0.42), (0.30, 0.36), (50, 35, 25))
    oval((0.5, 0.5), (0.25, 0.33), (205, 160, 130))
    for x in (0.4, 0.6):
        oval((x, 0.43), (0.055, 0.028), (245, 245, 245))
        oval((x, 0.43), (0.025, 0.027), (60, 40, 30))
        oval((x, 0.43), (0.011, 0.012), (5, 5, 5))
        oval((x, 0.385), (0.07, 0.025), (55, 38, 28), 195, 345, side // 60)
    oval((0.5, 0.56), (0.035, 0.025), (164, 128, 104), 0, 180, side // 90)
    for x in (0.475, 0.525):
        oval((x, 0.575), (0.012, 0.008), (90, 55, 45))
    oval((0.5, 0.68), (0.085, 0.03), (165, 70, 70))
    oval((0.5, 0.675), (0.08, 0.006), (90, 30, 30))
    blurred = cv2.GaussianBlur(image, (0, 0), size / 32)
    return cv2.resize(blurred, (size, size), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="session")
def draw_face() -> Callable[[int], np.ndarray]:
    """`draw_face(size)`: uint8 [size, size, 3]."""
    return _draw


@pytest.fixture(scope="session")
def face_marks() -> np.ndarray:
    """Eye centres and mouth corners of the drawn face, in units of its side: float [4, 2]."""
    return EYES_AND_MOUTH


def _webp(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def faces_file(tmp_path_factory) -> Path:
    """A parquet file of 48 random 32 px pictures in the FairFace layout, one of them with an unknown race."""
    rng = np.random.default_rng(0)
    races = get_taxonomy("fairface7").races
    rows = []
    for i in range(48):
        mesh = rng.uniform(4, 28, (148, 2)) * 64
        rows.append(
            {
                "file": f"{i}.jpg",
                "race": races[i % 7] if i else "Martian",
                "gender": GENDERS[i % 2],
                "age": AGES[i % 9],
                "image": _webp(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)),
                "mesh148_x64": mesh.astype(np.int16).reshape(-1).tolist(),
            }
        )
    path = tmp_path_factory.mktemp("faces") / "faces.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path
