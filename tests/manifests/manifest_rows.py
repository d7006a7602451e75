"""A small balanced manifest with drawn pictures, no photograph: what the tests of manifests look at."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from manifests.atomic import digest_bytes, write_bytes
from manifests.images import SUFFIX, encode
from manifests.records import ImageRecord
from manifests.store import table_of, write_manifest

CELLS = ("White/Male", "White/Female", "Black/Male", "Black/Female")
SPLITS = ("train", "val", "test")
METHODS = {"none": "none", "swap-a": "swap", "blend-b": "blend"}


def record(image_id, **changes):
    """One real row, with `changes`."""
    row = {
        "image_id": image_id,
        "path": f"images/{image_id}.jpg",
        "sha256": digest_bytes(image_id.encode()),
        "width": 32,
        "height": 32,
        "label": 0,
        "method": "none",
        "family": "none",
        "race": "White",
        "gender": "Male",
        "cell": "White/Male",
        "identity_id": f"person-{image_id}",
        "pair_id": image_id,
        "split": "train",
        "codec": "jpeg",
        "quality": 90,
        "dataset": "drawn",
    }
    return ImageRecord(**{**row, **changes})


def balanced_rows(per_cell=2, cells=CELLS, splits=SPLITS, methods=METHODS):
    """Rows of a balanced set: in every split and cell `per_cell` reals, each with one fake per method."""
    rows = []
    for split in splits:
        for cell in cells:
            race, gender = cell.split("/")
            for k in range(per_cell):
                name = f"{split}-{race}-{gender}-{k:03d}"
                for method, family in methods.items():
                    fake = method != "none"
                    image_id = f"{name}-{method}" if fake else name
                    rows.append(
                        record(
                            image_id,
                            label=int(fake),
                            method=method,
                            family=family,
                            race=race,
                            gender=gender,
                            cell=cell,
                            identity_id=f"person-{name}",
                            pair_id=name,
                            split=split,
                            target_id=name if fake else None,
                        )
                    )
    return rows


def table(rows, taxonomy=""):
    """Rows as a manifest table. Without a taxonomy the cells are those that occur."""
    return table_of(rows, taxonomy=taxonomy)


def changed(rows, image_id, **changes):
    """Rows with one of them changed."""
    return [row.model_copy(update=changes) if row.image_id == image_id else row for row in rows]


def drawn(rng, size=32):
    """A smooth random picture: uint8 [size, size, 3]."""
    waves = np.zeros((size, size, 3))
    y, x = np.mgrid[:size, :size] / size
    for _ in range(6):
        fx, fy = rng.uniform(-4, 4, 2)
        waves += np.sin(2 * np.pi * (fx * x + fy * y + rng.random()))[..., None] * rng.normal(0, 12, 3)
    return (
        (waves + rng.uniform(100, 150, 3) + rng.normal(0, 4, (size, size, 3))).clip(0, 255).astype(np.uint8)
    )


def drawn_set(
    folder: Path, per_cell=8, fake=None, codec="jpeg", size=32, seed=0, methods=None, cells=CELLS
) -> pa.Table:
    """Write a balanced set of drawn pictures; `fake(image, method)` -> (image, codec, quality) makes the
    fakes.

    A fake starts from the picture of its real half; without `fake` it is the mirror image: nothing trivial to
    find.
    """
    methods = methods or {"none": "none", "swap-a": "swap"}
    rows = []
    pictures: dict[str, np.ndarray] = {}
    for row in balanced_rows(per_cell, cells=cells, methods=methods):
        if row.pair_id not in pictures:
            pictures[row.pair_id] = drawn(np.random.default_rng([seed, len(pictures)]), size)
        image, kind, quality = pictures[row.pair_id], codec, 90 if codec != "png" else None
        if row.label == 1:
            image, kind, quality = fake(image, row.method) if fake else (image[:, ::-1], kind, quality)
        data = encode(image, kind, quality)
        path = f"images/{row.image_id}{SUFFIX[kind]}"
        write_bytes(folder / path, data)
        rows.append(
            row.model_copy(
                update={
                    "path": path,
                    "sha256": digest_bytes(data),
                    "codec": kind,
                    "quality": quality,
                    "width": size,
                    "height": size,
                }
            )
        )
    made = table(rows)
    write_manifest(made, folder / "manifest.parquet")
    return made
