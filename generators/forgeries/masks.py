"""Alpha masks: polygons with soft edges, the face region of mesh148, random elastic deformation."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from generators.forgeries.geometry import supersampling
from manifests.mesh148 import GROUPS
from manifests.records import Image

Float = npt.NDArray[np.float32]
SUBPIXEL_BITS = 6
EDGE = 0.015
"""The outermost share of the picture, per side, that no mask touches."""


def hull(points: npt.NDArray[np.floating]) -> Float:
    """The convex hull of `points` [N, 2], as a polygon float32 [M, 2]."""
    return cv2.convexHull(np.ascontiguousarray(points, np.float32)).reshape(-1, 2)


def fill(polygon: npt.NDArray[np.floating], height: int, width: int) -> Float:
    """A polygon [N, 2], in pixels, as an antialiased mask: float32 [H, W] in [0, 1]."""
    fine = _fine(polygon, height, width, supersampling(height, width))
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _fine(polygon: npt.NDArray[np.floating], height: int, width: int, scale: int) -> Image:
    fine = np.zeros((height * scale, width * scale), np.uint8)
    corners = np.rint((np.asarray(polygon, np.float64) * scale - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(fine, [corners], 255, cv2.LINE_8, SUBPIXEL_BITS)
    return fine


def soft_polygon(polygon: npt.NDArray[np.floating], width: float, height_px: int, width_px: int) -> Float:
    """A polygon whose edge is softened inwards: 0 on and outside it, rising smoothly to 1 at a depth of
    `width` pixels.

    Returns:
        float32 [height_px, width_px] in [0, 1].
    """
    scale = supersampling(height_px, width_px)
    inside = cv2.copyMakeBorder(
        _fine(polygon, height_px, width_px, scale), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0
    )
    depth = (
        distance_transform_edt(inside)[1:-1, 1:-1] / scale
    )  # OpenCV 5's differs in its last bits from call to call
    t = np.clip(depth / max(width, 1e-3), 0, 1)
    soft = t * t * (3 - 2 * t)
    return cv2.resize(soft, (width_px, height_px), interpolation=cv2.INTER_AREA).astype(np.float32)


def away_from_edges(mask: Float) -> Float:
    """`mask` faded to 0 towards the picture's edges; the outermost pixels (`EDGE`) are exactly 0."""
    height, width = mask.shape
    keep = max(1.0, EDGE * min(height, width))
    x = np.minimum(np.arange(width), np.arange(width)[::-1])
    y = np.minimum(np.arange(height), np.arange(height)[::-1])
    depth = np.minimum(x[None, :], y[:, None]).astype(np.float32)
    return mask * np.clip((depth - keep + 1) / (2.5 * keep), 0, 1) * (depth >= keep)


def face_region(points: Float, top: float, sides: float) -> Float:
    """A polygon between the inner face (brows to chin) and the face oval of mesh148.

    Args:
        points: float32 [148, 2].
        top: how far it goes from the brows (0) up to the oval's upper edge (1).
        sides: scale of the rest of the oval about the nose; 1 is the oval itself.

    Returns:
        float32 [M, 2], convex.
    """
    oval = points[list(GROUPS["oval"])]
    brows = points[list(GROUPS["right_brow"] + GROUPS["left_brow"])]
    centre = points[list(GROUPS["nose"])].mean(0)
    up = oval[0] - oval[18]
    up = up / max(float(np.hypot(*up)), 1e-6)
    brow_height = float(((brows - centre) @ up).max())
    shrunk = centre + (oval - centre) * sides
    height = (shrunk - centre) @ up
    above = np.maximum(height - brow_height, 0) * (1 - top)
    return hull(shrunk - above[:, None] * up)


def polygon_of(points: Float, *groups: str) -> Float:
    """The convex hull of some groups of mesh148 (see `manifests.mesh148.GROUPS`)."""
    return hull(points[[i for group in groups for i in GROUPS[group]]])


def features_mask(points: Float, height: int, width: int) -> Float:
    """Eyes, brows and mouth, which are not skin: float32 [H, W] in [0, 1]."""
    return _any(
        (("right_eye", "right_brow"), ("left_eye", "left_brow"), ("lips_outer",)), points, height, width
    )


def openings_mask(points: Float, height: int, width: int) -> Float:
    """The eyes and the inside of the mouth, which have colours of their own: float32 [H, W] in [0, 1]."""
    return _any((("right_eye",), ("left_eye",), ("lips_inner",)), points, height, width)


def _any(groups: tuple[tuple[str, ...], ...], points: Float, height: int, width: int) -> Float:
    return np.max([fill(polygon_of(points, *names), height, width) for names in groups], axis=0)


def core_mask(points: Float, height: int, width: int) -> Float:
    """The hull of eyes, brows, nose and mouth, soft at its edge: float32 [H, W] in [0, 1]."""
    polygon = polygon_of(points, "right_eye", "left_eye", "right_brow", "left_brow", "nose", "lips_outer")
    soft = fill(polygon, height, width)
    return cv2.GaussianBlur(soft, (0, 0), max(0.5, 0.02 * float(np.ptp(points[:, 0]))))


def skin_likeness(image: Float, points: Float, near: float = 3.0, far: float = 6.0) -> Float:
    """How much each pixel looks like the skin of the middle of the face: 1 for skin, 0 for hair, cloth, hands
    apart.

    The Mahalanobis distance, in RGB after a small blur, to the skin about nose and cheeks: 1 up to `near`, 0
    from `far`.

    Args:
        image: float32 [H, W, 3] whose face has its landmarks at `points`, float32 [148, 2].

    Returns:
        float32 [H, W] in [0, 1].
    """
    height, width = image.shape[:2]
    sigma = 0.015 * float(np.ptp(points[:, 0]))
    blurred = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.5))
    middle = (
        fill(face_region(points, 0.1, 0.6), height, width) * (1 - features_mask(points, height, width)) > 0.5
    )
    if np.count_nonzero(middle) < 12:
        return np.ones((height, width), np.float32)
    skin = blurred[middle].astype(np.float64)
    centre = np.median(skin, axis=0)
    trimmed = skin[np.abs(skin - centre).sum(1) <= np.quantile(np.abs(skin - centre).sum(1), 0.8)]
    whiten = np.linalg.inv(np.linalg.cholesky(np.cov(trimmed.T) + 36.0 * np.eye(3)))
    whitened = cv2.transform(blurred, np.column_stack([whiten, -whiten @ trimmed.mean(0)]))
    distance = np.sqrt(cv2.transform(whitened * whitened, np.ones((1, 3), np.float32)))
    likeness = np.clip((far - distance) / (far - near), 0, 1).astype(np.float32)
    return cv2.GaussianBlur(likeness, (0, 0), max(2 * sigma, 0.7))


def smooth_field(
    height: int, width: int, amplitude: float, smoothness: float, rng: np.random.Generator
) -> Float:
    """A smooth random displacement (Simard et al. 2003): float32 [2, H, W], x and y, pixels.

    Args:
        height: rows.
        width: columns.
        amplitude: root mean square displacement, pixels.
        smoothness: sigma of the Gaussian that smooths uniform noise, pixels.
        rng: draws the noise.
    """
    shift = np.stack(
        [
            cv2.GaussianBlur(rng.uniform(-1, 1, (height, width)).astype(np.float32), (0, 0), smoothness)
            for _ in range(2)
        ]
    )
    shift *= amplitude / max(float(np.sqrt((shift**2).mean())), 1e-9)
    return shift


def elastic(mask: Float, amplitude: float, smoothness: float, rng: np.random.Generator) -> Float:
    """Deform a mask by a smooth random displacement (Simard et al. 2003).

    Args:
        mask: float32 [H, W].
        amplitude: root mean square displacement, pixels.
        smoothness: sigma of the Gaussian that smooths the random field, pixels.
    """
    height, width = mask.shape
    shift = smooth_field(height, width, amplitude, smoothness, rng)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(
        mask, x + shift[0], y + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
