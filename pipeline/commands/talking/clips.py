"""One shard of `fairforge talk`: real clips and their fakes, through one encoder; every clip has a row, or a
reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from generators.forgeries.checks import ForgeryError
from generators.talking.base import CLIP_FORGERIES, ForgedClip
from generators.talking.scenes import Scene
from manifests.atomic import canonical_json, digest_file
from manifests.clip_columns import VIDEO
from manifests.clips.encoding import CRF, SOUND, encode_clip
from manifests.clips.reading import FPS
from manifests.containment import inside
from manifests.images import read_image, resize
from manifests.records import Face, ImageRecord
from manifests.schema import SCHEMA
from pipeline.engine.ids import image_path, stable_id
from pipeline.engine.shards import Task

OWN = pa.schema([(name, pa.string()) for name in ("status", "reason", "params", "face_id", "other_face_id")])
"""Beside the manifest's columns, in a shard's table: params as JSON, and the faces, by their ids in
`verify`."""
TABLE = pa.schema([*(field.with_nullable(True) for field in SCHEMA), *OWN])
INHERITED = (
    "race",
    "gender",
    "age",
    "cell",
    "identity_id",
    "split",
    "generator",
    "generator_sha256",
    "psi",
    "licence",
    "consent",
    "dataset",
    "counterfactual_id",
    "origin",
)


class Cast:
    """The scenes of one identity and its partners, made when they are asked for."""

    def __init__(self, item: dict[str, Any], payload: dict[str, Any]) -> None:
        self.item, self.payload = item, payload

    def scene_of(self, row: dict[str, Any]) -> Scene:
        """The real clip of a face.

        Raises:
            MissingError, DataError: its picture is not there, or is another one.
        """
        image = read_image(inside(Path(self.payload["sample_folder"]), row["sample_path"]), row["sha256"])
        points = np.asarray(row["landmarks"], np.float32).reshape(-1, 2) * np.float32(
            self.payload["size"] / image.shape[1]
        )
        face = Face(
            image_id=row["image_id"],
            image=resize(image, self.payload["size"]),
            landmarks=points,
            landmark_scheme=row["landmark_scheme"],
            cell=row["cell"],
            race=row["race"],
            gender=row["gender"],
            identity_id=row["identity_id"],
        )
        return Scene(face, self.payload["seed"], self.payload["frames"])

    @cached_property
    def own(self) -> Scene:
        return self.scene_of(self.item["face"])

    @cached_property
    def voice(self) -> Scene | None:
        row = self.item["voice"]
        return None if row is None else self.scene_of(row)

    def others(self, uses: str) -> Iterator[tuple[dict[str, Any] | None, Scene | None]]:
        """The second scenes to try, with their rows."""
        if uses == "none":
            yield None, None
        elif uses == "voice":
            if self.voice is not None:
                yield self.item["voice"], self.voice
        else:
            for row in self.item["faces"]:
                yield row, self.scene_of(row)


def _written(task: Task, clip_id: str, frames: Any, sound: Any) -> dict[str, Any]:
    """Encode one clip, real and fake alike, and say what its file is."""
    path = image_path("clips", clip_id, ".mp4")
    file = inside(task.folder, path)
    encode_clip(file, frames, sound)
    count, size = task.payload["frames"], task.payload["size"]
    return {
        "image_id": clip_id,
        "path": path,
        "sha256": digest_file(file),
        "width": size + size % 2,
        "height": size + size % 2,
        "media": VIDEO,
        "frames": count,
        "fps": float(FPS),
        "duration": count / FPS,
        "codec": SOUND[False][2],
        "quality": CRF,
        "status": "ok",
    }


def _fake_row(
    task: Task, item: dict[str, Any], other: dict[str, Any] | None, made: ForgedClip, clip_id: str
) -> dict[str, Any]:
    face, record = item["face"], made.record
    clip = {
        row["image_id"]: stable_id(task.payload["seed"], "talk", "real", row["image_id"])
        for row in (face, other)
        if row
    }
    terms = {
        name: "; ".join(dict.fromkeys(str(row[name]) for row in (face, other) if row and row[name])) or None
        for name in ("licence", "consent")
    }
    return {
        **{name: face[name] for name in INHERITED},
        **terms,
        **_written(task, clip_id, made.frames, made.sound),
        "label": 1,
        "seed": record.seed,
        "method": record.method,
        "family": record.family,
        "attribute_source": "inherited",
        "age": None if record.source_id else face["age"],
        "target_id": clip[face["image_id"]],
        "target_cell": face["cell"],
        "source_id": clip.get(record.source_id),
        "source_cell": record.source_cell,
        "driver_id": clip.get(record.driver_id),
        "pair_id": clip[face["image_id"]],
        "fake_segments": [0.0, task.payload["frames"] / FPS],
        "params": canonical_json(record.params),
        "face_id": face["image_id"],
        "other_face_id": other["image_id"] if other else None,
    }


def _fake(task: Task, cast: Cast, method: str) -> dict[str, Any]:
    """The row of a fake: its clip is written, or it says why not."""
    item, payload = cast.item, task.payload
    forger = CLIP_FORGERIES.create(method, payload["params"].get(method))
    clip_id = stable_id(payload["seed"], "talk", method, item["face"]["image_id"])
    reason = "no_partner_in_split" if forger.uses == "voice" else "no_partner_in_cell_and_split"
    for other, scene in cast.others(forger.uses):
        try:
            return _fake_row(task, item, other, forger.forge(cast.own, scene), clip_id)
        except ForgeryError as error:
            reason = error.reason
    return {
        "image_id": clip_id,
        "method": method,
        "label": 1,
        "status": "rejected",
        "reason": reason,
        "pair_id": stable_id(payload["seed"], "talk", "real", item["face"]["image_id"]),
    }


def talk_clips(task: Task) -> pa.Table:
    """One shard of identities: the real clip and each fake."""
    rows: list[dict[str, Any]] = []
    for item in task.payload["items"]:
        face, cast = item["face"], Cast(item, task.payload)
        clip_id = stable_id(task.payload["seed"], "talk", "real", face["image_id"])
        facts = {
            name: face[name] for name in (*INHERITED, "seed", "race_prob", "gender_prob", "attribute_source")
        }
        try:
            written = _written(task, clip_id, cast.own.pictures, cast.own.sound)
        except ForgeryError as error:
            rows.append(
                {
                    "image_id": clip_id,
                    "pair_id": clip_id,
                    "label": 0,
                    "method": "none",
                    "status": "rejected",
                    "reason": error.reason,
                }
            )
            continue
        said = canonical_json(
            {"sentences": list(cast.own.track.texts), "voice": cast.own.voice.name, "start": cast.own.start}
        )
        rows.append(
            {
                **facts,
                **written,
                "label": 0,
                "method": "none",
                "family": "none",
                "target_cell": face["cell"],
                "pair_id": clip_id,
                "params": said,
                "face_id": face["image_id"],
            }
        )
        rows += [_fake(task, cast, method) for method in task.payload["methods"]]
    return pa.Table.from_pylist([{name: row.get(name) for name in TABLE.names} for row in rows], schema=TABLE)


def record_of(row: dict[str, Any]) -> ImageRecord:
    """The manifest's row of a clip that was written."""
    return ImageRecord(**{name: row[name] for name in SCHEMA.names})
