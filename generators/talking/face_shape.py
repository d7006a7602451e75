"""Where a face's points go when it speaks: jaw, lips, eyelids and head, in the frame of
`generators.forgeries.shape_model`.

The mouth of the picture may be open, a smile with teeth say: points go from where they are to where a mouth
of the wanted opening has them, so that the lips of a smiling face close too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generators.forgeries.shape_model import MEASURES, at, shape_model
from manifests.mesh148 import GROUPS

Points = npt.NDArray[np.float64]
LOWER_OUTER, UPPER_OUTER = (
    at(146, 91, 181, 84, 17, 314, 405, 321, 375),
    at(185, 40, 39, 37, 0, 267, 269, 270, 409),
)
LOWER_INNER, UPPER_INNER = (
    at(95, 88, 178, 87, 14, 317, 402, 318, 324),
    at(191, 80, 81, 82, 13, 312, 311, 310, 415),
)
OUTER_CORNERS, INNER_CORNERS = at(61, 291), at(78, 308)
LIPS = [*LOWER_OUTER, *UPPER_OUTER, *LOWER_INNER, *UPPER_INNER, *OUTER_CORNERS, *INNER_CORNERS]
LIDS = tuple(
    zip(
        at(246, 161, 160, 159, 158, 157, 173, 466, 388, 387, 386, 385, 384, 398),
        at(7, 163, 144, 145, 153, 154, 155, 249, 390, 373, 374, 380, 381, 382),
        strict=True,
    )
)
"""Upper lids with the lower ones that they meet."""
LID = 1.35
"""Height of the eyes as they are warped, times that of their landmarks."""
BROWS = [*GROUPS["right_brow"], *GROUPS["left_brow"]]
OVAL = list(GROUPS["oval"])
UPPER_SHARE = 0.18
"""Of the opening, by which the upper lip goes up; the rest is the jaw's."""
CHIN = 0.8
"""Of the lower lip's way, that the chin goes."""
MEETING = 0.35
"""Where lips meet, from the upper lip of the picture (0) to its lower lip (1): the jaw does most of the
way."""
THIN = 0.02
"""Least height of a lip, eye distances."""
NARROW = 0.5
"""Share of a smile's width beyond the usual that goes when it speaks."""


@dataclass(frozen=True)
class Style:
    """How somebody speaks. opening: inner lips at a wide open mouth, eye distances. spread: how much corners
    move, 1 as usual.
    """

    opening: float = 0.32
    spread: float = 1.0


@dataclass(frozen=True)
class Posed:
    """A face in a frame, in the canonical frame of the picture (not moved by roll and shifts of the head).

    points: float64 [148, 2]. upper, lower: inner lips from corner to corner, float64 [11, 2]. line: where
    they meet, float64 [11, 2].
    gap: of the middle of the inner lips. jaw: how far the jaw has gone down from where lips meet. raised: of
    the upper lip, 0 to 1.
    tongue: 0 to 1.
    """

    points: Points
    upper: Points
    lower: Points
    line: Points
    gap: float
    jaw: float
    raised: float
    tongue: float


class FaceShape:
    """The shape of one face, and its poses. shape: float64 [148, 2], canonical, see
    `ShapeModel.normalise`.
    """

    def __init__(self, shape: npt.NDArray[np.floating], style: Style) -> None:
        self.style = style
        self.rest = tidy(np.asarray(shape, np.float64))
        rest = self.rest
        self.middle = rest[[*OUTER_CORNERS]].mean(0)
        self.half = max(float(np.ptp(rest[[*OUTER_CORNERS], 0])) / 2, 0.05)
        upper, lower = rest[UPPER_INNER], rest[LOWER_INNER]
        self.still_gap = lower[:, 1] - upper[:, 1]
        self.line = upper[:, 1] + MEETING * self.still_gap
        usual = float(np.ptp(shape_model().mean[[*OUTER_CORNERS], 0])) / 2
        self.relaxed = 1 - NARROW * max(0.0, 1 - usual / self.half)
        oval = rest[OVAL]
        nose, chin = float(rest[at(2)[0], 1]), float(oval[:, 1].max())
        share = np.clip((oval[:, 1] - nose) / max(chin - nose, 1e-3), 0, 1)
        self.jaw_share = share * share * (3 - 2 * share)

    def posed(self, control: npt.NDArray[np.floating], head: npt.NDArray[np.floating]) -> Posed:
        """The face in one frame.

        Args:
            control: [7], see `visemes.CONTROLS`.
            head: [7], see `motion.HEAD`; roll and shifts are left to the warp.
        """
        opened, wide, rounded, raise_, tongue, close, tuck = (float(value) for value in control)
        points = self.rest.copy()
        width = self.relaxed * (1 + self.style.spread * (0.10 * wide - 0.22 * rounded))
        gap = self.style.opening * opened * (1 - close) * (1 - 0.75 * tuck) + 0.02 * raise_ * (1 - close)
        across = np.clip((self.rest[LOWER_INNER, 0] - self.middle[0]) / self.half, -1, 1)
        bow = np.cos(np.pi / 2 * np.abs(across) ** 1.5)
        press, lift = 0.018 * close, 0.03 * raise_ * (1 - close) + UPPER_SHARE * gap
        upper = self.line - bow * lift
        lower = self.line + bow * (gap - UPPER_SHARE * gap) - bow * 0.03 * tuck
        lower = np.maximum(lower, upper)
        up, down = upper - self.rest[UPPER_INNER, 1], lower - self.rest[LOWER_INNER, 1]
        points[UPPER_INNER, 1] += up
        points[LOWER_INNER, 1] += down
        pout = 0.02 * rounded
        points[UPPER_OUTER, 1] = np.minimum(points[UPPER_OUTER, 1] + 0.9 * up + press - pout, upper - THIN)
        points[LOWER_OUTER, 1] = np.maximum(points[LOWER_OUTER, 1] + down - press + pout, lower + THIN)
        sink = 0.12 * gap - 0.015 * wide
        points[[*OUTER_CORNERS, *INNER_CORNERS], 1] += sink + 0.3 * (
            self.line.mean() - self.rest[UPPER_INNER, 1].mean()
        )
        points[LIPS, 0] = self.middle[0] + (points[LIPS, 0] - self.middle[0]) * width
        jaw = float(down[len(down) // 2]) + 0.03 * tuck
        points[OVAL, 1] += CHIN * jaw * self.jaw_share
        points[OVAL, 0] -= 0.06 * max(jaw, 0.0) * self.jaw_share * np.sign(points[OVAL, 0] - self.middle[0])
        for top, bottom in LIDS:
            shut = 0.96 * float(head[6]) * (points[bottom] - points[top])
            points[top] += 0.88 * shut
            points[bottom] -= 0.08 * shut
        points[BROWS, 1] -= float(head[5])
        modes = shape_model().modes
        turn = float(head[0]) * modes[MEASURES.index("yaw")] + float(head[1]) * modes[MEASURES.index("pitch")]
        points = points + turn
        inner = [points[[INNER_CORNERS[0], *side, INNER_CORNERS[1]]] for side in (UPPER_INNER, LOWER_INNER)]
        line = self.rest[[INNER_CORNERS[0], *UPPER_INNER, INNER_CORNERS[1]]].copy()
        line[1:-1, 1] = self.line
        line[:, 0] = inner[0][:, 0]
        line[:, 1] += turn[UPPER_INNER, 1].mean()
        return Posed(
            points, inner[0], inner[1], line, gap, max(float(lower[4] - self.line[4]), 0.0), raise_, tongue
        )


def tidy(shape: Points) -> Points:
    """The shape with inner lips that do not cross, and lie between the outer ones; and with lids about all of
    the eye that can be seen, which landmarks follow from inside.
    """
    out = shape.copy()
    for lid, other in LIDS:
        place, reach = (shape[lid] + shape[other]) / 2, (shape[other] - shape[lid]) / 2
        out[lid], out[other] = place - LID * reach, place + LID * reach
    middle = (out[UPPER_INNER, 1] + out[LOWER_INNER, 1]) / 2
    half = np.maximum((out[LOWER_INNER, 1] - out[UPPER_INNER, 1]) / 2, 0)
    top, bottom = out[UPPER_OUTER, 1] + 0.012, out[LOWER_OUTER, 1] - 0.012
    out[UPPER_INNER, 1] = np.clip(middle - half, np.minimum(top, bottom), np.maximum(top, bottom))
    out[LOWER_INNER, 1] = np.maximum(
        np.clip(middle + half, np.minimum(top, bottom), np.maximum(top, bottom)), out[UPPER_INNER, 1]
    )
    return out
