"""Where the files of a release stand: `images/<split>/<real|fake>/<two digits>/<image_id>.<ending>`, masks
and clips as they were.

`torchvision`'s ImageFolder reads `images/<split>` as it is. `images/<split>/metadata.parquet`, with types for
Hugging Face `datasets`, has a row per image beside it; its `file_name` leads to the picture. The two digits
are those of the id's sha256, so that no folder grows beyond what a hub takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.atomic import digest_bytes
from manifests.clip_columns import CLIP_COLUMNS, VIDEO, image_rows
from manifests.columns import counted, slices, with_pieces
from manifests.containment import inside
from manifests.images import READABLE, ending_of, read_bytes
from manifests.picture_shards import shard_name
from manifests.schema import SPLITS, with_later_columns
from manifests.store import GROUP

UNSPLIT = "unsplit"
"""The folder, and the name of the split, of rows without one."""
LEFT_OUT = ("path", "mask_path", "landmarks", *CLIP_COLUMNS)
"""Columns of the manifest that `metadata.parquet` has no use for."""
CLASSES = ("real", "fake")
METADATA = "metadata.parquet"


def split_of(row: dict[str, Any]) -> str:
    """The split of a row; `UNSPLIT` where it has none."""
    return str(row["split"] or UNSPLIT)


def place_of(row: dict[str, Any], folder: Path) -> str:
    """The path that the image of a row has in a release: its ending is of pictures, of its old path or, else,
    of its content.

    Args:
        row: of the manifest.
        folder: of the manifest.

    Raises:
        MissingError, DataError: the picture has another ending, and cannot be read.
    """
    ending = PurePosixPath(row["path"]).suffix.lower()
    if ending not in READABLE:
        ending = ending_of(read_bytes(inside(folder, row["path"]), row["sha256"]), row["path"])
    digits = digest_bytes(row["image_id"].encode())[:2]
    return f"images/{split_of(row)}/{CLASSES[row['label']]}/{digits}/{row['image_id']}{ending}"


def placed(table: pa.Table, folder: Path) -> pa.Table:
    """The manifest with the paths that images and masks have in a release; clips keep theirs. Arguments and
    errors as `place_of`.
    """
    columns = [
        "image_id",
        "path",
        "sha256",
        "label",
        "split",
        *(["media"] if "media" in table.column_names else []),
    ]
    paths, masks = [], []
    for part in slices(table.select([*columns, "mask_path"])):
        rows = part.to_pylist()
        paths.append([row["path"] if row.get("media") == VIDEO else place_of(row, folder) for row in rows])
        masks.append([row["mask_path"] and mask_place(row["mask_path"]) for row in rows])
    return with_pieces(with_pieces(table, "path", paths), "mask_path", masks)


def mask_place(path: str) -> str:
    """The path that a mask has in a release: its own, or `masks/ab/<name>.png` where it is in a shard."""
    if shard_name(path) == path:
        return path
    name = PurePosixPath(path).name.partition(".")[0]
    return f"masks/{name[:2]}/{name}.png"


def splits_of(table: pa.Table) -> dict[str, int]:
    """Images per split of a release, in a fixed order: train, val, test, and rows without one."""
    found = counted(image_rows(table)["split"])
    counts = {name: found.get(name, 0) for name in (*SPLITS, UNSPLIT)}
    counts[UNSPLIT] += found.get(None, 0)
    return {name: count for name, count in counts.items() if count}


def _dtype(kind: pa.DataType) -> str:
    """As `datasets` spells it: Arrow's float is its float32."""
    return "float32" if kind == pa.float32() else str(kind)


def hub_types(table: pa.Table) -> dict[str, str]:
    """Name and type (string, int32, float32, ...) of the columns of `metadata.parquet` but `file_name`;
    `label` is `ClassLabel`.
    """
    kept = [
        field
        for field in with_later_columns(table).schema
        if field.name not in LEFT_OUT and not pa.types.is_list(field.type)
    ]
    return {field.name: "ClassLabel" if field.name == "label" else _dtype(field.type) for field in kept}


def hub_schema(table: pa.Table) -> pa.Schema:
    """Of `metadata.parquet`, with the features of `datasets` in its metadata."""
    types = {"file_name": "string", **hub_types(table)}
    features: dict[str, Any] = {
        name: {"names": list(CLASSES), "_type": "ClassLabel"}
        if kind == "ClassLabel"
        else {"dtype": kind, "_type": "Value"}
        for name, kind in types.items()
    }
    source = with_later_columns(table).schema
    kinds = [
        (
            name,
            pa.string()
            if name == "file_name"
            else pa.int64()
            if name == "label"
            else source.field(name).type,
        )
        for name in types
    ]
    return pa.schema(kinds, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def hub_tables(table: pa.Table) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """`metadata.parquet` of each split with images, one after another: its path below the release, and its
    table in pieces of `GROUP` rows.

    table: with the paths of a release.
    """
    schema = hub_schema(table)
    images = image_rows(with_later_columns(table))
    images = images.select(["path", *(name for name in schema.names if name != "file_name")])
    split = pc.fill_null(images["split"], UNSPLIT)
    for name in splits_of(table):
        places = np.flatnonzero(pc.equal(split, name).to_numpy())
        yield f"images/{name}/{METADATA}", _hub_pieces(images, places, f"images/{name}/", schema)


def _hub_pieces(
    images: pa.Table, places: npt.NDArray[np.int64], above: str, schema: pa.Schema
) -> Iterator[pa.Table]:
    """`metadata.parquet` of the images at these places, which rise, in pieces of `GROUP` rows."""
    for start in range(0, len(places), GROUP):
        at = places[start : start + GROUP]
        part = images.slice(at[0], at[-1] - at[0] + 1)
        yield _hub_table(part.take(pa.array(at - at[0])), above, schema)


def _hub_table(rows: pa.Table, above: str, schema: pa.Schema) -> pa.Table:
    """`metadata.parquet` of rows whose pictures are below the folder `above`."""
    inside_it = pc.starts_with(rows["path"], above)
    names = pc.if_else(inside_it, pc.utf8_slice_codeunits(rows["path"], len(above)), rows["path"])
    columns = [
        names if name == "file_name" else rows[name].cast(schema.field(name).type) for name in schema.names
    ]
    return pa.table(columns, schema=schema).combine_chunks()


def hub_lines(table: pa.Table) -> list[str]:
    """The lines of the card's front matter that tell `datasets` where each split is, and of which types its
    features are.
    """
    splits = splits_of(table)
    if not splits:
        return ["configs:", "- config_name: default", "  data_files: manifest.parquet"]
    lines = ["configs:", "- config_name: default", "  drop_labels: true", "  data_files:"]
    for split in splits:
        lines += [f"  - split: {split}", f"    path: images/{split}/**"]
    lines += ["dataset_info:", "  config_name: default", "  features:", "  - name: image", "    dtype: image"]
    for name, kind in hub_types(table).items():
        lines.append(f"  - name: {name}")
        if kind == "ClassLabel":
            lines += ["    dtype:", "      class_label:", "        names:"]
            lines += [f"          '{place}': {word}" for place, word in enumerate(CLASSES)]
        else:
            lines.append(f"    dtype: {kind}")
    return lines
