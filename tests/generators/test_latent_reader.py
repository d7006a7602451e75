"""Several latent readers averaged into one: what the average is, and that it foretells better."""

import numpy as np
import pytest

from generators.cells.reader import HIDDEN, train_reader

DIM, CLASSES = 12, 3


def _world(n: int, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Latents and labels that are noisy, so that a single network overfits."""
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((n, DIM))
    logits = 2 * u[:, :CLASSES] * u[:, CLASSES : 2 * CLASSES] + rng.standard_normal((n, CLASSES))
    race = np.eye(CLASSES)[logits.argmax(1)]
    gender = np.eye(2)[(u[:, -1] + 0.5 * rng.standard_normal(n) > 0).astype(int)]
    return u, [race, gender]


@pytest.fixture(scope="module")
def readers():
    u, labels = _world(400, 1)
    return {members: train_reader(u, labels, 7, members) for members in (1, 6)}


def _loss(reader) -> float:
    u, labels = _world(2000, 2)
    return float(sum(-(y * p).sum(1).mean() for y, p in zip(labels, reader.log_probabilities(u), strict=True)))


def test_one_member_is_the_reader_itself(readers):
    again = train_reader(*_world(400, 1), 7)
    np.testing.assert_array_equal(again.hidden, readers[1].hidden)
    np.testing.assert_array_equal(again.output, readers[1].output)


def test_members_are_joined_into_one_wider_network(readers):
    reader = readers[6]
    assert reader.hidden.shape == (6 * HIDDEN, DIM)
    assert reader.output.shape == (CLASSES + 2, 6 * HIDDEN)
    np.testing.assert_array_equal(reader.hidden[:HIDDEN], readers[1].hidden)
    assert not np.allclose(reader.hidden[HIDDEN : 2 * HIDDEN], readers[1].hidden)


def test_its_logits_are_the_mean_of_the_members(readers):
    reader, u = readers[6], _world(50, 3)[0]
    members = [
        type(reader)(
            reader.hidden[k : k + HIDDEN], reader.hidden_bias[k : k + HIDDEN], 6 * reader.output[:, k : k + HIDDEN],
            readers[1].output_bias * 0, reader.sizes,
        )
        for k in range(0, 6 * HIDDEN, HIDDEN)
    ]
    mean = [np.mean([m.log_probabilities(u)[axis] for m in members], axis=0) for axis in range(2)]
    bias = np.split(reader.output_bias, [CLASSES])
    for axis in range(2):
        log = mean[axis] + bias[axis]
        log -= np.log(np.exp(log).sum(1, keepdims=True))
        np.testing.assert_allclose(reader.log_probabilities(u)[axis], log, atol=1e-9)


def test_the_average_foretells_better_than_one(readers):
    assert _loss(readers[6]) < _loss(readers[1]) - 0.02
