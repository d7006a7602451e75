"""Judging a shard of candidates: one clear face, what is perceived, landmarks, identity, a verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from manifests.containment import inside
from manifests.images import read_image
from manifests.store import read_rows
from manifests.taxonomy import get_taxonomy
from pipeline.engine import models
from pipeline.engine.config import VerifySection
from pipeline.engine.shards import Task
from pipeline.stages.verify.faces import (
    ACCEPTED,
    LOOK,
    PERCEIVED,
    SAMPLED,
    SCHEMA,
    VerifiedFace,
    face_table,
    faces_of,
)
from pipeline.stages.verify.selection import look_of
from pipeline.stages.verify.verifier import Verifier

if TYPE_CHECKING:
    from attribute_models.reader import Aligned
    from manifests.records import Image, Points

MIN_FACE_SHARE = 0.12
"""Least distance of the outermost of the five points, as a share of a photograph's longer side: less is no
crop of a face.
"""


@dataclass(frozen=True)
class Judging:
    """What a shard needs: candidates `start` to `stop`.

    candidates: the file. cells: those wanted. looks: whether pictures are compared with each other later.
    training_sha256: of the index of training faces, empty for none.
    """

    verify: VerifySection
    taxonomy: str
    cells: tuple[str, ...]
    device: str
    candidates: Path
    sample_folder: Path
    looks: bool
    training_sha256: str
    start: int = 0
    stop: int = 0


@dataclass(frozen=True)
class _Found:
    """A candidate with one face, on its way to a verdict."""

    row: VerifiedFace
    image: Image
    aligned: Aligned


@dataclass(frozen=True)
class _Read:
    """What was read off a face, beside what its row says.

    mesh: landmarks, float32 [148, 2]. age, age_prob: where the taxonomy has ages. unsure: why the policy
    abstains.
    """

    row: VerifiedFace
    image: Image
    mesh: Points
    age: str | None
    age_prob: float
    unsure: str | None


class _Reader:
    """The models of one shard, and what they read off one picture."""

    def __init__(self, judging: Judging) -> None:
        self.judging = judging
        self.verify = verify = judging.verify
        self.taxonomy = get_taxonomy(judging.taxonomy)
        self.faces = models.face_reader(
            verify.face_detector, verify.landmarker, verify.min_face_score, judging.device
        )
        self.attributes = models.attribute_model(verify.attribute_model, judging.device)
        self.identity = models.identity_model(verify.identity_model, judging.device)
        self.verifier = Verifier(verify.policy, self.taxonomy, judging.device) if verify.policy else None
        self.training = (
            models.identity_index(verify.training_index, judging.training_sha256)
            if verify.training_index
            else None
        )

    def look(self, row: VerifiedFace, image: Image) -> VerifiedFace | _Found:
        """The one face of a picture, cut out for the batched models; else the finished row."""
        from attribute_models.quality import sharpness

        found = self.faces.faces(image)
        if not found:
            return row.rejected("no_face")
        row = replace(row, face_score=float(found[0].score), sharpness=float(sharpness(image)))
        if len(found) > 1:
            return row.rejected("two_faces")
        if row.is_photograph and np.ptp(found[0].five[:, 0]) < MIN_FACE_SHARE * max(image.shape[:2]):
            return row.rejected("small_face")
        return _Found(row, image, self.faces.cut(image, found[0].five))

    def read(self, faces: list[_Found]) -> list[_Read]:
        """Attributes and landmarks."""
        crops = np.stack([face.aligned.crop for face in faces])
        found = self.attributes.predict(crops)
        axes = self.attributes.axes(found, self.taxonomy)
        race, gender, ages = axes["race"], axes["gender"], found["age"].argmax(1)
        meshes = self.faces.place([face.aligned for face in faces])
        verdicts: list[tuple[str | None, str | None]] = [(None, None)] * len(faces)
        if self.verifier is not None:
            verdicts = self.verifier.judge(crops, axes)
        out = []
        for i, (face, mesh, (perceived, unsure)) in enumerate(zip(faces, meshes, verdicts, strict=True)):
            row = replace(
                face.row,
                race=self.taxonomy.races[int(race[i].argmax())],
                race_prob=float(race[i].max()),
                gender=self.taxonomy.genders[int(gender[i].argmax())],
                gender_prob=float(gender[i].max()),
                race_probs=race[i].tolist(),
                age=face.row.age or self.attributes.classes["age"][int(ages[i])],
                landmarks=mesh.reshape(-1).tolist(),
                landmark_scheme=self.faces.landmarker.scheme,
                perceived=perceived,
            )
            age, age_prob = None, 1.0
            if self.taxonomy.ages:
                age = self.taxonomy.ages[int(axes["age"][i].argmax())]
                age_prob = float(axes["age"][i].max())
            out.append(_Read(row, face.image, mesh, age, age_prob, unsure))
        return out

    def decide(self, face: _Read) -> VerifiedFace:
        """Accept the row and embed its identity, or say why not.

        Annotated photographs keep their annotation: only the picture is judged.
        """
        row, reason = self._verdict(face)
        if not row.annotated:
            row = replace(row, attribute_source=self.attributes.label_source)
        if reason:
            return row.rejected(reason)
        if self.judging.looks:
            row = replace(row, look=look_of(face.image))
        embedding = self.identity.embed(face.image, face.mesh)
        row = replace(row, embedding=embedding.tolist())
        if self.training is not None:
            distance, _ = self.training.nearest(embedding)
            if distance < self.verify.min_training_distance:
                return row.rejected("near_training")
        return replace(row, status=ACCEPTED, reason=None)

    def _sure(self, face: _Read) -> bool:
        """Whether what is perceived is sure enough."""
        if self.verifier is not None:
            return face.row.perceived is not None
        row, verify = face.row, self.verify
        race, gender = row.race_prob or 0.0, row.gender_prob or 0.0
        sure = race >= verify.min_race_prob and gender >= verify.min_gender_prob
        return sure and face.age_prob >= verify.min_age_prob

    def _verdict(self, face: _Read) -> tuple[VerifiedFace, str | None]:
        """The row with its cell, and why it is refused; None where it is not."""
        row = face.row
        perceived = self.taxonomy.cell(row.race, row.gender, face.age)
        if (row.sharpness or 0.0) < self.verify.min_sharpness:
            return row, "blurred"
        if row.annotated:
            race, gender = self.taxonomy.split_cell(row.cell or "")
            row = replace(row, race=race, gender=gender, race_prob=None, gender_prob=None, perceived=None)
            return row, None
        if not self._sure(face):
            return row, face.unsure or "low_confidence"
        if row.cell is None:
            row = replace(row, cell=perceived)
            return row, None if perceived in self.judging.cells else "other_cell"
        return row, None if perceived == row.cell else "wrong_cell"


def verify_candidates(task: Task[Judging]) -> pa.Table:
    """One shard of candidates, judged one by one."""
    judging = task.payload
    reader = _Reader(judging)
    table = read_rows(judging.candidates, judging.start, judging.stop, SAMPLED)
    rows = faces_of(
        table.rename_columns(["sample_path" if name == "path" else name for name in table.column_names])
    )
    looked = [
        reader.look(row, read_image(inside(judging.sample_folder, row.sample_path or "")))
        if row.status == "ok"
        else row
        for row in rows
    ]
    faces = [one for one in looked if isinstance(one, _Found)]
    read = iter(reader.read(faces) if faces else [])
    done = [reader.decide(next(read)) if isinstance(one, _Found) else one for one in looked]
    schema = SCHEMA if reader.verifier is None else SCHEMA.append(PERCEIVED)
    return face_table(done, schema.append(LOOK) if judging.looks else schema)
