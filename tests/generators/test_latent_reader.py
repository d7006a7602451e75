"""Latent readers: what they foretell, what the average of several is, and their arrays in a file."""

import numpy as np
import pytest

from generators.cells.reader import LatentReader, train_reader

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
    return float(
        sum(-(y * p).sum(1).mean() for y, p in zip(labels, reader.log_probabilities(u), strict=True))
    )


def test_one_member_is_the_same_each_time_and_the_first_of_several(readers):
    again = train_reader(*_world(400, 1), 7)
    for other in (readers[1], readers[6]):
        for (weight, bias), (weight_2, bias_2) in zip(again.members[0], other.members[0], strict=True):
            np.testing.assert_array_equal(weight, weight_2)
            np.testing.assert_array_equal(bias, bias_2)
    assert len(readers[6].members) == 6
    assert not np.allclose(readers[6].members[0][0][0], readers[6].members[1][0][0])


def test_its_logits_are_the_mean_of_the_members(readers):
    reader, u = readers[6], _world(50, 3)[0]
    alone = [LatentReader((member,), reader.sizes).log_probabilities(u) for member in reader.members]
    mean = [np.mean([log[axis] for log in alone], axis=0) for axis in (0, 1)]
    for axis in (0, 1):
        log = mean[axis] - np.log(np.exp(mean[axis]).sum(1, keepdims=True))
        np.testing.assert_allclose(reader.log_probabilities(u)[axis], log, atol=1e-9)


def test_arrays_make_the_reader_again(readers):
    reader, u = readers[6], _world(50, 3)[0]
    again = LatentReader.from_arrays(reader.arrays(), reader.sizes)
    for one, other in zip(reader.log_probabilities(u), again.log_probabilities(u), strict=True):
        np.testing.assert_array_equal(one, other)
    assert LatentReader.from_arrays({"mean": u}, reader.sizes) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda a: {k: v for k, v in a.items() if k != "reader.0.1.bias"},
        lambda a: {**a, "reader.0.1.weight": a["reader.0.1.weight"][:-1]},
        lambda a: {
            **a,
            "reader.0.2.bias": a["reader.0.2.bias"][:-1],
            "reader.0.2.weight": a["reader.0.2.weight"][:-1],
        },
    ],
)
def test_arrays_that_do_not_fit_are_refused(readers, change):
    with pytest.raises((KeyError, ValueError)):
        LatentReader.from_arrays(change(readers[1].arrays()), readers[1].sizes)


def test_two_layers_foretell_a_product_of_latents(readers):
    """Classes hang on products of two coordinates each: no linear reader tells them."""
    u, (race, _) = _world(2000, 2)
    right = (readers[6].log_probabilities(u)[0].argmax(1) == race.argmax(1)).mean()
    assert right > 0.5


def test_the_average_foretells_better_than_one(readers):
    assert _loss(readers[6]) < _loss(readers[1]) - 0.02
