"""Photographs as candidates: annotated faces of a parquet file take the place of generated ones.

Their cells come from the annotation, so `verify` judges the picture (one clear face) and not the label.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from manifests.atomic import digest_bytes, write_bytes
from manifests.errors import UserError
from manifests.images import decode, encode
from manifests.seeding import seed_of
from pipeline.candidates import SCHEMA
from pipeline.ids import image_path, stable_id
from pipeline.run_directory import RunDirectory
from pipeline.shards import Task

if TYPE_CHECKING:
    from manifests.adapters.base import SourceImage

FILTERS = {"max_outside_frac": 0.05, "max_yaw": 0.3, "min_sharpness": 25.0, "min_brightness": 45.0}
"""Which photographs are tried at all: clean borders, about frontal, sharp, lit."""


def _read(path: str, taxonomy: str) -> Any:
    from manifests.adapters import ADAPTERS

    adapter = ADAPTERS.create("fairface-parquet", {**FILTERS, "taxonomy": taxonomy})
    return adapter.read(Path(path))


def choose(path: str, taxonomy: str, seed: int, per_cell: dict[str, int]) -> list[str]:
    """Keys of up to `per_cell` photographs of each cell in it, in an order hashed from the seed and the key."""
    by_cell: dict[str, list[str]] = defaultdict(list)
    for item in _read(path, taxonomy):
        if item.cell in per_cell:
            by_cell[item.cell].append(item.key)
    chosen = []
    for cell, count in per_cell.items():
        chosen += sorted(by_cell[cell], key=lambda key: seed_of(seed, "photograph", key))[:count]
    return chosen


def tasks(run: RunDirectory, folder: Path, key: str) -> list[Task]:
    """Shards of chosen photographs: enough per cell for verify to reject two of three."""
    from pipeline.stages.sample import SampleStage, quotas

    config = run.config
    wanted = {cell: 3 * quota for cell, quota in quotas(config).items()}
    chosen = choose(config.sample.photographs, config.dataset.taxonomy, config.run.seed, wanted)
    payload = {
        "photographs": config.sample.photographs, "taxonomy": config.dataset.taxonomy, "seed": config.run.seed,
    }
    size = config.sample.shard_size
    return [
        Task(SampleStage.name, number, folder, key, take_photographs, {**payload, "keys": chosen[start:start + size]})
        for number, start in enumerate(range(0, len(chosen), size))
    ]


def _row(task: Task, item: SourceImage) -> dict[str, Any]:
    image_id = stable_id(task.payload["seed"], "photograph", item.key)
    row = {
        "image_id": image_id, "cell": item.cell, "identity_id": item.identity_id or image_id, "age": item.age,
        "attribute_source": f"annotation:{item.annotation_source}", "licence": item.licence, "dataset": "photographs",
        "consent": "photograph of a person; consent not recorded", "index": 0,
    }
    try:
        data = encode(decode(item.bytes_of(), item.key), "png")
    except UserError as error:
        return {**row, "status": "rejected", "reason": f"unreadable: {error.why}"}
    path = image_path("images", image_id, ".png")
    write_bytes(task.folder / path, data)
    return {**row, "path": path, "sha256": digest_bytes(data), "status": "ok"}


def take_photographs(task: Task) -> pa.Table:
    """One shard: the chosen photographs, decoded and written as lossless PNGs."""
    wanted = set(task.payload["keys"])
    rows = [_row(task, item) for item in _read(task.payload["photographs"], task.payload["taxonomy"])
            if item.key in wanted]
    rows.sort(key=lambda row: str(row["image_id"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)
