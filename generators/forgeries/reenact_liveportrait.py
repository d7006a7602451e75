"""`reenact-liveportrait`: LivePortrait as three ONNX files: appearance, motion, and warping with the
decoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from generators.forgeries import onnx_parts
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.geometry import Float
from generators.forgeries.onnx_parts import Part
from generators.forgeries.shape_model import MEASURES
from manifests.errors import DataError
from manifests.records import Face
from manifests.registry import Params

LICENCE = "LivePortrait: MIT"
SOURCE = "exported from github.com/KwaiVGI/LivePortrait"
SIDE = 256
CROP = np.array([[0.405, 0.41], [0.595, 0.41], [0.5, 0.52], [0.42, 0.62], [0.58, 0.62]], np.float32)
"""Where the five points lie in the crop, in crop widths: the face takes about half of it [recon]."""
BINS = 66
Matrix = npt.NDArray[np.float64]


class LivePortraitParams(Params):
    """appearance, motion, warping: the ONNX files. Ranges are drawn uniformly per sample:

    strength: how much of the driver's expression and pose is taken. feather, top, sides: as for the neural
    swaps.
    """

    appearance: str = ""
    motion: str = ""
    warping: str = ""
    strength: tuple[float, float] = (0.9, 1.0)
    feather: tuple[float, float] = (0.06, 0.12)
    top: tuple[float, float] = (0.6, 1.0)
    sides: tuple[float, float] = (1.0, 1.08)


@forgery(
    "reenact-liveportrait",
    family="reenact",
    uses="driver",
    params=LivePortraitParams,
    needs=onnx_parts.NEEDS,
    moves=MEASURES,
    licence=LICENCE,
    paper="Guo et al., LivePortrait, arXiv 2407.03168, 2024",
    partner="moving",
    files=("appearance", "motion", "warping"),
)
class LivePortrait(Forger):
    """Neural reenactment by LivePortrait's implicit key points; bring the files yourself."""

    parts = (
        Part("appearance", "appearance_feature_extractor.onnx", SOURCE, LICENCE),
        Part("motion", "motion_extractor.onnx", SOURCE, LICENCE),
        Part("warping", "warping_spade.onnx", SOURCE, LICENCE),
    )

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.paths = onnx_parts.find_parts(self.name, self.parts, params)

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The target with the driver's expression and rotation; its own scale and place. See `Forger.layers`.

        Raises:
            DataError: a file is not LivePortrait's.
        """
        assert other is not None
        assert target.landmarks is not None
        assert other.landmarks is not None
        drawn: dict[str, Any] = {
            name: round(float(rng.uniform(*getattr(self.params, name))), 4)
            for name in ("strength", "feather", "top", "sides")
        }
        drawn["digests"] = onnx_parts.digests(self.paths)
        points = target.landmarks.astype(np.float32)
        ours, matrix = _blob(target, points)
        theirs, _ = _blob(other, other.landmarks.astype(np.float32))
        still, driver = self._motion(ours), self._motion(theirs)
        share = drawn["strength"]
        angles = still["angles"] + share * (driver["angles"] - still["angles"])
        expression = still["expression"] + share * (driver["expression"] - still["expression"])
        moved = _key_points(still, angles, expression)
        feature = onnx_parts.run(self.paths["appearance"], {"0": ours})[0]
        out = onnx_parts.run(
            self.paths["warping"],
            {
                "feature_3d": feature,
                "kp_driving": moved,
                "kp_source": _key_points(still, still["angles"], still["expression"]),
            },
        )[0]
        made = onnx_parts.from_blob(out, self.paths["warping"])
        zoom = np.array([[made.shape[1] / SIDE, 0, 0], [0, made.shape[0] / SIDE, 0]]) @ np.vstack(
            [matrix, [0, 0, 1]]
        )
        picture, box = onnx_parts.pasted(made, zoom, *target.image.shape[:2])
        return Layers(
            picture, onnx_parts.face_alpha(points, box, drawn["top"], drawn["sides"], drawn["feather"]), drawn
        )

    def _motion(self, blob: npt.NDArray[np.float32]) -> dict[str, Matrix]:
        """Angles in degrees (pitch, yaw, roll), translation [3], expression [K, 3], scale [1], canonical key
        points [K, 3].

        Raises:
            DataError: the file gives something else than pitch, yaw, roll (66 bins each), t, exp, scale, kp.
        """
        path = self.paths["motion"]
        out = [np.asarray(value, np.float64).reshape(-1) for value in onnx_parts.run(path, {"0": blob})]
        sizes = [len(value) for value in out]
        if (
            len(out) != 7
            or sizes[:4] != [BINS, BINS, BINS, 3]
            or sizes[5] != 1
            or sizes[4] != sizes[6]
            or sizes[4] % 3
        ):
            raise DataError(
                path,
                f"gives outputs of {sizes} numbers, not pitch, yaw, roll, t, exp, scale, kp",
                "give the motion extractor",
            )
        return {
            "angles": np.array([degrees(bins) for bins in out[:3]]),
            "place": out[3],
            "expression": out[4].reshape(-1, 3),
            "scale": out[5],
            "canonical": out[6].reshape(-1, 3),
        }


def _blob(face: Face, points: Float) -> tuple[npt.NDArray[np.float32], Matrix]:
    image, matrix = onnx_parts.crop(face.image, points, CROP * np.float32(SIDE), SIDE)
    return onnx_parts.to_blob(image, (0, 0, 0), (1, 1, 1)), matrix


def degrees(bins: Matrix) -> float:
    """The expected angle of 66 bins of 3 degrees from -97.5 (Ruiz et al., Hopenet, CVPR workshops 2018)."""
    weights = np.exp(bins - bins.max())
    return float(weights @ np.arange(BINS) / weights.sum() * 3 - 97.5)


def rotation(angles: Matrix) -> Matrix:
    """The transposed rotation matrix (Rz Ry Rx)^T of pitch, yaw, roll in degrees, by which row vectors are
    multiplied.
    """
    (sx, sy, sz), (cx, cy, cz) = np.sin(np.deg2rad(angles)), np.cos(np.deg2rad(angles))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x).T


def _key_points(motion: dict[str, Matrix], angles: Matrix, expression: Matrix) -> npt.NDArray[np.float32]:
    """Key points x = s (x_c R + e) + t, the depth of t left out (arXiv 2407.03168, equation 2): float32 [1,
    K, 3].
    """
    place = motion["place"] * np.array([1.0, 1.0, 0.0])
    points = motion["scale"] * (motion["canonical"] @ rotation(angles) + expression) + place
    return points[None].astype(np.float32)
