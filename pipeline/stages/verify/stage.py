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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from manifests.atomic import digest_file, write_json
from manifests.columns import vectors, with_values
from manifests.containment import inside
from manifests.errors import GateError, MissingError, UsageError
from manifests.images import read_image
from manifests.schema import PHOTOGRAPH
from manifests.splits import assign_splits
from manifests.store import read_rows, row_count, write_table
from manifests.taxonomy import get_taxonomy
from pipeline.engine import models
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage, face_reader_weights, weight_digest
from pipeline.engine.stages import STAGES
from pipeline.engine.strata import NO_CELL, stratum_name, stratum_of
from pipeline.stages.sample.candidates import SCHEMA as SAMPLE_SCHEMA
from pipeline.stages.sample.stage import quotas
from pipeline.stages.verify.selection import look_of, refuse_copies, settle
from pipeline.stages.verify.verifier import Verifier, checked_policy, second_model, verifier_figures

if TYPE_CHECKING:
    from attribute_models.reader import Aligned
    from manifests.records import Image, Points

MIN_FACE_SHARE = 0.12
"""Least distance of the outermost of the five points, as a share of a photograph's longer side: less is no
crop of a face.
"""
_F32S = pa.list_(pa.float32())
SCHEMA = pa.schema(
    [
        *[SAMPLE_SCHEMA.field(name) for name in SAMPLE_SCHEMA.names if name not in ("w", "index", "age")],
        ("race", pa.string()),
        ("gender", pa.string()),
        ("age", pa.string()),
        ("race_prob", pa.float32()),
        ("gender_prob", pa.float32()),
        ("race_probs", _F32S),
        ("face_score", pa.float32()),
        ("sharpness", pa.float32()),
        ("landmarks", _F32S),
        ("landmark_scheme", pa.string()),
        ("embedding", _F32S),
        ("split", pa.string()),
    ]
)
LOOK = pa.field("look", pa.binary())
"""With photographs: what the picture looks like, for `selection.refuse_copies`."""
NUMBERS = ("landmarks", "race_probs", "embedding")
"""Columns of many numbers a face, which stay in the table while the faces are settled."""
PERCEIVED = pa.field("perceived", pa.string())
"""With a policy: the cell that the verifier is sure of, null where it abstains."""


@dataclass
class _Found:
    """A candidate with one face, on its way to a verdict. What is not of its row in the table stands beside
    it.

    mesh: landmarks, float32 [148, 2]. age, age_prob: where the taxonomy has ages. unsure: why the policy
    abstains.
    """

    row: dict[str, Any]
    image: Image
    aligned: Aligned
    mesh: Points | None = None
    age: str | None = None
    age_prob: float = 1.0
    unsure: str | None = None


class _Reader:
    """The models of one shard, and what they read off one picture."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload
        self.verify = payload["verify"]
        device = payload["device"]
        self.taxonomy = get_taxonomy(payload["taxonomy"])
        self.faces = models.face_reader(
            self.verify["face_detector"], self.verify["landmarker"], self.verify["min_face_score"], device
        )
        self.attributes = models.attribute_model(self.verify["attribute_model"], device)
        self.identity = models.identity_model(self.verify["identity_model"], device)
        self.verifier = (
            Verifier(self.verify["policy"], self.taxonomy, device) if self.verify.get("policy") else None
        )
        path = self.verify.get("training_index")
        self.training = models.identity_index(path, payload["training_sha256"]) if path else None

    def look(self, row: dict[str, Any], image: Image) -> dict[str, Any] | _Found:
        """The one face of a picture, cut out for the batched models; else the finished row."""
        from attribute_models.quality import sharpness

        found = self.faces.faces(image)
        if not found:
            return {**row, "status": "rejected", "reason": "no_face"}
        row = {**row, "face_score": float(found[0].score), "sharpness": float(sharpness(image))}
        if len(found) > 1:
            return {**row, "status": "rejected", "reason": "two_faces"}
        if row["origin"] == PHOTOGRAPH and np.ptp(found[0].five[:, 0]) < MIN_FACE_SHARE * max(
            image.shape[:2]
        ):
            return {**row, "status": "rejected", "reason": "small_face"}
        return _Found(row, image, self.faces.cut(image, found[0].five))

    def read(self, faces: list[_Found]) -> None:
        """Attributes and landmarks, in place."""
        crops = np.stack([face.aligned.crop for face in faces])
        found = self.attributes.predict(crops)
        axes = self.attributes.axes(found, self.taxonomy)
        race, gender, ages = axes["race"], axes["gender"], found["age"].argmax(1)
        meshes = self.faces.place([face.aligned for face in faces])
        for i, (face, mesh) in enumerate(zip(faces, meshes, strict=True)):
            face.mesh = mesh
            face.row.update(
                race=self.taxonomy.races[int(race[i].argmax())],
                race_prob=float(race[i].max()),
                gender=self.taxonomy.genders[int(gender[i].argmax())],
                gender_prob=float(gender[i].max()),
                race_probs=race[i].tolist(),
                age=face.row.get("age") or self.attributes.classes["age"][int(ages[i])],
                landmarks=mesh.reshape(-1).tolist(),
                landmark_scheme=self.faces.landmarker.scheme,
            )
            if self.taxonomy.ages:
                face.age = self.taxonomy.ages[int(axes["age"][i].argmax())]
                face.age_prob = float(axes["age"][i].max())
        if self.verifier is not None:
            for face, (perceived, reason) in zip(faces, self.verifier.judge(crops, axes), strict=True):
                face.row["perceived"], face.unsure = perceived, reason

    def decide(self, face: _Found) -> dict[str, Any]:
        """Accept the row and embed its identity, or say why not.

        Annotated photographs keep their annotation: only the picture is judged.
        """
        verify, row = self.verify, face.row
        perceived = self.taxonomy.cell(row["race"], row["gender"], face.age)
        confident = (
            row["race_prob"] >= verify["min_race_prob"] and row["gender_prob"] >= verify["min_gender_prob"]
        )
        confident = confident and face.age_prob >= verify["min_age_prob"]
        confident = confident if self.verifier is None else row.get("perceived") is not None
        annotated = (row.get("attribute_source") or "").startswith("annotation:")
        reason = None
        if row["sharpness"] < verify["min_sharpness"]:
            reason = "blurred"
        elif annotated:
            row["race"], row["gender"] = self.taxonomy.split_cell(row["cell"])
            row["race_prob"] = row["gender_prob"] = None
            row.pop("perceived", None)
        elif not confident:
            reason = face.unsure or "low_confidence"
        elif row["cell"] is None:
            row["cell"] = perceived
            reason = None if perceived in self.payload["cells"] else "other_cell"
        elif perceived != row["cell"]:
            reason = "wrong_cell"
        if not annotated:
            row["attribute_source"] = self.attributes.label_source
        if reason:
            return {**row, "status": "rejected", "reason": reason}
        if self.payload["looks"]:
            row["look"] = look_of(face.image)
        embedding = self.identity.embed(face.image, face.mesh)
        row["embedding"] = embedding.tolist()
        if (
            self.training is not None
            and self.training.nearest(embedding)[0] < verify["min_training_distance"]
        ):
            return {**row, "status": "rejected", "reason": "near_training"}
        return {**row, "status": "accepted", "reason": None}


def verify_candidates(task: Task) -> pa.Table:
    """One shard of candidates, judged one by one."""
    payload = task.payload
    reader = _Reader(payload)
    rows = read_rows(payload["candidates"], payload["start"], payload["stop"], SCHEMA.names).to_pylist()
    looked = [
        (
            reader.look(row, read_image(inside(Path(payload["sample_folder"]), row["path"])))
            if row["status"] == "ok"
            else row
        )
        for row in rows
    ]
    faces = [one for one in looked if isinstance(one, _Found)]
    if faces:
        reader.read(faces)
    # Paths stay relative to the sample stage's folder; this stage writes no images of its own.
    done = [reader.decide(one) if isinstance(one, _Found) else one for one in looked]
    schema = SCHEMA if reader.verifier is None else SCHEMA.append(PERCEIVED)
    schema = schema.append(LOOK) if payload["looks"] else schema
    return pa.Table.from_pylist(done, schema=schema).rename_columns(
        ["sample_path" if n == "path" else n for n in schema.names]
    )


def acceptance(
    rows: list[dict[str, Any]], cells: Sequence[str], origins: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Per cell (`White/Male`) and, where there are several origins, origin (`White/Male, photograph`):
    attempted, accepted, and how many were rejected for each reason. Photographs that were refused before
    their cell was known are under `NO_CELL`.
    """
    groups = {
        stratum_name(cell, origin, origins): [row for row in rows if stratum_of(row) == (cell, origin)]
        for cell in cells
        for origin in origins
    }
    bare = [row for row in rows if row["origin"] == PHOTOGRAPH and row["cell"] not in cells]
    out = {}
    for name, mine in {**groups, **({NO_CELL: bare} if bare else {})}.items():
        reasons = Counter(row["reason"] for row in mine if row["status"] != "accepted")
        out[name] = {
            "attempted": len(mine),
            "accepted": sum(row["status"] == "accepted" for row in mine),
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

    def _training(self, run: RunDirectory) -> dict[str, str]:
        """What shards need to know of the index; checks that it is of this run's identity model."""
        digest = self.files(run).get("training_index")
        if digest is None:
            return {}
        index = models.identity_index(run.config.verify.training_index, digest)
        if index.model_sha256 != self.weights(run)["identity_model"]:
            raise UsageError(
                f"verify.training_index {run.config.verify.training_index}",
                f"was made with {index.model or 'an unknown model'}, not with"
                f" {run.config.verify.identity_model}",
                "make it again: fairforge identity-index",
            )
        return {"training_sha256": digest}

    def tasks(self, context: Context, key: str) -> list[Task]:
        run, config = context.run, context.config
        candidates = run.folder("sample") / "candidates.parquet"
        total = row_count(candidates)
        payload = {
            "verify": config.verify.model_dump(),
            "taxonomy": config.dataset.taxonomy,
            "device": config.execute.device,
            "candidates": str(candidates),
            "sample_folder": str(run.folder("sample")),
            "cells": config.dataset.cells,
            "looks": PHOTOGRAPH in config.sample.origins,
            **self._training(run),
        }
        size = config.verify.shard_size
        return [
            Task(
                self.name,
                number,
                self.folder(run),
                key,
                verify_candidates,
                {**payload, "start": start, "stop": min(start + size, total)},
            )
            for number, start in enumerate(range(0, total, size))
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        run, config = context.run, context.config
        table = read_shards(self.folder(run), len(tasks))
        rows = table.drop_columns([name for name in NUMBERS if name in table.column_names]).to_pylist()
        for row, embedding in zip(rows, vectors(table.column("embedding")), strict=True):
            row["embedding"] = embedding
        refuse_copies(rows)
        settle(rows, quotas(config), config.verify.min_identity_distance)
        accepted = [row for row in rows if row["status"] == "accepted"]
        splits = assign_splits(
            [row["identity_id"] for row in accepted],
            [" ".join(map(str, stratum_of(row))) for row in accepted],
            config.dataset.splits,
            seed=config.run.seed,
        )
        for row, split in zip(accepted, splits, strict=True):
            row["split"] = split
        for name in ("status", "reason", "split"):
            table = with_values(table, name, [row[name] for row in rows])
        faces, table_path = self.folder(run) / "faces.parquet", self.folder(run) / "acceptance.json"
        kept = table.select([name for name in table.column_names if name != LOOK.name])
        write_table(kept.sort_by("image_id").combine_chunks(), faces)
        figures = acceptance(rows, config.dataset.cells, config.sample.origins)
        write_json(table_path, figures)
        self._gate(config, figures)
        outputs = [faces, table_path]
        if config.verify.policy:
            outputs.append(self.folder(run) / "verifier.json")
            write_json(
                outputs[-1],
                verifier_figures(Path(config.verify.policy), get_taxonomy(config.dataset.taxonomy), rows),
            )
        return Outcome(outputs, {"accepted": len(accepted), "attempted": len(rows)})

    def _gate(self, config: Any, figures: dict[str, dict[str, Any]]) -> None:
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
