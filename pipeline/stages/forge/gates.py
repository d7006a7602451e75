"""Quality gates for each fake: is a face there, is it whose it should be, did it move, does its seam show,
how much changed?

`measure` gives figures, `refuse` turns them into a reason or none. Every fake's figures stay in its row.

- `lost_face`: the detector finds no face where the target's was.
- `identity_not_moved` (swap): the embedding is not nearer the source than the target by `swap_margin`.
- `identity_not_kept` (reenact): the embedding is farther than `max_identity_drift` from the target's.
- `little_motion` (reenact): less than `min_transferred` of the driver's motion arrived.
- `visible_seam`: the mask's edge is steeper than in the target by more than `max_seam`.
- `mask_too_small`, `mask_too_large`: the share of changed pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from manifests.families import family_of
from manifests.records import Image, Points
from pipeline.engine.config_fakes import ForgeSection
from pipeline.faces.landmark_batches import Work
from pipeline.faces.picture import IdentityReader

REASONS = (
    "mask_too_small",
    "mask_too_large",
    "visible_seam",
    "lost_face",
    "identity_not_moved",
    "identity_not_kept",
    "little_motion",
)
SEAM_UNITS = 64.0
"""The seam is measured in grey levels per this fraction of the face's width."""
Embedding = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Person:
    """points: float32 [148, 2], pixels of the image; embedding: float32 [D], or None where it is not
    known.
    """

    points: Points
    embedding: Embedding | None = None


@dataclass(frozen=True)
class Figures:
    """What was measured of a fake; None where it does not apply.

    mask_share: share of pixels with alpha above 0. seam: see `seam_excess`. face_found: by the detector.
    to_target, to_other: Euclidean distance of the identity embeddings. transferred: see `transferred_share`.
    """

    mask_share: float
    seam: float
    face_found: bool | None = None
    to_target: float | None = None
    to_other: float | None = None
    transferred: float | None = None

    def rounded(self) -> Figures:
        """The same, floats to 4 digits."""
        found: dict[str, Any] = {k: round(v, 4) for k, v in vars(self).items() if isinstance(v, float)}
        return replace(self, **found)


def seam_excess(target: Image, fake: Image, mask: Image, face_width: float) -> float:
    """How much steeper the fake is than the target across the mask's edge, in grey levels per 1/64 face
    width.

    The derivative of the grey level along the mask's gradient, after a blur of 1/100 face width, averaged
    with the size of the mask's gradient as weight; fake less target. 0 for a seamless fake, below 0 where the
    edge is smoother.
    """
    sigma = max(0.5, 0.01 * face_width)

    def slopes(values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        smooth = cv2.GaussianBlur(values.astype(np.float64), (0, 0), sigma)
        down, right = np.gradient(smooth)
        return right, down

    right, down = slopes(mask)
    weight = np.hypot(right, down)
    if not weight.sum():
        return 0.0
    unit_right, unit_down = right / np.maximum(weight, 1e-9), down / np.maximum(weight, 1e-9)

    def across(image: Image) -> float:
        grey = slopes(image.astype(np.float64).mean(2))
        steep = np.abs(grey[0] * unit_right + grey[1] * unit_down)
        return float((steep * weight).sum() / weight.sum())

    return (across(fake) - across(target)) * face_width / SEAM_UNITS


def transferred_share(before: Points, after: Points, driver: Points, moves: Sequence[str]) -> float | None:
    """The share of the driver's motion that arrived: 1 for all of it, 0 for none; None where there is none to
    bring.

    Shapes are described by the measures of `generators.forgeries.shape_model`, each in its standard
    deviations. The driver's motion is the difference of its measures from the target's, less what is the two
    persons' proportions (`reenact_warp.SHARES`); the motion that arrived, measured on the fake, is projected
    on it.

    Args:
        before, after, driver: float32 [148, 2], target, fake and driver, read by one landmarker. moves: the
            measures that the method moves.
    """
    from generators.forgeries.reenact_warp import SHARES
    from generators.forgeries.shape_model import MEASURES, measure, shape_model

    model = shape_model()
    kept = [i for i, name in enumerate(MEASURES) if name in moves]
    values = [
        (measure(model.normalise(points)[0]) / model.spread)[kept] for points in (before, after, driver)
    ]
    wanted = (values[2] - values[0]) * np.array([SHARES[MEASURES[i]] for i in kept])
    size = float(wanted @ wanted)
    return float((values[1] - values[0]) @ wanted) / size if size > 1e-6 else None


def measure_fake(
    reader: IdentityReader,
    family: str,
    moves: Sequence[str],
    images: tuple[Image, Image, Image],
    target: Person,
    other: Person | None,
) -> Work[Figures]:
    """Measure one fake: work for `together`, which brings its landmarks.

    Args:
        family: of the method; identity is compared for swap and reenact. moves: see `transferred_share`.
        images: the target's picture, the fake, its mask. other: who gave identity or motion, in its own
            picture.
    """
    picture, fake, mask = images
    width = float(np.ptp(target.points[:, 0]))
    share, seam = float((mask > 0).mean()), seam_excess(picture, fake, mask, width)
    found = _found(reader, fake, target.points)
    rules = family_of(family)
    if not rules.compared or other is None:
        return Figures(share, seam, found)
    now = yield fake, target.points
    embedding = reader.embed(fake, now)
    to_target, to_other = (
        float(np.linalg.norm(embedding - who.embedding)) if who.embedding is not None else None
        for who in (target, other)
    )
    moved = None
    if rules.motion:
        before = yield picture, target.points
        moved = transferred_share(before, now, other.points, moves)
    return Figures(share, seam, found, to_target, to_other, moved)


def _found(reader: IdentityReader, fake: Image, points: Points) -> bool:
    """Whether a detected face's centre lies within a quarter of the face's width of where the target's
    was.
    """
    from manifests.mesh148 import five_of

    centre = five_of(points).mean(0)
    room = 0.25 * float(np.ptp(points[:, 0]))
    return any(float(np.hypot(*(five.mean(0) - centre))) < room for five, _ in reader.fives(fake))


def refuse(figures: Figures, family: str, limits: ForgeSection) -> str | None:
    """The first gate that the fake does not pass, one of `REASONS`, or None. limits: the section `forge`."""
    if figures.mask_share < limits.min_mask_share:
        return "mask_too_small"
    if figures.mask_share > limits.max_mask_share:
        return "mask_too_large"
    if figures.seam > limits.max_seam:
        return "visible_seam"
    if figures.face_found is False:
        return "lost_face"
    rules, to_target = family_of(family), figures.to_target
    moved = None if to_target is None or figures.to_other is None else to_target - figures.to_other
    if rules.identity == "moved" and moved is not None and moved < limits.swap_margin:
        return "identity_not_moved"
    if rules.identity == "kept" and to_target is not None and to_target > limits.max_identity_drift:
        return "identity_not_kept"
    if rules.motion and figures.transferred is not None and figures.transferred < limits.min_transferred:
        return "little_motion"
    return None
