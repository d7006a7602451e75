"""Kernel and Frechet distances and manifolds against double loops, closed forms and scikit-learn."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from generators.quality import distances
from generators.quality.distances import distance_blocks, kth_neighbour, mean_pairwise, nearest
from generators.quality.frechet import frechet_distance, gaussian_distance
from generators.quality.kernel import kernel_distance, squared_mmd
from generators.quality.manifold import manifold
from manifests.errors import UsageError


def normal(seed, n, d=6, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (n, d))


def slow_mmd(x, y):
    d = x.shape[1]

    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / d + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_squared_mmd_is_that_of_a_double_loop():
    x, y = normal(0, 12), normal(1, 9, shift=0.4)
    assert squared_mmd(x, y) == pytest.approx(slow_mmd(x, y), rel=1e-10)


def test_squared_mmd_is_unbiased():
    values = [squared_mmd(normal([2, i], 20, 3), normal([3, i], 20, 3)) for i in range(600)]
    assert min(values) < 0
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    biased = [
        v + 2 / 20 for v in values
    ]  # the diagonal's share, were it left in, is at least 2 k(x, x) / n > 2 / n
    assert abs(np.mean(biased)) > 4 * np.std(biased) / np.sqrt(len(biased))


def test_kernel_distance_is_the_mean_of_disjoint_subsets():
    x, y = normal(4, 200), normal(5, 230, shift=0.3)
    found = kernel_distance(x, y, seed=1)
    assert (found.subsets, found.subset_size) == (10, 20)
    assert found.low < found.mean < found.high
    assert found.low > 0
    assert found == kernel_distance(x, y, seed=1)
    assert found.mean != kernel_distance(x, y, seed=2).mean


def test_kernel_distance_interval_covers_the_truth():
    """Both sets from one distribution: the truth is 0, and intervals of 10 subsets miss it a bit more than 5
    %.
    """
    covered = []
    for i in range(150):
        found = kernel_distance(normal([6, i], 200, 3), normal([7, i], 200, 3), seed=i, replicates=300)
        covered.append(found.low <= 0 <= found.high)
    assert 0.82 <= np.mean(covered) <= 0.99


def test_frechet_of_two_gaussians_in_closed_form():
    """Commuting covariances: |mu - nu|^2 + sum (sqrt s - sqrt t)^2 over the shared eigenvectors."""
    rng = np.random.default_rng(8)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    s, t = rng.uniform(0.1, 4, 5), rng.uniform(0.1, 4, 5)
    mean, other = rng.normal(size=5), rng.normal(size=5)
    got = gaussian_distance(mean, basis * s @ basis.T, other, basis * t @ basis.T)
    assert got == pytest.approx(
        ((mean - other) ** 2).sum() + ((np.sqrt(s) - np.sqrt(t)) ** 2).sum(), rel=1e-10
    )


def test_frechet_of_samples_agrees_with_scipy_s_square_root():
    from scipy.linalg import sqrtm

    x, y = normal(9, 300), normal(10, 260, shift=0.5) @ np.random.default_rng(11).normal(size=(6, 6))
    s, t = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real)
    found = frechet_distance(x, y)
    assert found.value == pytest.approx(expected, rel=1e-8)
    assert (found.rank_deficient, found.n_real, found.n_fake) == (False, 300, 260)
    assert frechet_distance(x, x).value == pytest.approx(0, abs=1e-9)


def test_frechet_says_when_there_are_too_few_images():
    x, y = normal(12, 6), normal(13, 50)
    found = frechet_distance(x, y)
    assert found.rank_deficient
    assert found.value == pytest.approx(
        gaussian_distance(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T)), rel=1e-6
    )


def slow_manifold(x, y, k):
    def radii(points):
        out = []
        for i, p in enumerate(points):
            out.append(sorted(np.linalg.norm(p - q) for j, q in enumerate(points) if j != i)[k - 1])
        return out

    rx, ry = radii(x), radii(y)
    inside = np.array([[np.linalg.norm(p - c) <= r for c, r in zip(x, rx, strict=True)] for p in y])
    recall = np.mean([any(np.linalg.norm(p - c) <= r for c, r in zip(y, ry, strict=True)) for p in x])
    return inside.any(1).mean(), recall, inside.sum() / (k * len(y)), inside.any(0).mean()


@pytest.mark.parametrize("k", [1, 3, 5])
def test_manifold_is_that_of_plain_loops_at_any_block_size(k, monkeypatch):
    x, y = normal(14, 60, 3), normal(15, 45, 3, shift=0.8)
    expected = slow_manifold(x, y, k)
    for elements in (1, 100, 1 << 20):
        monkeypatch.setattr(distances.distance_blocks, "__defaults__", (elements,))
        found = manifold(x, y, k)
        assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected)


def test_neighbours_agree_with_scikit_learn():
    x, y = normal(16, 300), normal(17, 200)
    by_sklearn = NearestNeighbors(n_neighbors=1).fit(x).kneighbors(y)[0][:, 0]
    assert nearest(y, x) == pytest.approx(by_sklearn, rel=1e-9)
    assert kth_neighbour(x, 3) == pytest.approx(
        NearestNeighbors(n_neighbors=4).fit(x).kneighbors(x)[0][:, 3], rel=1e-9
    )


def test_a_collapsed_generator_is_precise_and_covers_nothing():
    real = normal(18, 400, 2)
    collapsed = real[:1] + np.random.default_rng(19).normal(0, 1e-3, (400, 2))
    found = manifold(real, collapsed)
    assert found.precision > 0.9
    assert found.recall < 0.1
    assert found.coverage < 0.1


def test_mean_pairwise_and_block_bounds():
    x = normal(20, 30)
    slow = np.mean([np.linalg.norm(x[i] - x[j]) for i in range(30) for j in range(30) if i != j])
    assert mean_pairwise(x) == pytest.approx(slow, rel=1e-12)
    assert max(block.size for _, block in distance_blocks(x, x, elements=95)) <= 95


def test_far_from_the_origin_small_distances_stay():
    x = normal(21, 50, 4) * 1e-3 + 1000
    assert kth_neighbour(x, 1) == pytest.approx(
        NearestNeighbors(n_neighbors=2).fit(x).kneighbors(x)[0][:, 1], rel=1e-6
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: kernel_distance(normal(0, 99), normal(1, 500), seed=0), "at least 100"),
        (lambda: kernel_distance(normal(0, 99), normal(1, 500), seed=0, subsets=1), "two subsets"),
        (lambda: manifold(normal(0, 3), normal(1, 50)), "4 are needed"),
        (lambda: manifold(normal(0, 9), normal(1, 9), k=0), "k 0"),
        (lambda: frechet_distance(normal(0, 9), normal(1, 9, d=5)), "one feature space"),
        (lambda: squared_mmd(normal(0, 9), np.full((9, 6), np.nan)), "not finite"),
        (lambda: mean_pairwise(normal(0, 1)), "too few"),
        (lambda: squared_mmd(np.zeros(9), normal(0, 9)), "one row per image"),
    ],
)
def test_what_cannot_be_measured_is_said(call, said):
    with pytest.raises(UsageError) as caught:
        call()
    assert said in f"{caught.value} {caught.value.fix}"
