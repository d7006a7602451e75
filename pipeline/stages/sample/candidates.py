"""Candidate faces out of a generator: drawn by a strategy, alone or in counterfactual sets, written as
lossless PNGs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from manifests.atomic import digest_bytes, write_bytes
from manifests.images import encode
from manifests.schema import SYNTHETIC
from manifests.seeding import seed_of
from manifests.taxonomy import get_taxonomy
from pipeline.engine import models
from pipeline.engine.ids import image_path, stable_id
from pipeline.engine.shards import Task

ANY = "any"
"""The cell of an item before its picture has been read."""
SYNTHETIC_CONSENT = "synthetic face: no depicted person"
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("cell", pa.string()),
        ("index", pa.int32()),
        ("seed", pa.int64()),
        ("psi", pa.float32()),
        ("generator", pa.string()),
        ("generator_sha256", pa.string()),
        ("w", pa.list_(pa.float32())),
        ("identity_id", pa.string()),
        ("counterfactual_id", pa.string()),
        ("age", pa.string()),
        ("attribute_source", pa.string()),
        ("licence", pa.string()),
        ("consent", pa.string()),
        ("dataset", pa.string()),
        ("origin", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)


def _latents(payload: dict[str, Any], items: list[tuple[str, int]], seeds: list[int]) -> np.ndarray:
    """Float32 [n, w_dim]: each item's latent from its own seed."""
    from generators.strategies import STRATEGIES, Drawing

    cells = models.cell_model(payload["cell_model"], payload["cell_model_sha256"])
    psi, strength = payload["psi"], payload["strength"]
    if payload["counterfactual"]:
        return np.stack(
            [
                cells.sample_counterfactual(payload["cells"], seed, psi=psi, strength=strength)[
                    payload["cells"].index(cell)
                ]
                for (cell, _), seed in zip(items, seeds, strict=True)
            ]
        )
    model = models.generator(payload["generator"], payload["device"])
    drawing = Drawing(model, cells, payload["seed"], psi, strength, payload["step"])
    strategy = STRATEGIES.create(payload["strategy"])
    return np.concatenate(
        [strategy.draw(drawing, cell, [seed]) for (cell, _), seed in zip(items, seeds, strict=True)]
    )


def read_cells(payload: dict[str, Any], images: np.ndarray) -> list[str | None]:
    """The cell each picture is perceived as, None where the attribute model is not sure."""
    from generators.cells.fit import sure_cells

    taxonomy = get_taxonomy(payload["taxonomy"])
    reader = models.attribute_model(payload["attribute_model"], payload["device"])
    found = sure_cells(
        list(reader.axes(reader.predict(images), taxonomy).values()), taxonomy, payload["minima"]
    )
    return [taxonomy.cells[index] if index >= 0 else None for index in found]


def item_seed(payload: dict[str, Any], cell: str, index: int) -> int:
    """The seed of a candidate: of its cell and number, or of its set's number."""
    if payload["counterfactual"]:
        return seed_of(payload["seed"], "counterfactual", index)
    return seed_of(payload["seed"], "sample", cell, index)


def draw_candidates(task: Task) -> pa.Table:
    """One shard: draw, synthesise, and write what may be of a wanted cell; every item has a row."""
    from generators.sampling import synthesize

    payload, items = task.payload, task.payload["items"]
    seeds = [item_seed(payload, cell, index) for cell, index in items]
    latents = _latents(payload, items, seeds)
    images = synthesize(models.generator(payload["generator"], payload["device"]), latents)
    cells = read_cells(payload, images) if items[0][0] == ANY else [cell for cell, _ in items]
    out = []
    for (named, index), cell, seed, w, image in zip(items, cells, seeds, latents, images, strict=True):
        image_id = stable_id(payload["seed"], "sample", named, index)
        row = {
            "image_id": image_id,
            "cell": cell,
            "index": index,
            "seed": seed,
            "psi": payload["psi"],
            "generator": payload["generator"],
            "generator_sha256": payload["generator_sha256"],
            "w": w.tolist(),
            "identity_id": image_id,
            "licence": payload["licence"],
            "consent": SYNTHETIC_CONSENT,
            "dataset": payload["dataset"],
            "origin": SYNTHETIC,
        }
        if payload["counterfactual"]:
            row["counterfactual_id"] = row["identity_id"] = stable_id(
                payload["seed"], "counterfactual", "set", index
            )
        if cell not in payload["cells"]:
            out.append(
                {**row, "status": "rejected", "reason": "low_confidence" if cell is None else "other_cell"}
            )
            continue
        data = encode(image, "png")
        path = image_path("images", image_id, ".png")
        write_bytes(task.folder / path, data)
        out.append({**row, "path": path, "sha256": digest_bytes(data), "status": "ok"})
    return pa.Table.from_pylist(out, schema=SCHEMA)
