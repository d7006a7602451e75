"""A whole release through other labs' loaders, picture by picture: `python -m benchmarks.loaders RELEASE
[--json]`.

Six ways in: Croissant records (`mlcroissant`), Hugging Face `datasets`, `webdataset`, torchvision's
ImageFolder, and what the loaders of DeepfakeBench and PG-FDD ask for. What comes out must be the manifest's
images: as many of each split and label, with the same pixels. A line per loader; exit code 4 where one
differs. What is not installed is left out and said. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from manifests.containment import inside
from manifests.errors import EXIT_GATE
from manifests.exporters import EXPORTERS
from manifests.images import read_image
from manifests.release.croissant_records import records_of
from manifests.store import read_manifest

Item = tuple[str, int, str]
"""Split, label (1: fake), and the sha256 of the pixels."""
SPLITS = ("train", "val", "test")


def pixels(image: Any) -> str:
    """The digest of a picture's RGB values: a PIL image, or uint8 [H, W, 3]."""
    values = image if isinstance(image, np.ndarray) else np.asarray(image.convert("RGB"))
    return sha256(repr(values.shape).encode() + np.ascontiguousarray(values, np.uint8).tobytes()).hexdigest()


def by_manifest(release: Path) -> Iterator[Item]:
    """What every loader has to give."""
    for row in read_manifest(release).select(["path", "split", "label"]).to_pylist():
        yield row["split"], row["label"], pixels(read_image(inside(release, row["path"])))


def by_mlcroissant(release: Path, work: Path) -> Iterator[Item]:
    """Records; a record names its picture by the path in the release."""
    for record in records_of(release, most=sys.maxsize):
        yield record["split"], int(record["label"]), pixels(read_image(inside(release, record["path"])))


def by_datasets(release: Path, work: Path) -> Iterator[Item]:
    """The release's own folder, as `load_dataset` takes it."""
    import datasets

    datasets.config.HF_HUB_OFFLINE = True
    datasets.disable_progress_bars()
    for split, rows in datasets.load_dataset(str(release), cache_dir=str(work / "cache")).items():
        for row in rows:
            yield str(split), int(row["label"]), pixels(row["image"])


def by_webdataset(release: Path, work: Path) -> Iterator[Item]:
    """The export `webdataset`, streamed."""
    import webdataset

    EXPORTERS.create("webdataset").export(release, work / "w")
    for url in sorted(map(str, (work / "w").glob("*.tar"))):
        for sample in webdataset.WebDataset(url, shardshuffle=False).decode("rgb8"):
            picture = next(sample[name] for name in ("png", "jpg", "webp") if name in sample)
            yield sample["json"]["split"], int(sample["json"]["label"]), pixels(picture)


def by_imagefolder(release: Path, work: Path) -> Iterator[Item]:
    """`images/<split>` as it is; its classes are the folders `fake` and `real`."""
    import torchvision

    for split in SPLITS:
        if (release / "images" / split).is_dir():
            folder = torchvision.datasets.ImageFolder(release / "images" / split)
            for picture, kind in folder:
                yield split, int(folder.classes[kind] == "fake"), pixels(picture)


def by_deepfakebench(release: Path, work: Path) -> Iterator[Item]:
    """As its abstract_dataset.py collects: every label's mode, frames in the order of their numbers, from the
    working folder.
    """
    out = work / "b"
    EXPORTERS.create("deepfakebench").export(release, out)
    labels = json.loads((out / "labels.json").read_text())
    for document in sorted(out.glob("*.json")):
        own = json.loads(document.read_text()).get(
            document.stem, {}
        )  # others are labels.json, and all datasets in one
        for by_mode in own.values():
            for split in SPLITS:
                for video in by_mode[split].values():
                    for name in sorted(
                        video["frames"], key=lambda one: int(one.split("/")[-1].split(".")[0])
                    ):
                        yield split, int(labels[video["label"]]), pixels(read_image(inside(out, name)))


def by_pg_fdd(release: Path, work: Path) -> Iterator[Item]:
    """As its datasets.py reads: pairs of CSVs, column 0 the path from the working folder, column 1 the
    label.
    """
    EXPORTERS.create("purdue").export(release, work / "p")
    for split in SPLITS:
        for kind in ("fake", "real"):
            path = work / "p" / "pairs" / f"{kind}{split}.csv"
            if path.is_file():
                with open(path, newline="", encoding="utf-8") as file:
                    for line in list(csv.reader(file))[1:]:
                        yield split, int(line[1]), pixels(read_image(inside(work / "p", line[0])))


LOADERS: dict[str, tuple[str, Callable[[Path, Path], Iterator[Item]]]] = {
    "mlcroissant (records)": ("mlcroissant", by_mlcroissant),
    "datasets": ("datasets", by_datasets),
    "webdataset": ("webdataset", by_webdataset),
    "torchvision ImageFolder": ("torchvision", by_imagefolder),
    "DeepfakeBench's format": ("PIL", by_deepfakebench),
    "PG-FDD's format": ("PIL", by_pg_fdd),
}
"""What is printed -> the package it needs, and the way in."""


def loaded(release: Path) -> dict[str, dict[str, Any]]:
    """By loader: `images` it gave, `asked` that the manifest has, `missing` and `foreign` ones (split, label,
    pixels).
    """
    asked = Counter(by_manifest(release))
    out: dict[str, dict[str, Any]] = {}
    for name, (package, load) in LOADERS.items():
        if importlib.util.find_spec(package) is None:
            out[name] = {"left_out": f"{package} is not installed"}
            continue
        with tempfile.TemporaryDirectory() as work, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Counter(load(release, Path(work)))
        out[name] = {
            "images": found.total(),
            "asked": asked.total(),
            "missing": (asked - found).total(),
            "foreign": (found - asked).total(),
            "by_split": {
                split: sum(n for (one, _, _), n in found.items() if one == split) for split in SPLITS
            },
            "fakes": sum(n for (_, label, _), n in found.items() if label == 1),
        }
    return out


def line_of(name: str, one: dict[str, Any]) -> str:
    """One loader's result."""
    if "left_out" in one:
        return f"{name:<24} left out: {one['left_out']}"
    splits = ", ".join(f"{split} {count}" for split, count in one["by_split"].items())
    verdict = (
        "the same"
        if not one["missing"] + one["foreign"]
        else f"{one['missing']} missing, {one['foreign']} foreign"
    )
    return (
        f"{name:<24} {one['images']} of {one['asked']} images ({splits}; {one['fakes']} fakes), pixels:"
        f" {verdict}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("release", type=Path, help="a folder made by `fairforge release`")
    parser.add_argument("--json", action="store_true", help="values instead of lines")
    given = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    found = loaded(Path(os.path.abspath(given.release)))
    print(
        json.dumps(found, indent=1)
        if given.json
        else "\n".join(line_of(name, one) for name, one in found.items())
    )
    return EXIT_GATE if any(one.get("missing") or one.get("foreign") for one in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
