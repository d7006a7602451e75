"""Exporter `webdataset`: tar shards `<split>-000000.tar` of pairs `<image_id>.jpg` and `<image_id>.json`;
clips too.

The tars are plain, with every time and owner zero, so the same manifest gives the same bytes; readers of
WebDataset stream them without unpacking. Rows without a split are in `all-*.tar`.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from pydantic import Field

from manifests.atomic import atomic_path, canonical_json
from manifests.clip_columns import VIDEO
from manifests.errors import disk_errors
from manifests.exporters.base import EXPORTERS
from manifests.registry import Params
from manifests.release.exporting import attributes, clip_of, image_name, image_of, rows_of


class WebDatasetParams(Params):
    """`shard`: images per tar."""

    shard: int = Field(1000, ge=1)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.addfile(info, io.BytesIO(data))


def _bare(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without time, owner and kind of link: the content of the file alone."""
    bare = tarfile.TarInfo(info.name)
    bare.size, bare.mode = info.size, 0o644
    return bare


@EXPORTERS.register("webdataset", family="layout", params=WebDatasetParams)
class WebDatasetExporter:
    """Tar shards for streaming, an image and its JSON side by side."""

    def __init__(self, params: WebDatasetParams) -> None:
        self.params = params

    def export(self, manifest: Path, out: Path) -> Path:
        """Write the shards below `out`; returns `out`.

        Errors as `read_manifest`; a DataError also for an image that is not there; a full disk is a
        PartialError.
        """
        folder, _, rows = rows_of(manifest, clips=True)
        with disk_errors(out):
            for split in sorted({row["split"] or "all" for row in rows}):
                mine = [row for row in rows if (row["split"] or "all") == split]
                for start in range(0, len(mine), self.params.shard):
                    shard = out / f"{split}-{start // self.params.shard:06d}.tar"
                    if shard.is_file():  # of an export that was killed: it is there whole
                        continue
                    with (
                        atomic_path(shard) as temporary,
                        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
                    ):
                        for row in mine[start : start + self.params.shard]:
                            if row["media"] == VIDEO:
                                for name, file in clip_of(folder, row):
                                    tar.add(file, name, filter=_bare)
                            else:
                                data = image_of(folder, row)
                                _add(tar, image_name(row, data), data)
                            _add(tar, row["image_id"] + ".json", canonical_json(attributes(row)).encode())
        return out
