"""Stage `sample`: candidate faces for every cell, drawn from the cell model, or taken from annotated photographs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.atomic import digest_bytes, digest_file, write_bytes
from manifests.errors import MissingError
from manifests.images import encode
from manifests.seeding import seed_of
from manifests.store import write_table
from pipeline import models, photographs
from pipeline.config import Config
from pipeline.ids import image_path, stable_id
from pipeline.run_directory import RunDirectory
from pipeline.shards import Task, read_shards
from pipeline.stages.base import Context, Outcome, Stage, weight_digest

SCHEMA = pa.schema([
    ("image_id", pa.string()), ("path", pa.string()), ("sha256", pa.string()), ("cell", pa.string()),
    ("index", pa.int32()), ("seed", pa.int64()), ("psi", pa.float32()), ("generator", pa.string()),
    ("generator_sha256", pa.string()), ("w", pa.list_(pa.float32())), ("identity_id", pa.string()),
    ("age", pa.string()), ("attribute_source", pa.string()), ("licence", pa.string()), ("consent", pa.string()),
    ("dataset", pa.string()), ("status", pa.string()), ("reason", pa.string()),
])
SYNTHETIC_CONSENT = "synthetic face: no depicted person"


def quota(config: Config) -> int:
    """Accepted identities per cell that verify keeps: more than wanted, for the forgeries that will fail."""
    return math.ceil(config.dataset.per_cell * config.verify.slack)


def cell_model_path(run: RunDirectory) -> Path:
    """The cell model this run samples from: its own, or the one named by `sample.cell_model`."""
    named = run.config.sample.cell_model
    return Path(named) if named else run.folder("cells") / "model.safetensors"


def draw_candidates(task: Task) -> pa.Table:
    """One shard: draw each candidate's latent from its own seed, synthesise, write lossless PNGs."""
    from generators.sampling import synthesize

    payload = task.payload
    model = models.generator(payload["generator"], payload["device"])
    cells = models.cell_model(payload["cell_model"], payload["cell_model_sha256"])
    seeds = [seed_of(payload["seed"], "sample", cell, index) for cell, index in payload["items"]]
    rows = [
        cells.sample(cell, [seed], psi=payload["psi"], strength=payload["strength"])[0]
        for (cell, _), seed in zip(payload["items"], seeds, strict=True)
    ]
    images = synthesize(model, np.stack(rows))
    out = []
    for (cell, index), seed, w, image in zip(payload["items"], seeds, rows, images, strict=True):
        image_id = stable_id(payload["seed"], "sample", cell, index)
        data = encode(image, "png")
        path = image_path("images", image_id, ".png")
        write_bytes(task.folder / path, data)
        out.append({
            "image_id": image_id, "path": path, "sha256": digest_bytes(data), "cell": cell, "index": index,
            "seed": seed, "psi": payload["psi"], "generator": payload["generator"],
            "generator_sha256": payload["generator_sha256"], "w": w.tolist(), "identity_id": image_id,
            "licence": payload["licence"], "consent": SYNTHETIC_CONSENT, "dataset": payload["dataset"], "status": "ok",
        })
    return pa.Table.from_pylist(out, schema=SCHEMA)


class SampleStage(Stage):
    """Candidates per cell: enough, by the cell's measured hit rate, for verify to accept its quota."""

    name = "sample"

    def _from_generator(self, run: RunDirectory) -> bool:
        return run.config.sample.source == "generator"

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        return ("cells",) if self._from_generator(run) and not run.config.sample.cell_model else ()

    def config(self, run: RunDirectory) -> dict[str, Any]:
        config = run.config
        return {
            "sample": config.sample.model_dump(exclude={"photographs", "cell_model"}), "quota": quota(config),
            "generator": config.cells.generator, "taxonomy": config.dataset.taxonomy, "name": config.run.name,
            "licence": config.release.licence,
        }

    def weights(self, run: RunDirectory) -> dict[str, str]:
        if not self._from_generator(run):
            return {}
        return {"generator": weight_digest(run.config.cells.generator, "generator")}

    def files(self, run: RunDirectory) -> dict[str, str]:
        named = run.config.sample.cell_model if self._from_generator(run) else run.config.sample.photographs
        if self._from_generator(run) and not named:
            return {}
        if not Path(named).is_file():
            raise MissingError(f"{named or '(empty)'}", "is not there", "give the path in [sample]")
        return {"source": digest_file(named)}

    def tasks(self, context: Context, key: str) -> list[Task]:
        run = context.run
        if not self._from_generator(run):
            return photographs.tasks(run, self.folder(run), key)
        sample, path = context.config.sample, cell_model_path(run)
        digest = digest_file(path)
        rates = models.cell_model(str(path), digest).hit_rates
        items = [
            (cell, index) for cell in context.config.dataset.cells
            for index in range(self._candidates(context, float(rates[cell])))
        ]
        payload = {
            "generator": context.config.cells.generator, "generator_sha256": self.weights(run)["generator"],
            "cell_model": str(path), "cell_model_sha256": digest, "psi": sample.psi, "strength": sample.strength,
            "seed": context.config.run.seed,
            "device": context.config.execute.device, "licence": context.config.release.licence,
            "dataset": context.config.run.name,
        }
        starts = range(0, len(items), sample.shard_size)
        return [
            Task(self.name, number, self.folder(run), key, draw_candidates,
                 {**payload, "items": items[start:start + sample.shard_size]})
            for number, start in enumerate(starts)
        ]

    def _candidates(self, context: Context, hit_rate: float) -> int:
        """Enough for the quota in all likelihood: two standard deviations (Poisson) above `oversample` times the quota."""
        sample = context.config.sample
        hits = quota(context.config) * sample.oversample
        wanted = math.ceil((hits + 2 * math.sqrt(hits)) / max(hit_rate, 0.02))
        return min(wanted, sample.max_per_cell)

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        table = read_shards(self.folder(context.run), len(tasks))
        path = self.folder(context.run) / "candidates.parquet"
        write_table(table, path)
        return Outcome([path], {"candidates": table.num_rows})
