"""A detector's scores of a manifest's images, in parts on disk so that a killed scoring goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.atomic import digest_file, digest_value
from manifests.containment import inside
from manifests.contents import Digests, compared
from manifests.errors import DataError, MissingError, UserError
from manifests.escaping import printable
from manifests.images import Image, read_image, resize
from manifests.store import manifest_file, read_images, read_table, write_table
from manifests.watching import watched

BATCH = 256
PART = 20_000
"""Images of a part on disk."""
COLUMNS = (
    "image_id",
    "label",
    "method",
    "race",
    "gender",
    "cell",
    "identity_id",
    "video_id",
    "counterfactual_id",
    "origin",
    "split",
    "path",
)
PART_SCHEMA = pa.schema([("score", pa.float32()), ("reason", pa.string())])


class Model(Protocol):
    """What is asked of a detector."""

    @property
    def input_size(self) -> int: ...

    def predict(self, images: Image) -> npt.NDArray[np.float32]: ...


def rows_of(manifest: Path, split: str | None) -> list[dict[str, Any]]:
    """Rows of one split (all when None), the columns of `COLUMNS` and the digests.

    Raises:
        MissingError, DataError: see `manifests.store.read_images`.
    """
    rows = read_images(manifest).select([*COLUMNS, "sha256"]).to_pylist()
    return [row for row in rows if split is None or row["split"] == split]


def _read(folder: Path, row: Mapping[str, Any], size: int, digests: Digests) -> Image | UserError:
    try:
        return resize(read_image(inside(folder, row["path"]), compared(row["sha256"], digests)), size)
    except UserError as error:
        return error


def score_files(
    model: Model,
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    threads: int = 2,
    digests: Digests = "whole",
) -> Iterator[tuple[float, str | None]]:
    """(fake probability, None) of the image of each row, or (NaN, the reason) where it cannot be read, or is
    another one.

    Files are read by `threads` threads; the order is that of `rows`.
    """
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(rows), BATCH):
            read = list(
                pool.map(
                    lambda row: _read(folder, row, model.input_size, digests), rows[start : start + BATCH]
                )
            )
            images = [image for image in read if not isinstance(image, UserError)]
            scores = iter(model.predict(np.stack(images)).tolist() if images else [])
            for one in read:
                yield (float("nan"), one.why) if isinstance(one, UserError) else (next(scores), None)


def score_manifest(
    model: Model,
    manifest: Path,
    split: str | None,
    threads: int = 2,
    digests: Digests = "whole",
) -> list[dict[str, Any]]:
    """Rows of one split (all when None) with the fake probability under `score`. threads: that read images.

    Raises:
        DataError: an image cannot be read, or is not the one its row describes: this is for manifests of our
            own, whose images
        are all there.
    """
    rows = rows_of(manifest, split)
    folder = manifest_file(manifest).parent
    scored = score_files(model, folder, rows, threads, digests)
    for row, (score, reason) in zip(rows, watched(scored, "scoring", "pictures", len(rows)), strict=True):
        if reason is not None:
            raise _unreadable(folder, row, reason)
        row["score"] = score
    return rows


def _unreadable(folder: Path, row: Mapping[str, Any], reason: str) -> DataError:
    return DataError(f"{folder}/{printable(row['path'])}", reason, "make the images again, or fetch this one")


def _part(path: Path, rows: int) -> list[dict[str, Any]] | None:
    """The scores of a part on disk; None where it is not there, or is no part of so many rows."""
    with suppress(MissingError, DataError):
        table = read_table(path)
        if table.num_rows == rows and table.schema.remove_metadata().equals(PART_SCHEMA):
            return list(table.to_pylist())
    return None


def score_in_parts(
    model: Model,
    checkpoint: str,
    manifest: Path,
    split: str | None,
    out: Path,
    threads: int = 2,
    part: int = PART,
    digests: Digests = "whole",
    strict: bool = False,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows with `score`, and what was left out, one sentence per image. Parts under `out` are read where they
    are whole.

    Args:
        model: the detector.
        checkpoint: digest of the detector. A part's name has the digest of detector, manifest, split and
            `digests`.
        manifest: of the images.
        split: of its rows; None: all.
        out: folder of the parts.
        threads: that read images.
        part: images of a part.
        digests: which images are compared with those of their rows.
        strict: whether an image that cannot be read ends the scoring; it is then in no part.

    Raises:
        DataError: with `strict`, see there.
    """
    file = manifest_file(manifest)
    rows = rows_of(manifest, split)
    key = digest_value([checkpoint, digest_file(file), split, part, digests])[:16]
    left = []
    for number, start in enumerate(range(0, len(rows), part)):
        piece, path = rows[start : start + part], out / f"{key}-{number:05d}.parquet"
        found = _part(path, len(piece))
        if found is None:
            scored = score_files(model, file.parent, piece, threads, digests)
            found = []
            for row, (score, reason) in zip(
                piece, watched(scored, "scoring", "pictures", len(piece)), strict=True
            ):
                if strict and reason is not None:
                    raise _unreadable(file.parent, row, reason)
                found.append({"score": score, "reason": reason})
            write_table(pa.Table.from_pylist(found, schema=PART_SCHEMA), path)
        for row, one in zip(piece, found, strict=True):
            row["score"] = one["score"]
            if one["reason"] is not None:
                left.append(f"{row['path']}: {one['reason']}")
    return [row for row in rows if row["score"] == row["score"]], left
