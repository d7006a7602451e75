"""Drawn pictures and label files for the tests of adapters, and what an import made of them."""

import csv

import numpy as np

from manifests import read_manifest
from manifests.images import encode, read_image
from tests.manifests.manifest_rows import drawn


def picture(key, size=16):
    return drawn(np.random.default_rng([7, key]), size)


def put(folder, name, key=0, size=16):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(picture(key, size), "png"))


def write_csv(folder, text, name="labels.csv", encoding="utf-8"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding=encoding)


def rows_of(manifest):
    return read_manifest(manifest).to_pylist()


def skipped(out):
    with open(out / "skipped.csv", newline="") as file:
        return {row["key"]: row["reason"] for row in csv.DictReader(file)}


def imported_pixels(out, rows):
    return sorted(read_image(out / row["path"]).tobytes() for row in rows)
