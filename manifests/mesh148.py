"""The landmark scheme `mesh148`: 148 points of the MediaPipe Face Mesh, by index, group and mirror image.

Landmarks of this scheme are float32 [148, 2] in pixels (x, y), in the order of `INDICES`. "Right" is the person's
right, on the left of an unmirrored picture. The scheme `five` is: right eye centre, left eye centre, nose tip,
right mouth corner, left mouth corner.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError

INDICES: tuple[int, ...] = (
    0, 1, 2, 4, 5, 6, 7, 10, 13, 14, 17, 19, 21, 33, 37, 39, 40, 46, 48, 52, 53, 54, 55, 58, 61, 63, 64, 65,
    66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 94, 95, 97, 98, 103, 105, 107, 109, 115, 127, 132, 133,
    136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173,
    176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 278, 282, 283, 284, 285,
    288, 291, 293, 294, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 326, 327, 332,
    334, 336, 338, 344, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387,
    388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466,
)
"""MediaPipe Face Mesh index of each point."""

_AT = {index: position for position, index in enumerate(INDICES)}


def _at(*indices: int) -> tuple[int, ...]:
    return tuple(_AT[i] for i in indices)


_NAMED = {
    "oval": _at(
        10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
        149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
    ),
    "right_eye": _at(
        33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246,
    ),
    "left_eye": _at(
        263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466,
    ),
    "lips_outer": _at(
        61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    ),
    "lips_inner": _at(
        78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
    ),
    "right_brow": _at(
        46, 53, 52, 65, 55, 70, 63, 105, 66, 107,
    ),
    "left_brow": _at(
        276, 283, 282, 295, 285, 300, 293, 334, 296, 336,
    ),
}
_ELSEWHERE = {i for group in _NAMED.values() for i in group}

GROUPS: Mapping[str, tuple[int, ...]] = MappingProxyType({
    **_NAMED, "nose": tuple(i for i in range(len(INDICES)) if i not in _ELSEWHERE),
})
"""Positions (not MediaPipe indices) of each group; `oval` runs clockwise from the forehead's middle."""

_PAIRS = (
    (7, 249), (21, 251), (33, 263), (37, 267), (39, 269), (40, 270), (46, 276), (48, 278), (52, 282), (53,
    283), (54, 284), (55, 285), (58, 288), (61, 291), (63, 293), (64, 294), (65, 295), (66, 296), (67, 297),
    (70, 300), (78, 308), (80, 310), (81, 311), (82, 312), (84, 314), (87, 317), (88, 318), (91, 321), (93,
    323), (95, 324), (97, 326), (98, 327), (103, 332), (105, 334), (107, 336), (109, 338), (115, 344), (127,
    356), (132, 361), (133, 362), (136, 365), (144, 373), (145, 374), (146, 375), (148, 377), (149, 378),
    (150, 379), (153, 380), (154, 381), (155, 382), (157, 384), (158, 385), (159, 386), (160, 387), (161,
    388), (162, 389), (163, 390), (172, 397), (173, 398), (176, 400), (178, 402), (181, 405), (185, 409),
    (191, 415), (234, 454), (246, 466),
)


def _mirror() -> npt.NDArray[np.int64]:
    partner = np.arange(len(INDICES))
    for right, left in _PAIRS:
        partner[_AT[right]], partner[_AT[left]] = _AT[left], _AT[right]
    return partner


MIRROR: npt.NDArray[np.int64] = _mirror()
"""int64 [148]: the position of each point's mirror image; midline points are their own."""


def five_of(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The scheme `five` out of `mesh148`: float32 [..., 148, 2] to float32 [..., 5, 2], same unit."""
    if points.shape[-2:] != (len(INDICES), 2):
        raise UsageError(f"landmarks {list(points.shape)}", "are not of scheme mesh148", "give [..., 148, 2]")
    centre = [points[..., list(GROUPS[eye]), :].mean(-2) for eye in ("right_eye", "left_eye")]
    rest = [points[..., _AT[i], :] for i in (1, 61, 291)]
    return np.stack([*centre, *rest], -2).astype(np.float32)
