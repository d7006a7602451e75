"""Make a foreground fit its target: colour transfer, lighting, Poisson membrane, and detail of the same
strength.

Pictures are float32 [H, W, 3], RGB in [0, 255]; weights and alphas are float32 [H, W] in [0, 1].
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import splu

Float = npt.NDArray[np.float32]
BAND_SIGMAS = (0.6, 1.2, 2.4)
"""Gaussian sigmas, pixels, between which the detail bands lie."""
ENERGY_FLOOR = 0.002
"""Below this band energy, grey levels squared, there is nothing to match: it is rounding."""
STEP = 0.7
"""Exponent of an energy ratio in one round's gain: above 1/2, for the bands overlap and hold each other
back.
"""
TO_OPPONENT = np.array([[1, 1, 1], [2, -1, -1], [-1, -1, 2]], np.float32) / 3
FROM_OPPONENT = np.linalg.inv(TO_OPPONENT).astype(np.float32)
"""RGB to grey, red less grey, blue less grey; and back."""
MARGIN = 12
"""Pixels about a mask that the band filters reach."""
THIRDS = np.full((1, 3), 1 / 3, np.float32)
MEMBRANE_SIDE = 64
"""Side of the grid on which the Poisson membrane is solved."""


def happens(chance: float, rng: np.random.Generator) -> bool:
    """Whether something of this chance happens; 0 and 1 draw nothing, so that they leave other draws as they
    are.
    """
    return chance >= 1 or (chance > 0 and float(rng.random()) < chance)


def grey_of(image: Float) -> Float:
    """The mean of the channels of a picture float32 [H, W, 3]: float32 [H, W]."""
    return cv2.transform(image, THIRDS)


def _moments(image: Float, weights: Float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    w = weights.ravel().astype(np.float64)
    w = w / max(w.sum(), 1e-9)
    flat = image.reshape(-1, 3).astype(np.float64)
    mean = w @ flat
    centred = flat - mean
    return mean, (centred * w[:, None]).T @ centred


def reinhard(image: Float, target: Float, weights: Float, target_weights: Float, limit: float = 1.6) -> Float:
    """Give `image` the mean and deviation of `target`, per channel of CIE Lab (Reinhard et al. 2001).

    Args:
        weights: what to measure in the picture, float32 [H, W].
        target_weights: what to measure in the target's picture, float32 [H, W].
        limit: the deviations change by this factor at most.
    """
    ours, theirs = (cv2.cvtColor(np.clip(i, 0, 255) / 255, cv2.COLOR_RGB2Lab) for i in (image, target))
    mean, covariance = _moments(ours, weights)
    target_mean, target_covariance = _moments(theirs, target_weights)
    gain = np.sqrt((np.diag(target_covariance) + 1e-3) / (np.diag(covariance) + 1e-3)).clip(1 / limit, limit)
    out = (ours - mean) * gain + target_mean
    return cv2.cvtColor(out.astype(np.float32), cv2.COLOR_Lab2RGB) * 255


def covariance_transfer(
    image: Float, target: Float, weights: Float, target_weights: Float, limit: float = 1.6
) -> Float:
    """Give `image` the mean and covariance of `target` in RGB: linear Monge-Kantorovich map (Pitié & Kokaram
    2007).

    A = C^(-1/2) (C^(1/2) C_t C^(1/2))^(1/2) C^(-1/2); its eigenvalues are kept in [1/limit, limit].
    """
    mean, covariance = _moments(image, weights)
    target_mean, target_covariance = _moments(target, target_weights)
    root = _power(covariance + np.eye(3), 0.5)
    inverse = _power(covariance + np.eye(3), -0.5)
    linear = inverse @ _power(root @ (target_covariance + np.eye(3)) @ root, 0.5) @ inverse
    values, vectors = np.linalg.eigh(linear)
    linear = (vectors * values.clip(1 / limit, limit)) @ vectors.T
    return ((image - mean) @ linear.T + target_mean).astype(np.float32)


def expose(image: Float, target: Float, weights: Float, target_weights: Float) -> Float:
    """Scale `image` by one factor towards the target's mean grey level; its hues stay, its colours do not
    grow.

    For what is not skin (eyes, teeth, brows): the factor is the square root of the ratio of the two skins,
    for half of the difference is light, which falls on everything, and half is the skin's own. Where the
    target is less colourful (a grey picture), the colours are weakened in proportion.
    """
    factor = np.sqrt(grey_level(target, target_weights) / max(grey_level(image, weights), 1.0))
    colour = colourfulness(target, target_weights) / max(colourfulness(image, weights), 1e-3)
    grey = grey_of(image)[..., None]
    return (grey + (image - grey) * np.float32(min(colour, 1.0))) * np.float32(np.clip(factor, 0.6, 1.5))


def colourfulness(image: Float, weights: Float) -> float:
    """Weighted mean distance of the channels from their grey level; 0 for a grey picture."""
    return grey_level(np.abs(image - grey_of(image)[..., None]), weights)


def grey_level(image: Float, weights: Float) -> float:
    """Weighted mean of the grey level."""
    return float((grey_of(image) * weights).sum() / max(float(weights.sum()), 1e-9))


def skin_share(image: Float, weights: Float) -> Float:
    """How far each pixel is as bright as the skin: 0 for brows, lashes and nostrils, 1 for skin; float32 [H,
    W].
    """
    return np.clip((grey_of(image) / max(grey_level(image, weights), 1.0) - 0.3) / 0.45, 0, 1).astype(
        np.float32
    )


def _power(matrix: npt.NDArray[np.float64], exponent: float) -> npt.NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 1e-9) ** exponent) @ vectors.T


def lowpass(image: Float, weights: Float, sigma: float) -> Float:
    """Gaussian average of `image` over the pixels with weight only (normalised convolution)."""
    total = cv2.GaussianBlur(weights, (0, 0), sigma)[..., None]
    return cv2.GaussianBlur(image * weights[..., None], (0, 0), sigma) / np.maximum(total, 1e-4)


def relight(image: Float, target: Float, weights: Float, sigma: float, strength: float) -> Float:
    """Move the light and shade of `image`, above `sigma` pixels, towards the target's by `strength` in [0,
    1].
    """
    shade = lowpass(target, weights, sigma) - lowpass(image, weights, sigma)
    return image + strength * shade


def membrane(image: Float, target: Float, mask: Float, sigma: float = 1.5, limit: float = 60.0) -> Float:
    """Poisson blending (Pérez, Gangnet, Blake 2003): keep the gradients of `image`, meet `target` at the
    mask's edge.

    Solved as `image` + a harmonic membrane whose edge is the low-passed difference, cut to +-`limit`; the
    membrane is smooth, so it is solved on a grid of at most 64 x 64 and enlarged.

    Args:
        mask: float32 [H, W]; the inside is where it is above 0.5.
        sigma: of the low pass, pixels.
    """
    height, width = mask.shape
    difference = np.clip(cv2.GaussianBlur(target - image, (0, 0), sigma), -limit, limit)
    shrink = min(1.0, MEMBRANE_SIDE / max(height, width))
    size = (max(2, round(width * shrink)), max(2, round(height * shrink)))
    edge = cv2.resize(difference, size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize((mask > 0.5).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    inside[[0, -1]] = inside[:, [0, -1]] = False
    if inside.any():
        edge[inside] = _harmonic(edge, inside)
    return image + cv2.resize(edge, (width, height), interpolation=cv2.INTER_CUBIC)


def _harmonic(values: Float, inside: npt.NDArray[np.bool_]) -> Float:
    """Solve the discrete Laplace equation inside, with the values outside as its edge: float32 [inside,
    3].
    """
    index = np.full(inside.shape, -1)
    count = int(inside.sum())
    index[inside] = np.arange(count)
    rows, columns = np.nonzero(inside)
    right = np.zeros((count, 3))
    entries = [(np.arange(count), np.arange(count), np.full(count, 4.0))]
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        neighbour = index[rows + dy, columns + dx]
        known = neighbour < 0
        right[known] += values[rows[known] + dy, columns[known] + dx]
        entries.append((np.flatnonzero(~known), neighbour[~known], np.full((~known).sum(), -1.0)))
    i, j, v = (np.concatenate(part) for part in zip(*entries, strict=True))
    matrix = sparse.csc_matrix((v, (i, j)), (count, count))
    return (
        splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        .solve(right)
        .astype(np.float32)
    )


def bands(image: npt.NDArray[np.floating]) -> list[Float]:
    """The detail of a picture in band-passes from fine to coarse, which add up to it less its coarsest blur.

    The finest Gaussian residual is split into diagonal detail, which resampling weakens most, and the rest,
    and each of them into what lies next to the Nyquist frequency and what does not.
    """
    levels = [image, *(cv2.GaussianBlur(image, (0, 0), sigma) for sigma in BAND_SIGMAS)]
    first, *others = [fine - coarse for fine, coarse in pairwise(levels)]
    kernel = cv2.getGaussianKernel(5, BAND_SIGMAS[0], cv2.CV_32F)
    across = first - cv2.sepFilter2D(first, -1, kernel, np.ones(1, np.float32))
    diagonal = across - cv2.sepFilter2D(across, -1, np.ones(1, np.float32), kernel)
    straight = first - diagonal
    fine = []
    for part in (diagonal, straight):
        smooth = cv2.GaussianBlur(part, (0, 0), BAND_SIGMAS[0])
        fine += [part - smooth, smooth]
    return [*fine, *others]


def match_detail(
    foreground: Float,
    target: Float,
    alpha: Float,
    radius: float,
    low: float = 0.4,
    high: float = 4.0,
    rounds: int = 3,
) -> Float:
    """Scale the detail bands of `foreground` until the blend has the target's energy in each band, place by
    place.

    A resampled picture is softer than an untouched one, and a blend of two pictures has less noise than
    either; a detector must not learn that. Energies, of grey and of two colour differences, are averaged over
    a Gaussian of sigma `radius` pixels inside the mask, in the last round over all of it; the gain of a band
    stays in [low, high]. Where the mask is 0, and further than the filters reach from it, the foreground
    comes back as it was.
    """
    if not alpha.any():
        return foreground
    box = _around(alpha > 1 / 255, MARGIN)
    base, out, alpha = target[box] @ TO_OPPONENT.T, foreground[box] @ TO_OPPONENT.T, alpha[box][..., None]
    weights = (alpha > 1 / 255).astype(np.float32)
    grid = _Grid(weights[..., 0], radius)

    def energies(image: npt.NDArray[np.floating]) -> list[Float]:
        return [grid.mean(weights * band * band) + ENERGY_FLOOR for band in bands(image)]

    wanted = energies(base)
    totals = [np.ones_like(energy) for energy in wanted]
    for turn in range(rounds):
        have = energies(base + alpha * (out - base))
        if turn == rounds - 1:
            ratios = [
                np.sum(w * grid.weights, (0, 1)) / np.sum(h * grid.weights, (0, 1))
                for w, h in zip(wanted, have, strict=True)
            ]
        else:
            ratios = [w / h for w, h in zip(wanted, have, strict=True)]
        gains = [
            np.clip(total * ratio**STEP, low, high) / total
            for total, ratio in zip(totals, ratios, strict=True)
        ]
        totals = [total * gain for total, gain in zip(totals, gains, strict=True)]
        for gain, band in zip(gains, bands(out), strict=True):
            out = out + grid.everywhere(gain - 1) * band
    whole = foreground.astype(np.float32)
    whole[box] = out @ FROM_OPPONENT.T
    return whole


def _around(inside: npt.NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """The rows and columns of the smallest box about what is inside, `margin` pixels wider on each side."""
    found = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    rows, columns = (slice(max(int(f[0]) - margin, 0), int(f[-1]) + 1 + margin) for f in found)
    return rows, columns


class _Grid:
    """Gaussian means of sigma `radius` pixels inside a mask, on a grid that is coarser where they are wide.

    weights: float32 [h, w, 1], the mask's own mean on that grid.
    """

    def __init__(self, weights: Float, radius: float) -> None:
        self._height, self._width = weights.shape
        step = max(1, int(radius / 2.5))
        self._size, self._sigma = (max(2, self._width // step), max(2, self._height // step)), radius / step
        self.weights = cv2.resize(weights, self._size, interpolation=cv2.INTER_AREA)[..., None]
        self._spread = np.maximum(cv2.GaussianBlur(self.weights, (0, 0), self._sigma), 1e-3)[..., None]

    def mean(self, values: Float) -> Float:
        """Of values float32 [H, W, C], 0 outside the mask: float32 [h, w, C]."""
        small = cv2.resize(values, self._size, interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(small, (0, 0), self._sigma) / self._spread

    def everywhere(self, coarse: Float) -> Float:
        """Values of the grid at every pixel, bilinear between: float32 [H, W, C]."""
        return cv2.resize(
            coarse.astype(np.float32), (self._width, self._height), interpolation=cv2.INTER_LINEAR
        )
