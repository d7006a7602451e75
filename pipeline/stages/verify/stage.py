"""Stage `verify`: is each candidate one clear face, perceived as its cell, and a new identity? Landmarks come
along.

Every candidate has a row with a status and a reason: `no_face`, `two_faces`, `small_face` (a photograph that
is no crop of a face), `blurred`, `low_confidence`, `models_disagree` (where a policy names a second model),
`wrong_cell`, `other_cell` (a photograph without annotation, perceived as a cell that is not wanted),
`near_training` (where an index of training faces is given), and, decided over all shards,
`duplicate_picture`, `duplicate_identity` and `surplus` (the cell was full).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from manifests.atomic import digest_file, write_json
from manifests.columns import with_values
from manifests.containment import inside
from manifests.errors import GateError, MissingError, UsageError
from manifests.images import read_image
from manifests.schema import PHOTOGRAPH
from manifests.splits import assign_splits
from manifests.store import read_rows, row_count, write_table
from manifests.taxonomy import get_taxonomy
from pipeline.engine import models
from pipeline.engine.config import Config, VerifySection
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage, face_reader_weights, weight_digest
from pipeline.engine.stages import STAGES
from pipeline.engine.strata import NO_CELL, stratum_name
from pipeline.stages.sample.stage import quotas
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
from pipeline.stages.verify.selection import look_of, refuse_copies, settle
from pipeline.stages.verify.verifier import Verifier, checked_policy, second_model, verifier_figures

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


def acceptance(
    faces: Sequence[VerifiedFace], cells: Sequence[str], origins: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Per cell (`White/Male`) and, where there are several origins, origin (`White/Male, photograph`):
    attempted, accepted, and how many were rejected for each reason. Photographs that were refused before
    their cell was known are under `NO_CELL`.
    """
    groups = {
        stratum_name(cell, origin, origins): [face for face in faces if face.stratum == (cell, origin)]
        for cell in cells
        for origin in origins
    }
    bare = [face for face in faces if face.is_photograph and face.cell not in cells]
    out = {}
    for name, mine in {**groups, **({NO_CELL: bare} if bare else {})}.items():
        reasons = Counter(face.reason for face in mine if not face.accepted)
        out[name] = {
            "attempted": len(mine),
            "accepted": sum(face.accepted for face in mine),
            "rejected": dict(sorted((str(k), v) for k, v in reasons.items())),
        }
    return out


@STAGES.register("verify")
class VerifyStage(Stage):
    """Accepts or rejects every candidate; keeps at most a quota per cell; assigns identity-disjoint
    splits.
    """

    name = "verify"
    after = "sample"
    version = 2
    needs = ("sample",)

    def config(self, run: RunDirectory) -> dict[str, Any]:
        config = run.config
        return {
            "verify": config.verify.model_dump(),
            "taxonomy": config.dataset.taxonomy,
            "quotas": quotas(config),
            "per_cell": {cell: config.dataset.wanted(cell) for cell in config.dataset.cells},
            "splits": config.dataset.splits,
            "allow_short": config.pair.allow_short,
            "origins": config.sample.origins,
        }

    def weights(self, run: RunDirectory) -> dict[str, str]:
        verify = run.config.verify
        second = second_model(verify.policy, run.config.dataset.taxonomy) if verify.policy else ""
        return {
            "attribute_model": weight_digest(verify.attribute_model, "attributes"),
            **face_reader_weights(run.config),
            **({"second_model": weight_digest(second, "attributes")} if second else {}),
        }

    def files(self, run: RunDirectory) -> dict[str, str]:
        named, policy = run.config.verify.training_index, run.config.verify.policy
        found = {"policy": checked_policy(policy, run.config)} if policy else {}
        if not named:
            return found
        if not Path(named).is_file():
            raise MissingError(
                f"verify.training_index {named}",
                "is not there",
                f"make it: fairforge identity-index --data FACES --out {named}, or leave the key empty",
            )
        return {**found, "training_index": digest_file(named)}

    def _training(self, run: RunDirectory) -> str:
        """The digest of the index of training faces, of this run's identity model; empty for none.

        Raises:
            UsageError: it was made with another.
        """
        digest = self.files(run).get("training_index")
        if digest is None:
            return ""
        index = models.identity_index(run.config.verify.training_index, digest)
        if index.model_sha256 != self.weights(run)["identity_model"]:
            raise UsageError(
                f"verify.training_index {run.config.verify.training_index}",
                f"was made with {index.model or 'an unknown model'}, not with"
                f" {run.config.verify.identity_model}",
                "make it again: fairforge identity-index",
            )
        return digest

    def tasks(self, context: Context, key: str) -> list[Task]:
        run, config = context.run, context.config
        candidates = run.folder("sample") / "candidates.parquet"
        total = row_count(candidates)
        judging = Judging(
            verify=config.verify,
            taxonomy=config.dataset.taxonomy,
            cells=config.dataset.cells,
            device=config.execute.device,
            candidates=candidates,
            sample_folder=run.folder("sample"),
            looks=PHOTOGRAPH in config.sample.origins,
            training_sha256=self._training(run),
        )
        size = config.verify.shard_size
        return [
            Task(
                self.name,
                number,
                self.folder(run),
                key,
                verify_candidates,
                replace(judging, start=start, stop=min(start + size, total)),
            )
            for number, start in enumerate(range(0, total, size))
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        run, config = context.run, context.config
        table = read_shards(self.folder(run), len(tasks))
        read = table.drop_columns(["landmarks", "race_probs"])
        faces = settle(refuse_copies(faces_of(read)), quotas(config), config.verify.min_identity_distance)
        accepted = [face for face in faces if face.accepted]
        splits = assign_splits(
            [face.identity_id for face in accepted],
            [" ".join(map(str, face.stratum)) for face in accepted],
            config.dataset.splits,
            seed=config.run.seed,
        )
        split_of = {face.image_id: split for face, split in zip(accepted, splits, strict=True)}
        table = with_values(table, "status", [face.status for face in faces])
        table = with_values(table, "reason", [face.reason for face in faces])
        table = with_values(table, "split", [split_of.get(face.image_id) for face in faces])
        faces_path, table_path = self.folder(run) / "faces.parquet", self.folder(run) / "acceptance.json"
        kept = table.select([name for name in table.column_names if name != LOOK.name])
        write_table(kept.sort_by("image_id").combine_chunks(), faces_path)
        figures = acceptance(faces, config.dataset.cells, config.sample.origins)
        write_json(table_path, figures)
        self._gate(config, figures)
        outputs = [faces_path, table_path]
        if config.verify.policy:
            outputs.append(self.folder(run) / "verifier.json")
            write_json(
                outputs[-1],
                verifier_figures(Path(config.verify.policy), get_taxonomy(config.dataset.taxonomy), faces),
            )
        return Outcome(outputs, {"accepted": len(accepted), "attempted": len(faces)})

    def _gate(self, config: Config, figures: dict[str, dict[str, Any]]) -> None:
        origins, wanted = config.sample.origins, config.dataset.wanted
        asked = {
            stratum_name(cell, origin, origins): wanted(cell)
            for cell in config.dataset.cells
            for origin in origins
        }
        short = {name: count for name, count in asked.items() if figures[name]["accepted"] < count}
        if short and not config.pair.allow_short:
            names = "; ".join(
                f"{name} has {figures[name]['accepted']} of {count} (rejected: {figures[name]['rejected']})"
                for name, count in short.items()
            )
            remedy = (
                ""
                if PHOTOGRAPH not in origins
                else "name more photographs, raise sample.tries, loosen sample.filters, "
            )
            raise GateError(
                f"{len(short)} cell{'s' if len(short) > 1 else ''} cannot be filled",
                names,
                f"{remedy}raise sample.oversample, lower verify.min_race_prob, ask for fewer with"
                " dataset.per_cell, or pass --allow-short to go on with what there is",
            )
