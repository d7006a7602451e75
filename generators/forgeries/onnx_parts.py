"""Neural engines as ONNX files that the user brings: where they are, sessions, crops by the ArcFace template,
pasting back.

Nothing of an engine comes with the project. A file that is not there ends the command (exit code 3) with
where it comes from and under which licence, before any fake is made; the licence goes into the record of
every fake. Sessions run on one CPU thread: the same faces give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from generators.forgeries import masks
from generators.forgeries.geometry import Float, invert, similarity
from manifests.errors import DataError, MissingError
from manifests.mesh148 import five_of
from manifests.records import Image
from manifests.registry import Need
from nn.onnx_files import digest_model, open_session, run_session

NEEDS = (Need("onnxruntime", "onnx"), Need("onnx", "onnx"))
ARCFACE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""The template of ArcFace (Deng et al., CVPR 2019) at 112 pixels: eyes, nose tip, mouth corners; pixel
centres at integers.
"""
BOX_FEATHER = 0.08
"""Softness of the crop's own edge when it is pasted back, in crop widths."""


@dataclass(frozen=True)
class Part:
    """One file of an engine: the parameter that names it, the usual file's name, where it is from, under
    which terms.
    """

    parameter: str
    file: str
    source: str
    licence: str


def find_parts(method: str, parts: Sequence[Part], params: Any) -> dict[str, str]:
    """Paths of an engine's files, by parameter.

    Raises:
        MissingError: one is not named or not there; all of them are said, with source and licence.
    """
    paths = {part.parameter: str(getattr(params, part.parameter)) for part in parts}
    lacking = [part for part in parts if not Path(paths[part.parameter]).is_file()]
    if lacking:
        raise MissingError(
            f"forgery {method!r}",
            "; ".join(
                f"{paths[part.parameter] or part.file} is not there (from {part.source}; licence:"
                f" {part.licence})"
                for part in lacking
            ),
            "fetch what its terms allow you, then set "
            + ", ".join(f"forge.params.{method}.{part.parameter}=PATH" for part in lacking),
        )
    return paths


def session(path: str) -> Any:
    """An ONNX session on one CPU thread; kept by the process while the file stays as it is.

    Raises:
        DataError: not an ONNX model that onnxruntime can run.
    """
    return _session(path, digest_model(Path(path)))


@lru_cache(maxsize=8)
def _session(path: str, digest: str) -> Any:
    return open_session(Path(path))


def digests(paths: Mapping[str, str]) -> dict[str, str]:
    """First 8 digits of the models' sha256, by parameter: they go into the record."""
    return {name: digest_model(Path(path))[:8] for name, path in paths.items()}


def run(path: str, inputs: Mapping[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
    """The outputs of a model, float32, in its order.

    Args:
        inputs: by the model's input names, or by `0`, `1`, ... for their places.

    Raises:
        DataError: the model's inputs are others, or it fails on these; both sides are said.
    """
    model = session(path)
    known = {given.name: given.shape for given in model.get_inputs()}
    places = list(known)
    named = {
        places[int(name)] if name.isdigit() and int(name) < len(places) else name: np.ascontiguousarray(
            value, np.float32
        )
        for name, value in inputs.items()
    }
    wanted = "; ".join(f"{name} {shape}" for name, shape in known.items())
    if set(named) != set(known):
        raise DataError(
            path,
            f"has the inputs {wanted}, the engine gives {', '.join(named)}",
            "give the file of this engine",
        )
    return [np.asarray(out, np.float32) for out in run_session(model, None, named, Path(path))]


def input_shape(path: str, place: int) -> list[Any]:
    """The shape of an input as the file says it; free dimensions are strings or None."""
    return list(session(path).get_inputs()[place].shape)


def last_initializer(path: str) -> npt.NDArray[np.float32]:
    """The last initializer of the graph: float32; inswapper keeps its `emap` [512, 512] there.

    Raises:
        DataError: the graph has none, or it is no square matrix.
    """
    return _last_initializer(path, digest_model(Path(path)))


@lru_cache(maxsize=2)
def _last_initializer(path: str, digest: str) -> npt.NDArray[np.float32]:
    import onnx

    graph = onnx.load(path).graph
    found = onnx.numpy_helper.to_array(graph.initializer[-1]) if len(graph.initializer) else np.zeros(0)
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise DataError(
            path, f"its last initializer is {list(found.shape)}, not a square emap", "give an inswapper file"
        )
    return np.asarray(found, np.float32)


def template(size: int) -> Float:
    """The ArcFace template at `size` pixels: scaled from 112; from 128, with its margin, where 112 does not
    divide it.
    """
    if size % 112 == 0:
        return ARCFACE * np.float32(size / 112)
    return (ARCFACE + np.array([8.0, 0.0], np.float32)) * np.float32(size / 128)


def crop(image: Image, points: Float, target: Float, size: int) -> tuple[Image, npt.NDArray[np.float64]]:
    """The face on a template: uint8 [size, size, 3], and the matrix [2, 3] from the picture's pixel indices
    to the crop's.

    Args:
        points: float32 [148, 2], first pixel's centre at (0.5, 0.5).
        target: float32 [5, 2], in pixel indices.
    """
    matrix = similarity(five_of(points) - np.float32(0.5), target)
    return cv2.warpAffine(image, matrix, (size, size), borderValue=0.0).astype(np.uint8), matrix


def pasted(made: Float, matrix: npt.NDArray[np.float64], height: int, width: int) -> tuple[Float, Float]:
    """A made crop back in the picture's place, and the soft mask of the crop: float32 [H, W, 3] and [H, W].

    Args:
        made: float32 [size, size, 3] in [0, 255].
        matrix: as `crop` gave it.
    """
    back, size = invert(matrix), made.shape[0]
    picture = cv2.warpAffine(
        made, back, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float32) / (BOX_FEATHER * size)
    box = np.clip(np.minimum(edge[None], edge[:, None]), 0, 1).astype(np.float32)
    alpha = cv2.warpAffine(box, back, (width, height), flags=cv2.INTER_LINEAR)
    return np.clip(picture, 0, 255).astype(np.float32), np.clip(alpha, 0, 1).astype(np.float32)


def face_alpha(points: Float, box: Float, top: float, sides: float, feather: float) -> Float:
    """The soft face region where the crop covers it: float32 [H, W]. feather: in face widths."""
    height, width = box.shape
    size = float(np.ptp(points, axis=0).mean())
    soft = masks.soft_polygon(masks.face_region(points, top, sides), feather * size, height, width)
    return masks.away_from_edges(soft * box)


def to_blob(
    image: npt.NDArray[np.generic], mean: Sequence[float], deviation: Sequence[float]
) -> npt.NDArray[np.float32]:
    """uint8 [H, W, 3] RGB to float32 [1, 3, H, W]: (x / 255 - mean) / deviation, per channel."""
    values = (np.asarray(image, np.float32) / 255 - np.array(mean, np.float32)) / np.array(
        deviation, np.float32
    )
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def from_blob(
    blob: npt.NDArray[np.float32],
    path: str,
    mean: Sequence[float] = (0, 0, 0),
    deviation: Sequence[float] = (1, 1, 1),
) -> Float:
    """float32 [1, 3, H, W] to float32 [H, W, 3] in [0, 255].

    Raises:
        DataError: another shape, or values that are not finite.
    """
    if blob.ndim != 4 or blob.shape[:2] != (1, 3) or not np.isfinite(blob).all():
        raise DataError(
            path, f"gave {list(blob.shape)}, not finite [1, 3, H, W]", "give the file of this engine"
        )
    values = blob[0].transpose(1, 2, 0) * np.array(deviation, np.float32) + np.array(mean, np.float32)
    return np.clip(values * 255, 0, 255).astype(np.float32)
