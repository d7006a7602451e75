"""Stage `forge`: fakes of every accepted face by every method, lossless, with mask, target, source and
driver.

Who gives identity or motion is drawn among the faces of the same cell, origin and split, never the target
itself; see `pipeline.stages.forge.partners`. Where generated faces are fakes themselves
(`dataset.generated_as`), nothing is forged of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from manifests.atomic import canonical_json, digest_bytes, digest_file, write_bytes, write_json
from manifests.containment import inside
from manifests.errors import DataError, UsageError
from manifests.images import encode, read_image
from manifests.records import Face
from manifests.schema import PHOTOGRAPH, SYNTHETIC
from manifests.seeding import rng_of, seed_of
from manifests.store import read_table, write_table
from pipeline.engine.config import Config
from pipeline.engine.ids import image_path, stable_id
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage, face_reader_weights
from pipeline.engine.stages import STAGES
from pipeline.faces.landmark_batches import Work, together
from pipeline.faces.picture import IdentityReader
from pipeline.stages.forge.directions import directions_weights, ensure_directions
from pipeline.stages.forge.gates import Figures, Person, measure_fake, refuse
from pipeline.stages.forge.partners import TRIES, Partners

if TYPE_CHECKING:
    from generators.forgeries import Forgery

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("mask_path", pa.string()),
        ("sha256", pa.string()),
        ("method", pa.string()),
        ("family", pa.string()),
        ("target_id", pa.string()),
        ("source_id", pa.string()),
        ("driver_id", pa.string()),
        ("cell", pa.string()),
        ("split", pa.string()),
        ("seed", pa.int64()),
        ("params", pa.string()),
        ("licence", pa.string()),
        ("mask_share", pa.float32()),
        ("seam", pa.float32()),
        ("face_found", pa.bool_()),
        ("to_target", pa.float32()),
        ("to_other", pa.float32()),
        ("transferred", pa.float32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("refused", pa.list_(pa.string())),
    ]
)
SIDE_BY_SIDE = 32
"""Fakes that are in memory at once, and share batches of the landmark model."""
FACE_COLUMNS = (
    "image_id",
    "sample_path",
    "landmarks",
    "landmark_scheme",
    "race",
    "gender",
    "age",
    "cell",
    "origin",
    "identity_id",
    "split",
    "embedding",
    "generator",
    "generator_sha256",
)


def accepted_faces(run: RunDirectory, latents: bool = False) -> list[dict[str, Any]]:
    """Rows of the accepted faces that are real images, by image_id, with what a forgery and its gates need;
    their latents `w` where asked for.
    """
    table = read_table(run.folder("verify") / "faces.parquet").select([*FACE_COLUMNS, "status"])
    rows = [
        row
        for row in table.to_pylist()
        if row["status"] == "accepted" and row["origin"] in run.config.origins
    ]
    if latents:
        drawn = read_table(run.folder("sample") / "candidates.parquet").select(["image_id", "w"])
        known = dict(zip(*(drawn.column(name).to_pylist() for name in ("image_id", "w")), strict=True))
        rows = [{**row, "w": known.get(row["image_id"])} for row in rows]
    return rows


def _face(row: dict[str, Any], folder: str) -> Face:
    return Face(
        image_id=row["image_id"],
        image=read_image(inside(Path(folder), row["sample_path"])),
        landmarks=np.asarray(row["landmarks"], np.float32).reshape(-1, 2),
        landmark_scheme=row["landmark_scheme"],
        race=row["race"],
        gender=row["gender"],
        age=row["age"],
        cell=row["cell"],
        identity_id=row["identity_id"],
        latent=np.asarray(row["w"], np.float32)[None] if row.get("w") else None,
        generator=row["generator"],
        generator_sha256=row["generator_sha256"],
    )


class Maker:
    """What one shard needs: the forgers, and the reader of faces where gates are on."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload
        self.limits = payload["limits"]
        verify = payload["verify"]
        self.reader = (
            IdentityReader(
                verify["face_detector"],
                verify["landmarker"],
                verify["identity_model"],
                verify["min_face_score"],
                payload["device"],
            )
            if self.limits["gates"]
            else None
        )

    def make(
        self, item: dict[str, Any], seed: int, partner: dict[str, Any] | None
    ) -> Work[tuple[Forgery, Figures, str | None]]:
        """One fake, its figures, and the gate that refuses it: work for `together`.

        Raises:
            DataError: the faces cannot be forged.
        """
        from generators.forgeries import FORGERIES, get

        folder, method, target = self.payload["sample_folder"], item["method"], item["target"]
        face, other = _face(target, folder), _face(partner, folder) if partner else None
        rng = np.random.Generator(np.random.PCG64(seed))
        made = get(method)(self.payload["params"].get(method)).forge(face, other, rng)
        entry = FORGERIES.get(method)
        if self.reader is None:
            figures = Figures(float((made.mask > 0).mean()), 0.0)
        else:
            figures = yield from measure_fake(
                self.reader,
                entry.family,
                entry.facts["moves"],
                (face.image, made.image, made.mask),
                _person(target),
                _person(partner) if partner else None,
            )
        return made, figures, refuse(figures, entry.family, self.limits)


def _person(row: dict[str, Any]) -> Person:
    embedding = row["embedding"]
    return Person(
        np.asarray(row["landmarks"], np.float32).reshape(-1, 2),
        None if embedding is None else np.asarray(embedding, np.float32),
    )


def attempts(item: dict[str, Any]) -> list[tuple[int, dict[str, Any] | None]]:
    """Seed and second face of each try: other faces where the method uses one, else other draws."""
    if item["needs_partner"]:
        return [(item["seed"], partner) for partner in item["partners"]]
    return [(item["seed"] if k == 0 else seed_of(item["seed"], "again", k), None) for k in range(TRIES)]


def _forge_one(task: Task, maker: Maker, item: dict[str, Any]) -> Work[dict[str, Any]]:
    """One fake: files written, or a row with the reason why not. Every refused try is in `refused`."""
    from generators.forgeries import FORGERIES

    target, method = item["target"], item["method"]
    image_id = stable_id(task.payload["seed"], "forge", method, target["image_id"])
    row = {
        "image_id": image_id,
        "method": method,
        "family": FORGERIES.get(method).family,
        "target_id": target["image_id"],
        "cell": target["cell"],
        "split": target["split"],
        "seed": item["seed"],
    }
    if item["needs_partner"] and not item["partners"]:
        return {**row, "status": "rejected", "reason": "no_partner_in_cell_and_split"}
    refused: list[str] = []
    for seed, partner in attempts(item):
        try:
            made, figures, reason = yield from maker.make(item, seed, partner)
        except DataError as error:
            refused.append(getattr(error, "reason", "unusable_face"))
            continue
        row |= {
            "source_id": made.record.source_id,
            "driver_id": made.record.driver_id,
            "seed": seed,
            "params": canonical_json(made.record.params),
            "licence": made.record.licence,
            **figures.rounded(),
        }
        if reason is None:
            break
        refused.append(reason)
    else:
        return {**row, "status": "rejected", "reason": refused[-1], "refused": refused}
    data = encode(made.image, "png")
    row |= {
        "path": image_path("images", image_id, ".png"),
        "mask_path": image_path("masks", image_id, ".png"),
    }
    write_bytes(inside(task.folder, str(row["path"])), data)
    write_bytes(inside(task.folder, str(row["mask_path"])), encode(made.mask, "png"))
    return {**row, "sha256": digest_bytes(data), "status": "accepted", "refused": refused}


def forge_fakes(task: Task) -> pa.Table:
    """One shard of (target, method) items."""
    maker = Maker(task.payload)
    items, rows = task.payload["items"], []
    for start in range(0, len(items), SIDE_BY_SIDE):
        rows += together(
            maker.reader, [_forge_one(task, maker, item) for item in items[start : start + SIDE_BY_SIDE]]
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def gate_figures(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per method: attempted, accepted, refusals by reason (of whole fakes and of single tries), means of the
    figures.
    """
    out: dict[str, dict[str, Any]] = {}
    for method in sorted({row["method"] for row in rows}):
        mine = [row for row in rows if row["method"] == method]
        good = [row for row in mine if row["status"] == "accepted"]
        figures: dict[str, Any] = {}
        for name in ("mask_share", "seam", "to_target", "to_other", "transferred"):
            values = [row[name] for row in good if row[name] is not None]
            figures[name] = round(float(np.mean(values)), 4) if values else None
        out[method] = {
            "attempted": len(mine),
            "accepted": len(good),
            "figures": figures,
            "rejected": dict(
                sorted(Counter(row["reason"] for row in mine if row["status"] != "accepted").items())
            ),
            "refused_tries": dict(
                sorted(Counter(reason for row in mine for reason in row["refused"] or ()).items())
            ),
        }
    return out


def _models(config: Config) -> dict[str, Any]:
    """The keys of section `verify` that the gates read."""
    return {
        key: getattr(config.verify, key)
        for key in ("face_detector", "landmarker", "identity_model", "min_face_score")
    }


@STAGES.register("forge")
class ForgeStage(Stage):
    """Every method on every accepted face; methods held out for testing on the test split alone."""

    name = "forge"
    after = "verify"
    version = 6
    needs = ("sample", "verify")

    def check(self, run: RunDirectory) -> None:
        latent = self._methods_with(run, "latent") if PHOTOGRAPH in run.config.origins else []
        if latent:
            raise UsageError(
                f"forge.methods {', '.join(latent)}",
                "need the latent that a face was made from, which photographs have not",
                "leave them out, or set sample.source = generator",
            )

    def config(self, run: RunDirectory) -> dict[str, Any]:
        directions = [run.config.cells.generator] if self._fits_directions(run) else []
        return {
            "forge": run.config.forge.model_dump(),
            "verify": _models(run.config),
            "directions": directions,
            "origins": run.config.origins,
        }

    def weights(self, run: RunDirectory) -> dict[str, str]:
        fitted = directions_weights(run.config) if self._fits_directions(run) else {}
        return fitted | (face_reader_weights(run.config) if run.config.forge.gates else {})

    def files(self, run: RunDirectory) -> dict[str, str]:
        """Digests of the weights that the methods' parameters name (a missing file is said when the stage
        starts).
        """
        from generators.forgeries.weight_digests import weight_digests

        forge = run.config.forge
        found = {
            f"{method}.{name}": digest
            for method in (*forge.methods, *forge.held_out)
            for name, digest in weight_digests(method, forge.params.get(method)).items()
        }
        given = {
            f"{method}.directions": forge.params.get(method, {}).get("directions", "")
            for method in self._methods_with(run, "directions")
        }
        return found | {
            name: digest_file(path) for name, path in given.items() if path and Path(path).is_file()
        }

    def _methods_with(self, run: RunDirectory, fact: str) -> list[str]:
        """The methods of this run whose entry has `fact`."""
        from generators.forgeries import FORGERIES

        forge = run.config.forge
        return [name for name in (*forge.methods, *forge.held_out) if FORGERIES.get(name).facts[fact]]

    def _fits_directions(self, run: RunDirectory) -> bool:
        return bool(self._methods_with(run, "directions")) and SYNTHETIC in run.config.origins

    def _params(self, context: Context) -> dict[str, dict[str, Any]]:
        """The methods' parameters, with the file of latent directions where one is wanted and none is
        given.
        """
        params = context.config.forge.params
        if not self._fits_directions(context.run):
            return params
        wanting = [
            m
            for m in self._methods_with(context.run, "directions")
            if not params.get(m, {}).get("directions")
        ]
        path = str(ensure_directions(context, self.folder(context.run))) if wanting else ""
        return params | {method: {**params.get(method, {}), "directions": path} for method in wanting}

    def items(self, run: RunDirectory) -> list[dict[str, Any]]:
        """Each target with each method: `method`, `target`, `needs_partner`, `partners`, `seed`."""
        from generators.forgeries import FORGERIES

        forge, seed = run.config.forge, run.config.run.seed
        faces = accepted_faces(run, latents=bool(self._methods_with(run, "latent")))
        partners = Partners(faces)
        items = []
        for method in [*forge.methods, *forge.held_out]:
            facts = FORGERIES.get(method).facts
            uses = facts["uses"]
            for face in faces:
                if method in forge.held_out and face["split"] != "test":
                    continue
                rng = rng_of(seed, "forge", method, face["image_id"])
                items.append(
                    {
                        "method": method,
                        "target": face,
                        "needs_partner": uses != "none",
                        "partners": partners.draw(face, rng, facts["partner"], facts["moves"])
                        if uses != "none"
                        else [],
                        "seed": int(rng.integers(2**62)),
                    }
                )
        return items

    def payload(self, context: Context) -> dict[str, Any]:
        """What every shard is told but its items; latent directions are fitted where they are wanted."""
        config = context.config
        return {
            "params": self._params(context),
            "seed": config.run.seed,
            "limits": config.forge.model_dump(),
            "verify": _models(config),
            "device": config.execute.device,
            "sample_folder": str(context.run.folder("sample")),
        }

    def tasks(self, context: Context, key: str) -> list[Task]:
        from generators.forgeries import get

        run, forge = context.run, context.config.forge
        for method in (*forge.methods, *forge.held_out):
            get(method)(forge.params.get(method))  # what is missing is said before any fake is made
        self.check(run)
        items, payload = self.items(run), self.payload(context)
        return [
            Task(
                self.name,
                number,
                self.folder(run),
                key,
                forge_fakes,
                {**payload, "items": items[start : start + forge.shard_size]},
            )
            for number, start in enumerate(range(0, len(items), forge.shard_size))
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        table = read_shards(self.folder(context.run), len(tasks)).sort_by("image_id")
        path, gates = self.folder(context.run) / "fakes.parquet", self.folder(context.run) / "gates.json"
        write_table(table, path)
        figures = gate_figures(table.to_pylist())
        write_json(gates, figures)
        accepted = sum(figure["accepted"] for figure in figures.values())
        return Outcome([path, gates], {"fakes": accepted, "attempted": table.num_rows})
