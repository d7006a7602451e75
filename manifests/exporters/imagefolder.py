"""Exporter `imagefolder`: what Hugging Face `datasets` loads, `<split>/<real|fake>/*.jpg` and
metadata.parquet.

Parquet, because `datasets` guesses the types of a CSV split by split, refuses splits whose types differ (a
column that is empty in one of them), and reads the identity 0012 as the number 12. The schema is the same in
every split; `datasets` 3.4 and newer read it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.errors import disk_errors
from manifests.exporters.base import EXPORTERS
from manifests.registry import Params
from manifests.release.exporting import image_of, put_image, rows_of
from manifests.store import write_table

COLUMNS = (
    "image_id",
    "label",
    "method",
    "race",
    "gender",
    "age",
    "cell",
    "pair_id",
    "identity_id",
    "licence",
    "family",
    "video_id",
    "dataset",
    "target_cell",
    "source_cell",
    "consent",
    "origin",
)
METADATA = "metadata.parquet"


def _schema() -> pa.Schema:
    """`file_name`, then `COLUMNS`: text, and an int64 label, whose class names stand in the schema's
    metadata.
    """
    kinds = {name: pa.int64() if name == "label" else pa.string() for name in ("file_name", *COLUMNS)}
    features: dict[str, Any] = {name: {"dtype": "string", "_type": "Value"} for name in kinds}
    features["label"] = {"names": ["real", "fake"], "_type": "ClassLabel"}
    return pa.schema(kinds.items(), metadata={"huggingface": json.dumps({"info": {"features": features}})})


@EXPORTERS.register("imagefolder", family="layout")
class ImageFolderExporter:
    """Copies images into `<split>/<real|fake>/` and writes `<split>/metadata.parquet` with `file_name`
    first.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def export(self, manifest: Path, out: Path) -> Path:
        """Write the layout below `out`; returns `out`.

        Errors as `read_manifest`; a DataError also for an image that is not there; a full disk is a
        PartialError.
        """
        folder, _, rows = rows_of(manifest)
        splits: dict[str, list[dict[str, Any]]] = {}
        with disk_errors(out):
            for row in rows:
                split = row["split"] or "all"
                kind = "fake" if row["label"] else "real"
                path = put_image(out, f"{split}/{kind}", row, image_of(folder, row))
                splits.setdefault(split, []).append(
                    {
                        "file_name": path.removeprefix(f"{split}/"),
                        **{column: row[column] for column in COLUMNS},
                    }
                )
        for split, table in splits.items():
            write_table(pa.Table.from_pylist(table, schema=_schema()), out / split / METADATA)
        return out
