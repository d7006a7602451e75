"""What is read off a set of pictures: features, whether there is a face, its perceived attributes, its
identity.

Every set goes the same road. `whole`: a picture is an aligned face already; its centre square is resampled
(Lanczos with antialiasing) to the common side. `detect`: the best face is found and aligned to the template
at that side; pictures without a face are left out. Landmarks come from the same model on the result, never
from annotations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from attribute_models.reader import CLEAR_SCORE
from manifests.images import Image, resize
from manifests.taxonomy import get_taxonomy
from pipeline.engine import models
from pipeline.faces.feature_spaces.identity import IdentitySpace
from pipeline.faces.sources import Picture

BLOCK = 64
TAXONOMY = "fairface4"
Matrix = npt.NDArray[np.float32]
Crop = Literal["whole", "detect"]


@dataclass
class FaceSet:
    """What was read of one set of pictures.

    features: float32 [N, D], rows of `keys`. embeddings: float32 [K, 128] of the first faces, rows of
    `embedded`. tried, found: pictures read, and those with a face of score 0.9 or more. detected: those with
    any face by the detector's own thresholds. skipped: (key, reason) of the rest. race, gender: perceived
    attributes of the pictures with a face. sides: original sizes as `WxH`. more: features of further spaces,
    rows of `keys`.
    """

    name: str
    features: Matrix
    keys: list[str] = field(default_factory=list)
    embeddings: Matrix = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    embedded: list[str] = field(default_factory=list)
    tried: int = 0
    found: int = 0
    detected: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    race: Counter[str] = field(default_factory=Counter)
    gender: Counter[str] = field(default_factory=Counter)
    sides: Counter[str] = field(default_factory=Counter)
    more: dict[str, Matrix] = field(default_factory=dict)

    def seen_by(self, space: str) -> FaceSet:
        """The same set with the features of a further space; of `identity`: the faces that were embedded."""
        if space in self.more:
            return replace(self, features=self.more[space])
        return replace(self, features=self.embeddings, keys=self.embedded)

    def summary(self) -> dict[str, Any]:
        """Counts and shares, JSON-able."""
        shares = {
            "race": {
                name: round(self.race[name] / max(1, self.found), 4) for name in get_taxonomy(TAXONOMY).races
            },
            "gender": {
                name: round(self.gender[name] / max(1, self.found), 4)
                for name in get_taxonomy(TAXONOMY).genders
            },
        }
        reasons = Counter(reason.split(":")[0] for _, reason in self.skipped)
        return {
            "pictures": self.tried,
            "used": len(self.keys),
            "with_face": self.found,
            "face_rate": round(self.found / self.tried, 4) if self.tried else None,
            "detection_rate": round(self.detected / self.tried, 4) if self.tried else None,
            "skipped": dict(sorted(reasons.items())),
            "examples": [f"{k}: {why}" for k, why in self.skipped[:5]],
            "perceived": shares,
            "sizes": dict(sorted(self.sides.items())),
            "identities": len(self.embedded),
        }


def centre_square(image: Image) -> Image:
    """The largest square in the middle of uint8 [H, W, 3]; a view."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _blocks(items: Iterable[Picture]) -> Iterator[list[Picture]]:
    source = iter(items)
    while block := list(islice(source, BLOCK)):
        yield block


class FaceSetReader:
    """Reads sets of pictures into one feature space.

    Args:
        space: a feature space (its `features`). side: common size in pixels. crop: `whole` or `detect`.
        device: of the face models. more: further feature spaces, by name.
    """

    def __init__(
        self, space: Any, side: int, crop: Crop, device: str, more: Mapping[str, Any] | None = None
    ) -> None:
        self.space, self.side, self.crop, self.more = space, side, crop, dict(more or {})
        self.reader = models.face_reader("mtcnn", "fairforge-mesh148", CLEAR_SCORE, device)
        self.attributes = models.attribute_model("fairforge-small", device)
        self.identity = models.identity_model("dlib-resnet", device)
        self._same = isinstance(space, IdentitySpace) and space.model == "dlib-resnet"

    def _square(self, image: Image) -> tuple[Image | None, bool, bool]:
        """The picture at the common side (None: nothing to use), whether it has a clear face, and any at
        all.
        """
        if self.crop == "whole":
            image = resize(centre_square(image), self.side)
        faces = self.reader.all_faces(image)
        best = next((face for face in faces if face.score >= self.reader.min_score), None)
        if self.crop == "whole":
            return image, best is not None, bool(faces)
        return (
            None if best is None else self.reader.cut(image, best.five, self.side).crop,
            best is not None,
            bool(faces),
        )

    def read(
        self,
        name: str,
        items: Iterable[Picture],
        identities: int | None,
        seen: Callable[[str, Image], None] | None = None,
    ) -> FaceSet:
        """Read one set, a block of pictures at a time.

        Args:
            items: the pictures. identities: how many faces, from the first on, get an identity embedding;
                None: all. seen: is shown every picture with a face, at the common side, and its perceived
                cell.
        """
        further: dict[str, list[Matrix]] = {
            one: [np.zeros((0, space.dim), np.float32)] for one, space in self.more.items()
        }
        out = FaceSet(name, np.zeros((0, self.space.dim), np.float32))
        features, embeddings = [out.features], [np.zeros((0, self.identity.dim), np.float32)]
        for block in _blocks(items):
            keys, squares, faces = self._prepare(block, out)
            if not squares:
                continue
            images = np.stack(squares)
            points = self.reader.landmarks(images)
            rows = self.space.features(images, points)
            features.append(rows)
            for one, space in self.more.items():
                further[one].append(space.features(images, points))
            out.keys += keys
            at = np.flatnonzero(faces)
            self._perceive(images[at], out, seen)
            at = at[: max(0, identities - len(out.embedded))] if identities is not None else at
            embeddings.append(
                rows[at] if self._same else self.identity.embed_many(list(images[at]), list(points[at]))
            )
            out.embedded += [keys[i] for i in at]
        out.features, out.embeddings = np.concatenate(features), np.concatenate(embeddings)
        out.more = {one: np.concatenate(parts) for one, parts in further.items()}
        return out

    def _prepare(self, block: list[Picture], out: FaceSet) -> tuple[list[str], list[Image], list[bool]]:
        keys, squares, faces = [], [], []
        for picture in block:
            if picture.image is None:
                out.skipped.append((picture.key, f"unreadable: {picture.reason}"))
                continue
            out.tried += 1
            height, width = picture.image.shape[:2]
            out.sides[f"{width}x{height}"] += 1
            square, face, any_face = self._square(picture.image)
            out.found += face
            out.detected += any_face
            if square is None:
                out.skipped.append((picture.key, "no_face"))
                continue
            keys.append(picture.key)
            squares.append(square)
            faces.append(face)
        return keys, squares, faces

    def _perceive(
        self, images: npt.NDArray[np.uint8], out: FaceSet, seen: Callable[[str, Image], None] | None
    ) -> None:
        taxonomy = get_taxonomy(TAXONOMY)
        race, gender = self.attributes.predict_cells(images, taxonomy)
        out.race.update(taxonomy.races[i] for i in race.argmax(1))
        out.gender.update(taxonomy.genders[i] for i in gender.argmax(1))
        for image, r, g in zip(images if seen else (), race.argmax(1), gender.argmax(1), strict=False):
            cell = taxonomy.cell(taxonomy.races[r], taxonomy.genders[g])
            if seen is not None and cell is not None:
                seen(cell, image)
