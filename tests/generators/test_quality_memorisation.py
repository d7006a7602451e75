"""The memorisation ratio: about 1 for fresh draws, well below 1 for copies; the larger set is cut to the
smaller.
"""

import numpy as np
import pytest

from generators.quality.memorisation import memorisation
from manifests.errors import UsageError


def faces(seed, n):
    return np.random.default_rng(seed).normal(size=(n, 8))


def test_fresh_draws_give_about_one_though_training_is_larger():
    found = memorisation(faces(0, 2000), faces(1, 300), faces(2, 400), seed=3)
    assert found.low < 1 < found.high
    assert found.ratio == pytest.approx(1, abs=0.05)
    assert (found.reference_size, found.repeats, found.n_fake) == (300, 20, 400)


def test_copies_give_much_less():
    training = faces(4, 1000)
    copies = training[:300] + np.random.default_rng(5).normal(0, 0.01, (300, 8))
    found = memorisation(training, faces(6, 900), copies, seed=7)
    # A subset of 900 of 1000 holds about 9 of 10 originals.
    assert found.high < 0.3
    assert found.nearest_training < 0.1 * found.nearest_held_out


def test_a_few_copies_lower_the_ratio_in_proportion():
    training, fresh = faces(8, 500), faces(9, 400)
    some = np.concatenate([training[:100], fresh[:300]])
    found = memorisation(training, faces(10, 500), some, seed=11)
    assert found.ratio == pytest.approx(0.75, abs=0.06)
    assert found.repeats == 1


def test_means_are_those_of_plain_loops():
    training, held, fake = faces(12, 20), faces(13, 20), faces(14, 15)
    found = memorisation(training, held, fake, seed=0)
    for reference, mean in ((training, found.mean_training), (held, found.mean_held_out)):
        slow = np.mean([min(np.linalg.norm(f - r) for r in reference) for f in fake])
        assert mean == pytest.approx(slow, rel=1e-9)
    assert found.ratio == pytest.approx(found.mean_training / found.mean_held_out)


def test_the_larger_held_out_set_is_cut():
    found = memorisation(faces(15, 100), faces(16, 700), faces(17, 200), seed=1)
    assert found.reference_size == 100
    assert found.low < 1 < found.high


def test_the_interval_covers_one_about_as_often_as_it_says():
    inside = []
    for i in range(60):
        found = memorisation(
            faces([18, i], 600), faces([19, i], 100), faces([20, i], 100), seed=i, replicates=300
        )
        inside.append(found.low <= 1 <= found.high)
    assert np.mean(inside) >= 0.75


def test_bad_sets():
    with pytest.raises(UsageError, match="differ in columns"):
        memorisation(faces(0, 9), faces(1, 9), np.zeros((9, 3)), seed=0)
    with pytest.raises(UsageError, match="too few"):
        memorisation(faces(0, 9), np.zeros((0, 8)), faces(1, 9), seed=0)
    with pytest.raises(UsageError, match="copies of held-out"):
        memorisation(faces(0, 9), np.ones((9, 8)), np.ones((9, 8)), seed=0)
    with pytest.raises(UsageError, match="repeats 0"):
        memorisation(faces(0, 9), faces(1, 9), faces(2, 9), seed=0, repeats=0)
