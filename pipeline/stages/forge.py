"""Stage `forge`: fakes of every accepted face by every method, lossless, with mask, target, source and driver.

Who gives identity or motion is drawn among the faces of the same cell and split, never the target itself; see
`pipeline.forging.partners`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.atomic import canonical_json, digest_bytes, write_bytes
from manifests.errors import DataError
from manifests.images import encode, read_image
from manifests.records import Face
from manifests.seeding import rng_of
from manifests.store import read_table, write_table
from pipeline.forging.partners import Partners
from pipeline.ids import image_path, stable_id
from pipeline.run_directory import RunDirectory
from pipeline.shards import Task, read_shards
from pipeline.stages.base import Context, Outcome, Stage

SCHEMA = pa.schema([
    ("image_id", pa.string()), ("path", pa.string()), ("mask_path", pa.string()), ("sha256", pa.string()),
    ("method", pa.string()), ("family", pa.string()), ("target_id", pa.string()), ("source_id", pa.string()),
    ("driver_id", pa.string()), ("cell", pa.string()), ("split", pa.string()), ("seed", pa.int64()),
    ("params", pa.string()), ("licence", pa.string()), ("mask_share", pa.float32()),
    ("status", pa.string()), ("reason", pa.string()),
])
FACE_COLUMNS = (
    "image_id", "sample_path", "landmarks", "landmark_scheme", "race", "gender", "age", "cell", "identity_id", "split",
)
def accepted_faces(run: RunDirectory) -> list[dict[str, Any]]:
    """Rows of the accepted faces, by image_id, without embeddings."""
    table = read_table(run.folder("verify") / "faces.parquet")
    rows = table.select([*FACE_COLUMNS, "status"]).to_pylist()
    return [row for row in rows if row["status"] == "accepted"]


def _face(row: dict[str, Any], folder: str) -> Face:
    return Face(
        image_id=row["image_id"], image=read_image(f"{folder}/{row['sample_path']}"),
        landmarks=np.asarray(row["landmarks"], np.float32).reshape(-1, 2), landmark_scheme=row["landmark_scheme"],
        race=row["race"], gender=row["gender"], age=row["age"], cell=row["cell"], identity_id=row["identity_id"],
    )


def _forge_one(task: Task, item: dict[str, Any]) -> dict[str, Any]:
    """One fake: files written, or a row with the reason why not."""
    from generators.forgeries import FORGERIES, get

    payload, target = task.payload, item["target"]
    method = item["method"]
    image_id = stable_id(payload["seed"], "forge", method, target["image_id"])
    row = {
        "image_id": image_id, "method": method, "family": FORGERIES.get(method).family,
        "target_id": target["image_id"], "cell": target["cell"], "split": target["split"], "seed": item["seed"],
    }
    if item["needs_partner"] and not item["partners"]:
        return {**row, "status": "rejected", "reason": "no_partner_in_cell_and_split"}
    face = _face(target, payload["sample_folder"])
    forger = get(method)(payload["params"].get(method))
    made, reason = None, ""
    for partner in item["partners"] or [None]:
        other = _face(partner, payload["sample_folder"]) if partner else None
        try:
            made = forger.forge(face, other, np.random.Generator(np.random.PCG64(item["seed"])))
            break
        except DataError as error:
            reason = getattr(error, "reason", "unusable_face")
    if made is None:
        return {**row, "status": "rejected", "reason": reason}
    share = float((made.mask > 0).mean())
    row |= {
        "source_id": made.record.source_id, "driver_id": made.record.driver_id, "mask_share": share,
        "params": canonical_json(made.record.params), "licence": made.record.licence,
    }
    if share < payload["min_mask_share"]:
        return {**row, "status": "rejected", "reason": "mask_too_small"}
    data = encode(made.image, "png")
    row |= {"path": image_path("images", image_id, ".png"), "mask_path": image_path("masks", image_id, ".png")}
    write_bytes(task.folder / str(row["path"]), data)
    write_bytes(task.folder / str(row["mask_path"]), encode(made.mask, "png"))
    return {**row, "sha256": digest_bytes(data), "status": "accepted"}


def forge_fakes(task: Task) -> pa.Table:
    """One shard of (target, method) items."""
    return pa.Table.from_pylist([_forge_one(task, item) for item in task.payload["items"]], schema=SCHEMA)


class ForgeStage(Stage):
    """Every method on every accepted face; methods held out for testing on the test split alone."""

    name = "forge"
    needs = ("verify",)

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {"forge": run.config.forge.model_dump()}

    def _items(self, run: RunDirectory) -> list[dict[str, Any]]:
        from generators.forgeries import FORGERIES

        forge, seed = run.config.forge, run.config.run.seed
        faces = accepted_faces(run)
        partners = Partners(faces)
        items = []
        for method in [*forge.methods, *forge.held_out]:
            facts = FORGERIES.get(method).facts
            uses = facts["uses"]
            for face in faces:
                if method in forge.held_out and face["split"] != "test":
                    continue
                rng = rng_of(seed, "forge", method, face["image_id"])
                items.append({
                    "method": method, "target": face, "needs_partner": uses != "none",
                    "partners": partners.draw(face, rng, facts["partner"]) if uses != "none" else [],
                    "seed": int(rng.integers(2**62)),
                })
        return items

    def tasks(self, context: Context, key: str) -> list[Task]:
        run, forge = context.run, context.config.forge
        items = self._items(run)
        payload = {
            "params": forge.params, "seed": context.config.run.seed, "min_mask_share": forge.min_mask_share,
            "sample_folder": str(run.folder("sample")),
        }
        return [
            Task(self.name, number, self.folder(run), key, forge_fakes,
                 {**payload, "items": items[start:start + forge.shard_size]})
            for number, start in enumerate(range(0, len(items), forge.shard_size))
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        table = read_shards(self.folder(context.run), len(tasks)).sort_by("image_id")
        path = self.folder(context.run) / "fakes.parquet"
        write_table(table, path)
        accepted = sum(status == "accepted" for status in table.column("status").to_pylist())
        return Outcome([path], {"fakes": accepted, "attempted": table.num_rows})
