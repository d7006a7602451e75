"""Files of features, one `.npz` per clip, arrays alone: nothing in them is executed.

Published with AVH-Align: `visual` and `audio`, float32 [T, 1024] at 25 frames a second, from AV-HuBERT. Our
own hold what the encoder reads: `mouths` uint8 [T, 32, 32], `lips` float32 [T, 40, 2], `banks` float32 [T,
104]. Each array's header is compared with its bytes before anything is allocated.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from detector.audio_visual.encoder import LIP_POINTS, MOUTH_SIDE, Encoder
from detector.audio_visual.filterbanks import DIM
from manifests.archives import BROKEN, open_archive, read_member
from manifests.atomic import digest_file, write_bytes
from manifests.errors import DataError, MissingError
from manifests.escaping import printable
from manifests.images import CHANGED

PUBLISHED, OWN = "published", "own"
MOST_BYTES = 1 << 30
MOST_FRAMES = 30_000
CONVERT = "convert it: numpy.savez(path, visual=array.astype('float32'), audio=array.astype('float32'))"
SHAPES: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "mouths": ("uint8", (MOUTH_SIDE, MOUTH_SIDE)),
    "lips": ("float32", (LIP_POINTS, 2)),
    "banks": ("float32", (DIM,)),
}
"""Arrays of our own files: type, and shape of a frame."""
Arrays = dict[str, npt.NDArray[Any]]


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> npt.NDArray[Any]:
    """One array of the archive, its header checked against its size first."""
    if entry.file_size > MOST_BYTES:
        why = f"has an array of {entry.file_size} bytes, more than {MOST_BYTES >> 20} MiB are not read"
        raise DataError(name, why, "cut it")
    file = io.BytesIO(read_member(archive, entry, MOST_BYTES))
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        why = f"{entry.filename} holds Python objects, which could execute anything and are not read"
        raise DataError(name, why, CONVERT)
    if dtype.itemsize * math.prod(shape) != entry.file_size - file.tell():
        raise DataError(name, f"{entry.filename} says it has another size than it has", "fetch it again")
    data = file.read()
    array = np.frombuffer(data, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def read_arrays(path: Path) -> Arrays:
    """The arrays of an `.npz`, by name.

    Raises:
        MissingError: no such file. DataError: no `.npz`, damaged, too large, or with Python objects.
    """
    name = printable(str(path))
    if not path.is_file():
        raise MissingError(name, "is not there", "make or fetch its features")
    try:
        with path.open("rb") as file, open_archive(file) as archive:
            return {
                entry.filename.removesuffix(".npy"): _member(archive, entry, name)
                for entry in archive.infolist()
            }
    except (SyntaxError, NotImplementedError, *BROKEN) as error:
        raise DataError(
            name, f"is not a readable .npz ({printable(str(error))[:200]})", "make or fetch it again"
        ) from error


def _checked_own(arrays: Arrays, name: str) -> Arrays:
    for key, (kind, shape) in SHAPES.items():
        found = arrays[key]
        if found.dtype != kind or found.shape[1:] != shape or not 0 < len(found) <= MOST_FRAMES:
            wanted = f"{kind} [T, {', '.join(map(str, shape))}]"
            why = f"{key} is {found.dtype} {list(found.shape)}, not {wanted}"
            raise DataError(name, why, "make it with `fairforge av features`")
    return arrays


def _checked_published(arrays: Arrays, name: str) -> Arrays:
    for key in ("visual", "audio"):
        found = arrays[key]
        if (
            found.dtype != np.float32
            or found.ndim != 2
            or not 0 < len(found) <= MOST_FRAMES
            or not 0 < found.shape[1] <= 8192
        ):
            raise DataError(name, f"{key} is {found.dtype} {list(found.shape)}, not float32 [T, D]", CONVERT)
    if abs(len(arrays["visual"]) - len(arrays["audio"])) > 2:
        frames = f"{len(arrays['visual'])} and {len(arrays['audio'])}"
        raise DataError(name, f"visual and audio have {frames} frames", "extract both at 25 frames a second")
    return arrays


def read_features(path: Path, sha256: str | None = None) -> tuple[str, Arrays]:
    """(`own` or `published`, arrays) of a file of features.

    Args:
        path: the file.
        sha256: of the file as it was when its row was written, hex; None: it is not compared.

    Raises:
        MissingError: no such file.
        DataError: as `read_arrays`; another file than its row describes; arrays of another kind or shape, or
            not finite.
    """
    if sha256 is not None and path.is_file() and digest_file(path) != sha256:
        raise DataError(
            printable(str(path)),
            CHANGED,
            "make or fetch it again, then its table with `fairforge av features`",
        )
    arrays, name = read_arrays(path), printable(str(path))
    if set(SHAPES) <= set(arrays):
        kind, kept = OWN, _checked_own({key: arrays[key] for key in SHAPES}, name)
    elif {"visual", "audio"} <= set(arrays):
        kind, kept = PUBLISHED, _checked_published({key: arrays[key] for key in ("visual", "audio")}, name)
    else:
        why = f"has the arrays {', '.join(sorted(map(printable, arrays)))[:200] or 'none'}"
        raise DataError(name, why, f"it needs visual and audio, or {', '.join(SHAPES)}")
    odd = next(
        (key for key, value in kept.items() if value.dtype == np.float32 and not np.isfinite(value).all()),
        None,
    )
    if odd is not None:
        raise DataError(name, f"{odd} has values that are not finite", "extract it again")
    return kind, kept


def write_features(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as an `.npz` atomically; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{key: arrays[key] for key in sorted(arrays)})
    write_bytes(path, buffer.getvalue())


def own_tensors(arrays: Arrays) -> tuple[Tensor, Tensor, Tensor]:
    """Mouths, lips and filterbanks of our own arrays as the encoder takes them."""
    mouths, lips, banks = (torch.from_numpy(np.array(arrays[key])) for key in SHAPES)
    return mouths, lips, banks


@torch.no_grad()
def unit_features(
    kind: str, arrays: Arrays, encoder: Encoder | None, skipped: int = 0
) -> tuple[Tensor, Tensor]:
    """Unit vectors of picture and sound: float [T, D] each, T the shorter of both.

    Args:
        kind: of `read_features`.
        arrays: of `read_features`.
        encoder: for our own files.
        skipped: frames that are left out at the start.

    Raises:
        DataError: nothing is left, or our own files without an encoder.
    """
    if kind == OWN and encoder is None:
        why = "are those that our own encoder reads, and this model was not trained with one"
        raise DataError("features", why, "extract the published ones")
    cut = {key: value[skipped:] for key, value in arrays.items()}
    if any(len(value) == 0 for value in cut.values()):
        raise DataError("features", f"have no frame after the first {skipped}", "leave the clip out")
    if encoder is not None and kind == OWN:
        picture, sound = encoder(*own_tensors(cut))
        return picture, sound
    picture, sound = (F.normalize(torch.from_numpy(np.array(cut[key])), dim=1) for key in ("visual", "audio"))
    length = min(len(picture), len(sound))
    return picture[:length], sound[:length]
