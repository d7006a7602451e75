"""Exporter `imagefolder`: the layout Hugging Face `datasets` loads, `<split>/<real|fake>/*.jpg` with metadata.csv."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

from manifests.atomic import write_text
from manifests.errors import DataError, disk_errors
from manifests.registry import Params, Registry
from manifests.store import manifest_file, read_manifest

COLUMNS = ("image_id", "label", "method", "race", "gender", "age", "cell", "pair_id", "identity_id", "licence",
           "family", "video_id", "dataset", "target_cell", "source_cell")

EXPORTERS: Registry[ImageFolderExporter] = Registry("exporters", "manifests.release")


@EXPORTERS.register("imagefolder", family="layout")
class ImageFolderExporter:
    """Copies images into `<split>/<real|fake>/` and writes `<split>/metadata.csv` with `file_name` first."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def export(self, manifest: Path, out: Path) -> Path:
        """Write the layout below `out`; returns `out`.

        Errors as `read_manifest`; a DataError also for an image that is not there; a full disk is a PartialError.
        """
        manifest = manifest_file(manifest)
        rows = read_manifest(manifest).to_pylist()
        with disk_errors(out):
            for split in sorted({row["split"] or "all" for row in rows}):
                text = io.StringIO()
                writer = csv.writer(text, lineterminator="\n")
                writer.writerow(["file_name", *COLUMNS])
                for row in (r for r in rows if (r["split"] or "all") == split):
                    kind = "fake" if row["label"] else "real"
                    name = f"{kind}/{row['image_id']}{Path(row['path']).suffix}"
                    (out / split / kind).mkdir(parents=True, exist_ok=True)
                    if not (manifest.parent / row["path"]).is_file():
                        raise DataError(row["path"], "is not there, but the manifest names it", "make the dataset again")
                    shutil.copyfile(manifest.parent / row["path"], out / split / name)
                    writer.writerow([name, *(row[c] for c in COLUMNS)])
                write_text(out / split / "metadata.csv", text.getvalue())
        return out
