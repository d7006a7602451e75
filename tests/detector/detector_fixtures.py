"""Small manifests with images made by numpy, and the settings of tiny trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manifests.atomic import digest_bytes
from manifests.images import encode
from manifests.records import ImageRecord
from manifests.seeding import rng_of
from manifests.store import table_of, write_manifest

CELLS = ("White/Male", "White/Female", "Black/Male", "Black/Female")
SPLITS = ("train", "train", "train", "train", "val", "val", "test")


def picture(seed: int, fake: bool, size: int = 32) -> np.ndarray:
    """Smooth noise; a fake has a checkerboard in the middle."""
    rng = rng_of(1, "picture", seed)
    coarse = rng.uniform(40, 215, (4, 4, 3))
    image = np.kron(coarse, np.ones((size // 4, size // 4, 1)))
    if fake:
        middle = slice(size // 4, -size // 4)
        image[middle, middle] += 30 * (np.indices((size // 2, size // 2)).sum(0) % 2 * 2 - 1)[:, :, None]
    return image.clip(0, 255).astype(np.uint8)


def records(folder: Path, cells: Sequence[str] = CELLS, splits: Sequence[str] = SPLITS) -> list[ImageRecord]:
    """A real and two fakes for each identity; the files are written below `folder`."""
    out = []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for c, cell in enumerate(cells):
        race, gender = cell.split("/")
        for i, split in enumerate(splits):
            for kind in ("real", "swap", "blend"):
                name = f"{race}-{gender}-{i:02d}-{kind}"
                data = encode(picture(c * 1000 + i, kind != "real"), "png")
                (folder / f"images/{name}.png").write_bytes(data)
                method = "none" if kind == "real" else kind
                out.append(
                    ImageRecord(
                        image_id=name,
                        path=f"images/{name}.png",
                        sha256=digest_bytes(data),
                        width=32,
                        height=32,
                        label=int(kind != "real"),
                        method=method,
                        family=method,
                        race=race,
                        gender=gender,
                        cell=cell,
                        identity_id=f"{cell}-{i}",
                        pair_id=f"{cell}-{i}",
                        split=split,
                    )
                )
    return out


def make_set(
    folder: Path, change: Callable[[ImageRecord], dict[str, Any] | None] = lambda record: {}
) -> Path:
    """A manifest below `folder`; `change` gives a record's new values, or None to leave it out."""
    rows = []
    for record in records(folder):
        values = change(record)
        if values is not None:
            rows.append(record.model_copy(update=values))
    write_manifest(table_of(rows, taxonomy="fairface4"), folder / "manifest.parquet")
    return folder / "manifest.parquet"


TINY: dict[str, Any] = {
    "backbone": "test_resnet",
    "input_size": 32,
    "batch": 8,
    "epochs": 3,
    "threads": 1,
    "precision": "float32",
    "ema": 0.5,
}


def to_come(seen: list[dict[str, Any]]) -> Callable[[dict[str, Any]], None]:
    """A report that keeps what happens in `seen`, but for the first event, which says the precision."""

    def report(event: dict[str, Any]) -> None:
        if event["event"] != "precision":
            seen.append(event)

    return report
