"""Pictures to rows of perceived attributes: detect, align, classify, place landmarks, measure quality.

Every picture gives at least one row. A picture that cannot be used has a row with `status` failed and a
reason: `unreadable`, `truncated`, `no_face`, `many_faces`, `not_aligned`, `not_square`. Networks see batches
of a fixed shape, so a row depends on its picture alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from attribute_models.quality import brightness, sharpness
from attribute_models.reader import CLEAR_SCORE, SIDE, Aligned, FaceReader
from manifests.errors import UsageError
from manifests.images import resize

if TYPE_CHECKING:
    from attribute_models.attributes.classifier import FaceClassifier
    from attribute_models.detection.boxes import DetectedFace, FaceDetector
    from attribute_models.landmarks.mesh import Landmarker

Image = npt.NDArray[np.uint8]
REASONS = ("unreadable", "truncated", "no_face", "many_faces", "not_aligned", "not_square")
MAX_SIDE = 1600
"""Longer side in pixels above which a picture is shrunk before faces are searched; places are mapped back."""


def reason_of(why: str) -> str:
    """`truncated` where a decoder's complaint says that the file ends early, else `unreadable`."""
    return (
        "truncated"
        if any(word in why.lower() for word in ("truncated", "end of file", "premature"))
        else "unreadable"
    )


def failed(row: Mapping[str, Any], reason: str, detail: str) -> dict[str, Any]:
    """The row of a picture that gave no attributes."""
    return {**row, "status": "failed", "reason": reason, "detail": detail}


@dataclass(frozen=True)
class _Face:
    """A found face waiting for its batch: its row, the classifier's crop, and what landmarks are placed
    on.
    """

    row: dict[str, Any]
    crop: Image
    small: Aligned


class Annotator:
    """Models that annotate pictures together.

    Args:
        classifier: race x gender x age.
        landmarker: scheme mesh148, or None for no landmarks.
        detector: finds faces; None: every picture is one aligned face that fills it as the template says.
        min_face_score: faces of a lower detection score are not counted.
        all_faces: a row per face.
    """

    def __init__(
        self,
        classifier: FaceClassifier,
        landmarker: Landmarker | None = None,
        detector: FaceDetector | None = None,
        *,
        min_face_score: float = CLEAR_SCORE,
        all_faces: bool = False,
    ) -> None:
        if not 0 <= min_face_score <= 1:
            raise UsageError(f"min_face_score {min_face_score}", "is not a share", "give 0 to 1")
        self.classifier, self.all_faces = classifier, all_faces
        self.reader = FaceReader(detector, landmarker, min_face_score)

    def find(self, row: Mapping[str, Any], image: Image) -> list[_Face | dict[str, Any]]:
        """The faces of one picture, or its one failed row. image: uint8 [H, W, 3] RGB, any size."""
        height, width = image.shape[:2]
        row = {**row, "width": width, "height": height}
        if self.reader.detector is None:
            if height != width:
                return [failed(row, "not_square", f"{width} x {height} pixels; aligned faces are square")]
            scale = np.array([[SIDE / width, 0, 0], [0, SIDE / width, 0]], np.float32)
            small = Aligned(resize(image, SIDE), scale)
            return [_Face({**row, "face": 0, "faces": 1}, resize(image, self.classifier.crop), small)]
        shrink = min(1.0, MAX_SIDE / max(height, width))
        if shrink < 1:
            import cv2

            image = cv2.resize(
                image,
                (max(1, round(width * shrink)), max(1, round(height * shrink))),
                interpolation=cv2.INTER_AREA,
            )
        found = self.reader.faces(image)
        if not found:
            return [failed(row, "no_face", f"no face with a score of at least {self.reader.min_score:g}")]
        if len(found) > 1 and not self.all_faces:
            return [
                {
                    **failed(row, "many_faces", f"{len(found)} faces; --all-faces gives a row to each"),
                    "faces": len(found),
                }
            ]
        return [
            self._cut({**row, "face": k, "faces": len(found)}, image, face, shrink)
            for k, face in enumerate(found)
        ]

    def _cut(
        self, row: dict[str, Any], image: Image, face: DetectedFace, shrink: float
    ) -> _Face | dict[str, Any]:
        row = {**row, "face_score": face.score, "box": (face.box / np.float32(shrink)).tolist()}
        try:
            small, matrix = self.reader.cut(image, face.five)
            large = (
                small
                if self.classifier.crop == SIDE
                else self.reader.cut(image, face.five, self.classifier.crop).crop
            )
        except UsageError as error:
            return failed(row, "not_aligned", f"{error.what} {error.why}")
        matrix[:, :2] *= np.float32(shrink)
        return _Face(row, large, Aligned(small, matrix))

    def read(self, faces: list[_Face]) -> list[dict[str, Any]]:
        """Finished rows of found faces, in their order."""
        if not faces:
            return []
        found = self.classifier.predict(np.stack([face.crop for face in faces]))
        meshes = (
            self.reader.place([face.small for face in faces]) if self.reader.landmarker is not None else None
        )
        rows = []
        for i, face in enumerate(faces):
            row = {
                **face.row,
                "status": "ok",
                "reason": None,
                "detail": None,
                "attribute_source": self.classifier.label_source,
                "sharpness": sharpness(face.small.crop),
                "brightness": brightness(face.small.crop),
            }
            for head, names in self.classifier.classes.items():
                best = int(found[head][i].argmax())
                row.update({head: names[best], f"{head}_prob": float(found[head][i, best])})
                row.update(
                    {f"{head}:{name}": float(p) for name, p in zip(names, found[head][i], strict=True)}
                )
            if meshes is not None and self.reader.landmarker is not None:
                row.update(
                    landmarks=meshes[i].reshape(-1).tolist(), landmark_scheme=self.reader.landmarker.scheme
                )
            rows.append(row)
        return rows

    def annotate(
        self, pictures: Iterable[tuple[Mapping[str, Any], Image | None]], batch: int = 64
    ) -> Iterator[dict[str, Any]]:
        """Rows in the order of the pictures; at most about `batch` faces are held at once.

        Args:
            pictures: (row, uint8 [H, W, 3] RGB); a picture of None is passed on as the finished row it came
                with.
        """
        waiting: list[_Face | dict[str, Any]] = []
        for row, image in pictures:
            waiting += [dict(row)] if image is None else self.find(row, image)
            if len(waiting) >= batch:
                yield from self._flush(waiting)
                waiting = []
        yield from self._flush(waiting)

    def _flush(self, waiting: list[_Face | dict[str, Any]]) -> Iterator[dict[str, Any]]:
        rows = iter(self.read([item for item in waiting if isinstance(item, _Face)]))
        for item in waiting:
            yield item if isinstance(item, dict) else next(rows)
