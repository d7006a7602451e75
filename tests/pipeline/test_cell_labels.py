"""Latents are labelled on the workers, in pieces: the same labels as in one piece."""

import numpy as np

from pipeline.engine.executors import Executor
from pipeline.stages.cells.labelling import CHUNK, Labelling, _label, label_on


def test_pieces_are_the_whole() -> None:
    payload = Labelling("starter64", "fairforge-small", "cpu", "fairface4")
    w = np.random.default_rng(0).normal(0, 0.3, (CHUNK + 6, 128)).astype(np.float32)
    whole = _label(payload, w)
    with Executor("local", 1) as executor:
        pieces = label_on(executor, payload, w)
    assert [part.shape for part in pieces] == [(CHUNK + 6, 4), (CHUNK + 6, 2)]
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)
