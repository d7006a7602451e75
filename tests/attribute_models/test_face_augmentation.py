from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from attribute_models.training.augmentation import erase, move_points, photometric, random_affine, swap_sides
from attribute_models.training.face_data import FaceData
from attribute_models.training.fitting import batch_of


def dots(x: float, y: float, n: int, width: int = 64) -> torch.Tensor:
    at = np.arange(width) + 0.5
    bell = np.exp(-((at[None, :] - x) ** 2 + (at[:, None] - y) ** 2) / (2 * 2.5**2))
    return torch.from_numpy(bell).float().expand(n, 3, width, width).contiguous()


@pytest.mark.parametrize("size", [64, 48])
def test_moved_points_find_the_bright_dot(size):
    images, theta = random_affine(dots(27.0, 36.0, 24), size, torch.Generator().manual_seed(5))
    points = move_points(torch.tensor([27.0, 36.0]).expand(24, 1, 2), theta, 64, size)
    mirrored = torch.linalg.det(theta[:, :, :2]) < 0
    assert 4 < int(mirrored.sum()) < 20
    for image, point in zip(images[:, 0].numpy().astype(float), points[:, 0], strict=True):
        y, x = ndimage.center_of_mass(image)
        assert abs(x + 0.5 - float(point[0])) < 0.12
        assert abs(y + 0.5 - float(point[1])) < 0.12


def test_mirrored_faces_swap_their_sides():
    theta = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[-1.0, 0, 0], [0, 1, 0]]])
    points = torch.tensor([[[10.0, 5], [30, 6]], [[10, 5], [30, 6]]])
    out = swap_sides(move_points(points, theta, 64, 64), theta, torch.tensor([1, 0]))
    np.testing.assert_allclose(out[0], [[10, 5], [30, 6]], atol=1e-4)
    np.testing.assert_allclose(out[1], [[34, 6], [54, 5]], atol=1e-4)


def test_a_batch_is_a_function_of_its_seed():
    rng = np.random.default_rng(0)
    label = np.zeros(6, np.int64)
    data = FaceData(rng.integers(0, 256, (6, 40, 40, 3), dtype=np.uint8), label, label, label, None, {})
    one, theta, _ = batch_of(data, np.arange(6), 32, 11)
    again, same, _ = batch_of(data, np.arange(6), 32, 11)
    other, _, _ = batch_of(data, np.arange(6), 32, 12)
    assert torch.equal(one, again)
    assert torch.equal(theta, same)
    assert not torch.equal(one, other)
    assert one.min() >= -1
    assert one.max() <= 1


def test_photometric_and_erase_stay_in_range_and_change_something():
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    bright = photometric(images, generator)
    assert bright.shape == images.shape
    assert bright.min() >= 0
    assert bright.max() <= 1
    assert not torch.equal(bright, images)
    covered = erase(images, generator, chance=1.0)
    assert ((covered != images).any(1).flatten(1).float().mean(1) > 0.005).all()
