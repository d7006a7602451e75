"""Training images in memory-mapped files, one per resolution, decoded once."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from generators.training.pixel_files import pixel_file
from generators.training.sources import Item
from generators.training.weighing import WeightedRows, weighted_rows
from manifests.atomic import digest_file, make_folder, write_json, write_text
from manifests.errors import DataError, UsageError, UserError
from manifests.images import decode
from manifests.seeding import rng_of
from manifests.skipped import write_skipped

SIDE = ".sha256"
"""Ending of the file with the digest of a smaller copy, beside it."""
SMALLEST = 16
"""Fewer images than this cannot be trained on."""


Order = npt.NDArray[np.int64] | WeightedRows


@dataclass(frozen=True)
class TrainingImages:
    """Images of one resolution, with classes.

    pixels: uint8 [N, H, H, 3] RGB, memory-mapped. labels: int64 [N], -1 where there is none; classes: their
    names, in order. order: int64 [M], the rows of an epoch: each once, or as often as `balanced_rows` says;
    or what draws them anew for each.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    order: Order

    def __len__(self) -> int:
        return len(self.pixels)

    def one_hot(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """float32 [n, classes]; [n, 0] without classes."""
        out = np.zeros((len(labels), len(self.classes)), np.float32)
        if self.classes:
            out[np.arange(len(labels)), labels] = 1
        return out


def square(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """The middle square, resampled to `size`: by the mean of whole pixels where the factor is whole, else
    Lanczos.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    if side == size:
        return image
    how = PilImage.Resampling.BOX if side % size == 0 else PilImage.Resampling.LANCZOS
    return np.asarray(PilImage.fromarray(image).resize((size, size), how))


def balanced_rows(groups: list[str]) -> npt.NDArray[np.int64]:
    """Rows of an epoch in which every group is seen equally often: int64 [groups * size of the largest].

    A smaller group's rows are repeated whole, and the rest is spread evenly over it.
    """
    names = np.array(groups)
    largest = max(Counter(groups).values())
    rows = [np.flatnonzero(names == name) for name in sorted(set(groups))]
    return np.sort(np.concatenate([own[np.arange(largest) * len(own) // largest] for own in rows]))


def _decoded(
    name: str, data: bytes | UserError, digest: hashlib._Hash, label: object
) -> npt.NDArray[np.uint8] | UserError:
    """The picture, or why there is none; what it was read from goes into the digest."""
    if isinstance(data, UserError):
        return data
    digest.update(hashlib.sha256(data).digest() + str(label).encode() + b"\0")
    try:
        return decode(data, name)
    except DataError as error:
        return error


def prepare(
    items: Iterable[Item],
    folder: Path,
    size: int,
    *,
    conditional: bool,
    balanced: bool = False,
    weighed: bool = False,
) -> dict[str, object]:
    """Decode every image to `folder/images-<size>.npy` (uint8 [N, size, size, 3]), and write
    `folder/images.json` last.

    Images that cannot be read, and those smaller than half of `size`, are counted, named in
    `folder/skipped.csv`, and left out. `sha256` is that of the encoded images and their labels, whatever the
    size. Labels are kept as classes (`conditional`) or as groups that are to be seen equally often
    (`balanced`); with `weighed` they are pairs of these and a weight.

    Raises:
        DataError: too few images are left, or some have no class where classes are asked for.
    """
    skipped: Counter[str] = Counter()
    reasons: list[tuple[str, str]] = []
    digest = hashlib.sha256()
    labels: list[str | None] = []
    weights: list[float] = []
    make_folder(folder)
    for path in folder.glob("images-*"):
        path.unlink()
    path = folder / f"images-{size}.npy"
    with pixel_file(path, size) as add:
        for name, data, label in items:
            image = _decoded(name, data, digest, label)
            if isinstance(image, UserError):
                skipped["unreadable"] += 1
                reasons.append((name, image.why))
                continue
            if min(image.shape[:2]) * 2 < size:
                skipped["too small"] += 1
                reasons.append(
                    (name, f"has {image.shape[1]} x {image.shape[0]} pixels, less than half of {size}")
                )
                continue
            add(square(image, size)[None])
            if weighed:
                label, weight = label
                weights.append(weight)
            labels.append(None if label is None else str(label))
        write_skipped(folder / "skipped.csv", reasons)
        if len(labels) < SMALLEST:
            why = f"{len(labels)} images are usable ({dict(skipped)} left out); training needs {SMALLEST}"
            raise DataError("the training data", why, "give more images, or loosen --keep")
    if conditional and None in labels:
        raise DataError(
            "the training data",
            f"{labels.count(None)} images have no class",
            "train without classes, or label all",
        )
    if balanced and None in labels:
        raise DataError(
            "the training data",
            f"{labels.count(None)} images are of no group",
            "leave --balance out, or label all",
        )
    info: dict[str, object] = {
        "size": size,
        "count": len(labels),
        "skipped": dict(sorted(skipped.items())),
        "sha256": digest.hexdigest(),
        "labels": labels if conditional else None,
    }
    if balanced:
        info["groups"] = labels
    if weighed:
        info["weights"] = weights
    write_json(folder / "images.json", info)
    return info


def is_prepared(folder: Path, info: Mapping[str, Any], size: int, pixels: object) -> bool:
    """Whether the images of a folder are as they were written, and at least of `size`. Smaller copies that
    are not are removed.

    Args:
        folder: of the images.
        info: what `prepare` returned.
        size: that is wanted.
        pixels: sha256 of the largest file.
    """
    largest = info.get("size")
    if type(largest) is not int or largest < size:
        return False
    main = folder / f"images-{largest}.npy"
    for path in folder.glob("images-*.npy"):
        side = path.with_suffix(SIDE)
        if path != main and not (side.is_file() and side.read_bytes().strip() == digest_file(path).encode()):
            path.unlink()
    return main.is_file() and digest_file(main) == pixels


def open_images(
    folder: Path,
    size: int,
    labels: list[str] | None,
    groups: list[str] | None = None,
    weights: list[float] | None = None,
) -> TrainingImages:
    """The prepared images at `size`, halved from a larger file the first time; `groups`: to be seen equally
    often; `weights`: how often within their group.
    """
    path = folder / f"images-{size}.npy"
    if not path.is_file():
        larger = sorted(folder.glob("images-*.npy"), key=lambda p: int(p.stem.split("-")[1]))
        source = next(
            (p for p in larger if int(p.stem.split("-")[1]) % size == 0 and int(p.stem.split("-")[1]) > size),
            None,
        )
        if source is None:
            raise UsageError(f"{size} px", "is more than what was prepared", "start again in a new --out")
        whole = np.load(source, mmap_mode="r")
        with pixel_file(path, size) as add:
            for image in whole:
                add(square(image, size)[None])
        write_text(path.with_suffix(SIDE), digest_file(path))
    classes = tuple(sorted(set(labels))) if labels else ()
    index = {name: number for number, name in enumerate(classes)}
    numbers = np.array([index[label] for label in labels] if labels else [], np.int64)
    pixels = np.load(path, mmap_mode="r")
    order: Order = balanced_rows(groups) if groups else np.arange(len(pixels))
    if weights:
        order = weighted_rows(weights, groups)
    return TrainingImages(pixels, numbers if labels else np.full(len(pixels), -1, np.int64), classes, order)


@functools.lru_cache(maxsize=4)
def _epoch(seed: int, epoch: int, length: int) -> npt.NDArray[np.int64]:
    return rng_of(seed, "epoch", epoch).permutation(length)


def batch_rows(
    order: Order,
    step: int,
    batch: int,
    seed: int,
    *,
    mirror: bool,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Which images step `step` takes, and which of them mirrored: int64 [batch], bool [batch].

    Epochs are permutations of `order` (int64 [M], rows of images; twice as long with `mirror`), or of what it
    draws for each; any step is found without those before it.
    """
    count = len(order)
    length = count * (2 if mirror else 1)
    positions = np.arange(step * batch, (step + 1) * batch)
    rows = np.array([_epoch(seed, int(p // length), length)[p % length] for p in positions], np.int64)
    if isinstance(order, WeightedRows):
        epochs = positions // length
        drawn = [order.of(seed, int(e))[row % count] for e, row in zip(epochs, rows, strict=True)]
        return np.array(drawn, np.int64), rows >= count
    return order[rows % count], rows >= count
