"""A sample's bytes depend on its key alone: not on batch, position or neighbours."""

import numpy as np
import pytest
import torch

from generators import load_generator
from generators.sampling import draw_z, map_latents, synthesize, to_uint8
from manifests.errors import UsageError


@pytest.fixture(scope="module")
def generator():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_generator("starter64")
    torch.set_num_threads(before)


def keys(start: int, stop: int) -> list[tuple[str | int, ...]]:
    return [("sample", "White/Male", i) for i in range(start, stop)]


def test_latents_follow_their_key():
    z = draw_z(3, keys(0, 6), 128)
    assert z.dtype == np.float32
    assert np.array_equal(draw_z(3, keys(2, 4), 128), z[2:4])
    assert not np.array_equal(draw_z(4, keys(0, 1), 128), z[:1])


@pytest.mark.parametrize("micro_batch", [1, 4, 8])
def test_bit_equal_at_any_batch_position_and_neighbours(generator, micro_batch):
    z = draw_z(1, keys(0, 20), 128)
    w = map_latents(generator, z, micro_batch=micro_batch)
    images = synthesize(generator, w, micro_batch=micro_batch)
    order = np.random.default_rng(0).permutation(20)
    for chosen in (order, np.arange(7, 12), np.array([19])):
        again = map_latents(generator, z[chosen], micro_batch=micro_batch)
        assert np.array_equal(again, w[chosen])
        assert np.array_equal(synthesize(generator, again, micro_batch=micro_batch), images[chosen])


def test_random_noise_follows_the_samples_seed(generator):
    w = map_latents(generator, draw_z(1, keys(0, 5), 128), micro_batch=4)
    seeds = [11, 12, 13, 14, 15]
    images = synthesize(generator, w, micro_batch=4, noise_mode="random", noise_seeds=seeds)
    some = synthesize(generator, w[3:], micro_batch=4, noise_mode="random", noise_seeds=seeds[3:])
    assert np.array_equal(some, images[3:])
    with pytest.raises(UsageError, match="1 noise seeds"):
        synthesize(generator, w, noise_mode="random", noise_seeds=[1])


def test_rounding_is_the_official_one():
    x = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 3.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert to_uint8(x)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255, 255]


def test_images_are_uint8_and_nothing_gives_nothing(generator):
    w = map_latents(generator, draw_z(1, keys(0, 2), 128), psi=0.7)
    images = synthesize(generator, w)
    assert (images.dtype, images.shape) == (np.uint8, (2, 64, 64, 3))
    assert synthesize(generator, w[:0]).shape == (0, 64, 64, 3)
    assert map_latents(generator, np.zeros((0, 128), np.float32)).shape == (0, 10, 128)
    with pytest.raises(UsageError, match="micro_batch 0"):
        synthesize(generator, w, micro_batch=0)
