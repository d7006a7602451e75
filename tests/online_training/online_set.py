"""Drawn faces as a manifest, and the settings of a tiny training on fakes drawn anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.atomic import digest_bytes
from manifests.images import encode
from manifests.records import ImageRecord
from manifests.store import table_of, write_manifest
from tests.generators_forgeries.drawn_faces import draw_face

CELLS = ("White/Male", "Black/Female")
SPLITS = ("train",) * 6 + ("val",) * 3
METHODS = {"blend-self": 2.0, "blend-xray": 1.0, "swap-delaunay": 1.0}
PARAMS = {
    "blend-self": {"side": "either", "resample": 0.3, "hulls": "any", "match_detail": 0},
    "blend-xray": {"match_detail": 0},
    "swap-delaunay": {"match_detail": 0, "blends": ["alpha"]},
}
TINY: dict[str, Any] = {
    "backbone": "resnet10t-narrow",
    "input_size": 32,
    "batch": 8,
    "epochs": 2,
    "threads": 1,
    "heads": (),
    "ema": 0.5,
    "loss": "cross-entropy",
    "optimizer": "adamw",
    "precision": "float32",
    "online": METHODS,
    "online_params": PARAMS,
}


def make_set(folder: Path, landmarks: bool = True) -> Path:
    """A manifest of real drawn faces below `folder`."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for c, cell in enumerate(CELLS):
        race, gender = cell.split("/")
        for i, split in enumerate(SPLITS):
            face = draw_face(64, 100 * c + i)
            assert face.landmarks is not None
            data, name = encode(face.image, "png"), f"{race}-{i}"
            (folder / f"images/{name}.png").write_bytes(data)
            rows.append(
                ImageRecord(
                    image_id=name,
                    path=f"images/{name}.png",
                    sha256=digest_bytes(data),
                    width=64,
                    height=64,
                    label=0,
                    method="none",
                    family="none",
                    race=race,
                    gender=gender,
                    cell=cell,
                    identity_id=f"{cell}-{i}",
                    split=split,
                    landmarks=face.landmarks.reshape(-1).tolist() if landmarks else None,
                    landmark_scheme="mesh148" if landmarks else None,
                )
            )
    write_manifest(table_of(rows, taxonomy="fairface4"), folder / "manifest.parquet")
    return folder / "manifest.parquet"
