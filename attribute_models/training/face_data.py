"""Labelled aligned faces in memory: the parquet layout of FairFace crops (`file, race, gender, age, image,
...`).

Columns read: `image` (encoded bytes), `race`, `gender`, `age` (words of taxonomy `fairface7`), and, where
there, `mesh148_x64` (int16, pixels times 64). Rows whose labels are unknown or whose image does not decode
are counted, not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.atomic import digest_arrays
from manifests.errors import DataError, MissingError
from manifests.images import decode
from manifests.store import read_batches
from manifests.taxonomy import AGES, GENDERS, get_taxonomy
from manifests.values import age_word, gender_word, race_word

SEVEN = get_taxonomy("fairface7")
RACES = SEVEN.races
RACE4 = np.array(
    [
        get_taxonomy("fairface4").races.index(get_taxonomy("fairface7").map_race(r, "fairface4") or "")
        for r in RACES
    ]
)
"""int64 [7]: the `fairface4` race of each `fairface7` race."""
NEEDED = ("file", "race", "gender", "age", "image")
MESH, POINTS = "mesh148_x64", 148


@dataclass(frozen=True)
class FaceData:
    """Faces with labels.

    images: uint8 [N, H, W, 3], RGB. race, gender, age: int64 [N], indices into fairface7 races, GENDERS,
    AGES. mesh: float32 [N, 148, 2] in pixels, or None. skipped: reason -> count.
    """

    images: npt.NDArray[np.uint8]
    race: npt.NDArray[np.int64]
    gender: npt.NDArray[np.int64]
    age: npt.NDArray[np.int64]
    mesh: npt.NDArray[np.float32] | None
    skipped: dict[str, int]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def race4(self) -> npt.NDArray[np.int64]:
        """int64 [N], indices into fairface4 races."""
        return RACE4[self.race]

    def digest(self) -> str:
        """sha256 of the images and all their labels."""
        kept: dict[str, npt.NDArray[Any]] = {
            "images": self.images,
            "race": self.race,
            "gender": self.gender,
            "age": self.age,
        }
        return digest_arrays(kept if self.mesh is None else {**kept, "mesh": self.mesh})

    def subset(self, index: npt.NDArray[np.int64] | slice) -> FaceData:
        """The rows of `index`, in its order."""
        mesh = None if self.mesh is None else self.mesh[index]
        return FaceData(
            self.images[index], self.race[index], self.gender[index], self.age[index], mesh, self.skipped
        )


def _decode(data: Any) -> npt.NDArray[np.uint8] | None:
    try:
        return decode(data) if isinstance(data, bytes) else None
    except DataError:
        return None


def _mesh(values: Any) -> npt.NDArray[np.float32] | None:
    """float32 [148, 2] in pixels, None where a row has no such mesh."""
    if (
        not isinstance(values, list)
        or len(values) != 2 * POINTS
        or not all(isinstance(v, int | float) for v in values)
    ):
        return None
    return np.asarray(values, np.float32).reshape(POINTS, 2) / np.float32(64)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one parquet file, the columns that are needed."""
    for table in read_batches(path, NEEDED, (MESH,), 512):
        yield from table.to_pylist()


def _append(path: Path, rows: dict[str, list[npt.NDArray[np.generic] | int]], skipped: Counter[str]) -> None:
    """Read one parquet file into `rows`, counting what cannot be used in `skipped`."""
    for row in _rows(path):
        race, gender, age = race_word(row["race"], SEVEN), gender_word(row["gender"]), age_word(row["age"])
        known = race in RACES and gender in GENDERS and age in AGES
        image = _decode(row["image"]) if known else None
        if image is None:
            skipped["unreadable image" if known else "unknown label"] += 1
            continue
        mesh = _mesh(row[MESH]) if MESH in row else None
        if MESH in row and mesh is None:
            skipped["mesh of another shape"] += 1
            continue
        rows["image"].append(image)
        rows["race"].append(RACES.index(race))
        rows["gender"].append(GENDERS.index(gender))
        rows["age"].append(AGES.index(age))
        if mesh is not None:
            rows["mesh"].append(mesh)


def load_faces(paths: Sequence[Path | str]) -> FaceData:
    """Read parquet files of labelled faces, all of one image size.

    Raises:
        MissingError: a path is not there. DataError: not parquet, a column missing, sizes differ, nothing
            usable.
    """
    rows: dict[str, list[npt.NDArray[np.generic] | int]] = {
        k: [] for k in ("image", "race", "gender", "age", "mesh")
    }
    skipped: Counter[str] = Counter()
    for path in map(Path, paths):
        if not path.is_file():
            raise MissingError(str(path), "is not there", "name existing parquet files of labelled faces")
        _append(path, rows, skipped)
    names = ", ".join(map(str, paths))
    if not rows["image"]:
        raise DataError(names, f"holds no usable face ({dict(skipped)})", "check the labels and images")
    if len({np.shape(image) for image in rows["image"]}) > 1:
        raise DataError(names, "the images differ in size", "align and crop them to one size first")
    mesh = np.stack(rows["mesh"]).astype(np.float32) if len(rows["mesh"]) == len(rows["image"]) else None
    race, gender, age = (np.asarray(rows[k], np.int64) for k in ("race", "gender", "age"))
    return FaceData(
        np.stack(rows["image"]).astype(np.uint8),
        race,
        gender,
        age,
        mesh,
        dict(skipped),
    )
