"""What the latent forgeries share: the generator of a face, pictures of moved latents, blending them back
into the face.

A face carries its latent and its generator's name and digest (`manifests.records.Face`). The generator is
loaded when the first such face comes, and kept by the process. Pictures are made one at a time, on one
thread: their bytes depend on the latent alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from generators.forgeries import blending, masks, second_face
from generators.forgeries.checks import ForgeryError
from generators.forgeries.geometry import Float
from manifests.errors import DataError, MissingError
from manifests.mesh148 import GROUPS
from manifests.records import Face
from manifests.registry import Params
from nn.devices import torch_threads

if TYPE_CHECKING:
    from generators.cells.directions import Directions
    from generators.stylegan2.generator import Generator

DETAIL_RADIUS = 0.2
"""Over how much of the face, in face widths, detail is compared."""


class LatentParams(Params):
    """Ranges are (low, high), drawn uniformly per sample.

    feather: width of the mask's soft edge, in face widths. top: how far the mask goes from the brows (0) to
    the upper end of the face oval (1). sides: scale of the oval. max_difference: largest mean difference, in
    grey levels, of the target from its latent's picture, beyond which the latent is not this picture's.
    """

    feather: tuple[float, float] = (0.10, 0.16)
    top: tuple[float, float] = (0.4, 0.8)
    sides: tuple[float, float] = (0.92, 1.0)
    max_difference: float = 12.0


@lru_cache(maxsize=2)
def _load(name: str, sha256: str | None) -> Generator:
    from generators.checkpoints.library import load_generator

    generator = load_generator(name)
    if sha256 and generator.sha256 != sha256:
        raise DataError(
            f"generator {name!r}",
            f"has digest {generator.sha256[:8]}, the faces were made with {sha256[:8]}",
            "bring back the generator that made them, or sample again",
        )
    return generator


def generator_of(face: Face) -> Generator:
    """The generator that made a face.

    Raises:
        ForgeryError: `no_latent`, where the face has no latent or no generator, or a latent that does not fit
            it.
        MissingError, DataError: the generator is not there, or is another one.
    """
    if face.latent is None or not face.generator:
        raise ForgeryError(
            "no_latent",
            f"face {face.image_id!r}",
            "has no latent of a known generator (a photograph has none)",
            "use a method that works on pictures, such as swap-delaunay, or faces made by `fairforge sample`",
        )
    generator = _load(face.generator, face.generator_sha256)
    shape = face.latent.shape
    if (
        face.latent.ndim != 2
        or shape[0] not in (1, generator.num_ws)
        or shape[1] != generator.w_dim
        or not np.isfinite(face.latent).all()
    ):
        raise ForgeryError(
            "no_latent",
            f"face {face.image_id!r}",
            f"its latent {list(shape)} is none of generator {face.generator!r} [{generator.num_ws},"
            f" {generator.w_dim}]",
            "leave this face out",
        )
    return generator


def same_generator(target: Face, other: Face) -> Generator:
    """The generator of both faces.

    Raises:
        ForgeryError: as `generator_of`; `other_generator`, where they come from two.
    """
    generator = generator_of(target)
    generator_of(other)
    if (other.generator, other.generator_sha256) != (target.generator, target.generator_sha256):
        raise ForgeryError(
            "other_generator",
            f"face {other.image_id!r}",
            f"is of generator {other.generator!r}, its target of {target.generator!r}",
            "pair faces of one generator",
        )
    return generator


def styles(face: Face, generator: Generator) -> npt.NDArray[np.float32]:
    """The latent, one style per layer: float32 [num_ws, w_dim], a copy."""
    assert face.latent is not None
    return np.array(np.broadcast_to(face.latent, (generator.num_ws, generator.w_dim)), np.float32)


def layer_of(resolution: int) -> int:
    """The number of the first style that shapes `resolution` pixels: 0 for 4, 2 for 8, 4 for 16, ..."""
    return 2 * (int(resolution).bit_length() - 3)


def picture(generator: Generator, w: npt.NDArray[np.float32], height: int, width: int) -> Float:
    """The picture of one latent: float32 [height, width, 3] in [0, 255], resampled where the generator's size
    is another.

    Args:
        w: float32 [num_ws, w_dim].
    """
    from generators.sampling import synthesize

    with torch_threads(1):
        image = synthesize(generator, w[None], micro_batch=1)[0].astype(np.float32)
    if image.shape[:2] == (height, width):
        return image
    method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.clip(cv2.resize(image, (width, height), interpolation=method), 0, 255)


def check_latent(target: Face, generator: Generator, max_difference: float) -> None:
    """Raise unless the target's latent gives about the target's picture.

    Raises:
        ForgeryError: `latent_mismatch`.
    """
    height, width = target.image.shape[:2]
    found = picture(generator, styles(target, generator), height, width)
    difference = float(np.abs(found - target.image).mean())
    if difference > max_difference:
        raise ForgeryError(
            "latent_mismatch",
            f"face {target.image_id!r}",
            f"differs by {difference:.0f} grey levels from its latent's picture",
            "forge the picture as the generator made it, neither cropped nor aligned anew",
        )


def drawn_mask(params: LatentParams, rng: np.random.Generator) -> dict[str, Any]:
    """Draws of the mask's parameters."""
    return {
        name: round(float(rng.uniform(*getattr(params, name))), 4) for name in ("feather", "top", "sides")
    }


def face_alpha(points: Float, drawn: Mapping[str, Any], height: int, width: int) -> Float:
    """The soft mask of the face: float32 [height, width] in [0, 1]."""
    size = float(np.ptp(points[list(GROUPS["oval"])], axis=0).mean())
    region = masks.face_region(points, drawn["top"], drawn["sides"])
    return masks.away_from_edges(masks.soft_polygon(region, drawn["feather"] * size, height, width))


def fitted(
    made: Float,
    base: Float,
    points: Float,
    alpha: Float,
    colour: second_face.Colour | None = None,
    relight: float = 0.0,
) -> Float:
    """A made picture with the target's detail and, where `colour` is given, its colours and `relight` of its
    shading.
    """
    if colour is not None:
        made = second_face.recoloured(made, base, points, alpha, colour, relight)
    size = float(np.ptp(points[list(GROUPS["oval"])], axis=0).mean())
    return blending.match_detail(made, base, alpha, DETAIL_RADIUS * size, high=2.5)


def directions_of(path: str, generator: Generator, method: str) -> Directions:
    """The directions in a file, for this generator.

    Raises:
        MissingError: no path, or no such file. DataError: not such a file, or of another generator.
    """
    if not path:
        raise MissingError(
            f"forgery {method!r}",
            f"needs the latent directions of generator {generator.name!r}",
            f"the stage `fairforge forge` fits them; else give forge.params.{method}.directions a file of its"
            " folder",
        )
    found = _directions(path, Path(path).stat().st_mtime_ns if Path(path).is_file() else 0)
    if found.generator_sha256 != generator.sha256:
        raise DataError(
            path,
            f"has the directions of another generator than {generator.name!r}",
            "fit them again: fairforge forge",
        )
    return found


@lru_cache(maxsize=2)
def _directions(path: str, changed: int) -> Directions:
    from generators.cells.directions import read_directions

    return read_directions(path)
