"""Small photographs that tests make, in each kind of source: a manifest, folders with attributes, a parquet
file of faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.atomic import digest_bytes, write_bytes
from manifests.images import encode
from manifests.records import ImageRecord
from manifests.store import table_of, write_manifest, write_table

CELLS = ("White/Male", "White/Female", "Black/Male", "Black/Female")


def picture(key: int, size: int = 24) -> np.ndarray:
    """A picture that resembles no other: uint8 [size, size, 3]."""
    coarse = np.random.default_rng(key).uniform(40, 200, (8, 8, 3))
    return np.kron(coarse, np.ones((size // 8, size // 8, 1))).astype(np.uint8)


def people(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows with a name, race, gender, age and the bytes of a picture, cells in turn."""
    out = []
    for k in range(first, first + count):
        race, gender = CELLS[k % len(CELLS)].split("/")
        out.append(
            {
                "name": f"{k:03d}.png",
                "race": race,
                "gender": gender,
                "age": "20-29",
                "image": encode(picture(k), "png"),
            }
        )
    return out


def manifest(
    folder: Path, rows: Sequence[dict[str, Any]], taxonomy: str = "fairface4", **changes: Any
) -> Path:
    """An imported manifest of these people; `changes`: columns of all rows, or `None` values that take
    annotations away.
    """
    records = []
    for row in rows:
        path = f"images/{row['name']}"
        write_bytes(folder / path, row["image"])
        side = int(np.sqrt(len(row["image"])))
        records.append(
            ImageRecord(
                **{
                    "image_id": f"m-{row['name'][:-4]}",
                    "path": path,
                    "sha256": digest_bytes(row["image"]),
                    "width": side,
                    "height": side,
                    "label": 0,
                    "method": "none",
                    "family": "none",
                    "race": row["race"],
                    "gender": row["gender"],
                    "age": row["age"],
                    "cell": f"{row['race']}/{row['gender']}",
                    "attribute_source": "annotation:people.csv",
                    "identity_id": row["name"][:-4],
                    "dataset": "people",
                    "licence": "CC0 1.0",
                    "consent": "asked",
                    "origin": "photograph",
                    **changes,
                }
            )
        )
    write_manifest(table_of(records, taxonomy=taxonomy), folder / "manifest.parquet")
    return folder


def pictures(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A folder of these people's pictures, in sub-folders, without a word about them."""
    for row in rows:
        write_bytes(folder / row["race"] / row["name"], row["image"])
    return folder


def with_csv(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """The same with `attributes.csv`."""
    lines = ["file,race,gender,age,licence,consent"]
    lines += [
        f"{row['race']}/{row['name']},{row['race']},{row['gender']},{row['age']},mine,signed" for row in rows
    ]
    pictures(folder, rows)
    (folder / "attributes.csv").write_text("\n".join(lines) + "\n")
    return folder


def with_predictions(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """The same with `attributes.parquet`, as `fairforge attributes` writes it when it is called from
    elsewhere.
    """
    pictures(folder, rows)
    write_table(
        pa.table(
            {
                "path": [f"elsewhere/{folder.name}/{row['race']}/{row['name']}" for row in rows],
                "status": ["ok"] * len(rows),
                "race": [row["race"] for row in rows],
                "race_prob": pa.array([0.9] * len(rows), pa.float32()),
                "gender": [row["gender"] for row in rows],
                "gender_prob": pa.array([0.9] * len(rows), pa.float32()),
                "age": [row["age"] for row in rows],
                "attribute_source": ["model:m@12345678"] * len(rows),
            }
        ),
        folder / "attributes.parquet",
    )
    return folder


def faces(path: Path, rows: Sequence[dict[str, Any]], **columns: Sequence[Any]) -> Path:
    """A parquet file of annotated faces; `columns`: measures such as `yaw_proxy`, one value a row."""
    write_table(
        pa.table(
            {
                "file": [row["name"] for row in rows],
                "race": [row["race"] for row in rows],
                "gender": [row["gender"] for row in rows],
                "age": [row["age"] for row in rows],
                "image": [row["image"] for row in rows],
                **columns,
            }
        ),
        path,
    )
    return path
