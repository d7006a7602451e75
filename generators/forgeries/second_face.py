"""Fit a second face to a target: mirror it, warp it onto the target's landmarks, give it the target's
colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from generators.forgeries import blending, masks
from generators.forgeries.checks import ForgeryError
from generators.forgeries.geometry import (
    Float,
    at_scale,
    backward_field,
    folded_share,
    frame,
    similarity,
    supersampling,
    transform,
    triangulate,
    warp,
)
from generators.forgeries.shape_model import MEASURES, measure, shape_model
from manifests.mesh148 import GROUPS, MIRROR
from manifests.records import Face, Image

Colour = Literal["reinhard", "covariance"]
FOLDED = 0.02
"""The share of a face, or of the mouth's surroundings, that may fold in a warp: the lips of a closed mouth
always do a little.
"""
GREY = 5.0
"""Below this colourfulness, grey levels, a target counts as a grey picture, and the source loses its
colours.
"""


def pose(points: Float) -> tuple[float, float]:
    """Sideways offset of the nose, and height of the inner mouth, in eye distances."""
    values = measure(shape_model().normalise(points)[0])
    return float(values[MEASURES.index("yaw")]), float(values[MEASURES.index("mouth_open")])


def pose_gap(other: Face, yaw: float, mouth: float) -> ForgeryError:
    """The refusal of a second face that looks elsewhere, or whose mouth is open otherwise."""
    return ForgeryError(
        "pose_gap",
        f"face {other.image_id!r}",
        f"cannot be warped onto its target (nose offset {yaw:+.2f}, mouth opening {mouth:+.2f} eye"
        " distances)",
        "pair faces of a similar pose and expression",
    )


def recoloured(
    source: Float, base: Float, points: Float, alpha: Float, colour: Colour, relight: float
) -> Float:
    """`source`, already in the target's place, in the colours and light of the target `base`.

    The skin takes the target's colour statistics; eyes, teeth and brows are exposed alike only; a grey target
    makes a grey face.

    Args:
        source: float32 [H, W, 3] in [0, 255], RGB.
        base: float32 [H, W, 3] in [0, 255], RGB.
        points: float32 [148, 2] of the target.
        alpha: float32 [H, W], where skin is measured.
        relight: share of the target's light and shade that is taken, in [0, 1].
    """
    height, width = base.shape[:2]
    size = float(np.ptp(points[list(GROUPS["oval"])], axis=0).mean())
    skin = alpha * (1 - masks.features_mask(points, height, width)) + 1e-4 * alpha
    transfer = blending.reinhard if colour == "reinhard" else blending.covariance_transfer
    openings = cv2.GaussianBlur(masks.openings_mask(points, height, width), (0, 0), 0.012 * size)
    share = ((1 - openings) * blending.skin_share(source, skin))[..., None]
    plain = blending.expose(source, base, skin, skin)
    source = share * transfer(source, base, skin, skin) + (1 - share) * plain
    source = blending.relight(source, base, skin, 0.12 * size, relight)
    grey = blending.grey_of(source)[..., None]
    return grey + (source - grey) * np.float32(min(1.0, blending.colourfulness(base, skin) / GREY))


def facing(face: Face, points: Float) -> tuple[Image, Float, bool]:
    """The face's image and landmarks, mirrored where that looks more the way `points` do, and whether it
    was.
    """
    assert face.landmarks is not None
    own = face.landmarks.astype(np.float32)
    mirrored = own[MIRROR].copy()
    mirrored[:, 0] = face.image.shape[1] - mirrored[:, 0]
    residual = [float(((transform(p, similarity(p, points)) - points) ** 2).sum()) for p in (own, mirrored)]
    if residual[1] < 0.8 * residual[0]:
        return np.ascontiguousarray(face.image[:, ::-1]), mirrored, True
    return face.image, own, False


class Facing(NamedTuple):
    """A target's landmarks, face width and picture, and a second face that looks its way.

    points, own: float32 [148, 2] of the target and of the second face, pixels. size: width of the face,
    pixels. base, image: pictures of the target, float32 [H, W, 3] in [0, 255], and of the second face.
    mirrored: whether that is mirrored.
    """

    points: Float
    size: float
    base: Float
    image: Image
    own: Float
    mirrored: bool


def facing_target(target: Face, other: Face) -> Facing:
    """`facing` of a second face for a target whose landmarks are known."""
    assert target.landmarks is not None
    points = target.landmarks.astype(np.float32)
    size = float(np.ptp(points[list(GROUPS["oval"])], axis=0).mean())
    return Facing(points, size, target.image.astype(np.float32), *facing(other, points))


def warp_onto(image: Image, own: Float, points: Float, height: int, width: int) -> Float:
    """`image`, warped piecewise affinely so that its landmarks `own` lie on `points`: float32 [height, width,
    3].
    """
    image, own = at_scale(image, own, points)
    corners = frame(height, width, margin=float(height + width))
    to_points = np.concatenate([points, ring(points), corners])
    from_points = np.concatenate([own, ring(own), transform(corners, similarity(points, own))])
    field = backward_field(to_points, from_points, height, width, supersampling(height, width))
    return warp(image, field, height, width)


def lay_onto(image: Image, own: Float, points: Float, height: int, width: int) -> Float:
    """`image` under the similarity that brings its landmarks `own` nearest to `points`: float32 [height,
    width, 3].
    """
    image, own = at_scale(image, own, points)
    return warp(image, affine_field(similarity(points, own), height, width), height, width)


def affine_field(matrix: npt.NDArray[np.float64], height: int, width: int) -> Float:
    """The backward field of an affine matrix [2, 3] from the new picture to the old one, as `geometry.warp`
    takes it.
    """
    scale = supersampling(height, width)
    x = ((np.arange(width * scale) + 0.5) / scale)[None, :, None]
    y = ((np.arange(height * scale) + 0.5) / scale)[:, None, None]
    return (x * matrix[:, 0]).astype(np.float32) + (y * matrix[:, 1] + matrix[:, 2]).astype(np.float32)


def with_shape_of(own: Float, points: Float, share: float, keep: Sequence[str] = ("oval",)) -> Float:
    """`points`, of which the inner ones go `share` of the way to where the face `own` has them.

    The source is brought to the target's place, size and tilt by the similarity that fits the inner points
    best: what is left are its proportions and expression. The share is halved until the mesh hardly folds.

    Args:
        own: float32 [148, 2], the source's landmarks.
        points: float32 [148, 2], the target's landmarks.
        keep: groups of `manifests.mesh148` that stay as they are.

    Returns:
        float32 [148, 2], in the target's pixels.
    """
    inner = np.setdiff1d(np.arange(len(points)), [i for name in keep for i in GROUPS[name]])
    placed = transform(own[inner], similarity(own[inner], points[inner]))
    triangles = triangulate(points)
    for _ in range(5):
        new = points.copy()
        new[inner] += np.float32(share) * (placed - points[inner])
        if folded_share(new, triangles, points) < FOLDED:
            return new
        share = share / 2
    return points.copy()


def ring(points: Float) -> Float:
    """The face oval, 1.2 times as large: it carries the warp beyond the face."""
    oval = points[list(GROUPS["oval"])]
    return oval.mean(0) + (oval - oval.mean(0)) * np.float32(1.2)
