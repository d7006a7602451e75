"""What an import has done so far, in parts on disk: a killed import goes on after its last whole part.

A part holds whole videos. `parts/00000.parquet` has the manifest's rows and their keys, `parts/00000.json`
what was skipped; the second is written last. Parts of another import (other adapter, settings or source) are
cleared away.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from manifests.adapters.base import Adapter, SourceImage
from manifests.adapters.videos import VideoAdapter
from manifests.atomic import write_json
from manifests.errors import DataError, MissingError
from manifests.records import ImageRecord
from manifests.store import read_table, table_of, write_table
from manifests.text_files import read_json

ROWS = 2000
"""Items of a part, at least; it ends with the video it is in."""
KEY = "import_key"


class ImportParts:
    """Parts of one import under `folder`. `key` says which import it is.

    `ids`: of the images so far. `videos`: those of the parts on disk. `skipped`: (key, reason).
    """

    def __init__(self, folder: Path, key: str, taxonomy: str) -> None:
        self.folder, self.taxonomy = folder, taxonomy
        self.ids: set[str] = set()
        self.videos: set[str] = set()
        self.skipped: list[tuple[str, str]] = []
        self._tables: list[pa.Table] = []
        self._records: list[ImageRecord] = []
        self._names: list[str] = []
        self._first = 0
        self._video: str | None = None
        header = folder / "import.json"
        if not self._is_of(header, key):
            shutil.rmtree(folder, ignore_errors=True)
            write_json(header, {"key": key})
        try:
            self._load()
        except (
            DataError,
            MissingError,
            LookupError,
            TypeError,
            ValueError,
        ):  # damaged: all of it is read again
            self.ids, self.videos, self.skipped, self._tables = set(), set(), [], []
            shutil.rmtree(folder, ignore_errors=True)
            write_json(header, {"key": key})

    @staticmethod
    def _is_of(header: Path, key: str) -> bool:
        """Whether the parts are whole, and of the import with this key."""
        with suppress(MissingError, DataError):
            return bool(read_json(header, dict) == {"key": key})
        return False

    def _load(self) -> None:
        for path in sorted(self.folder.glob("[0-9]*.json")):
            done = read_json(path, dict)
            table = read_table(path.with_suffix(".parquet"))
            self._tables.append(table)
            self.ids |= set(table["image_id"].to_pylist())
            self.videos |= {video for video in pc.unique(table["video_id"]).to_pylist() if video} | set(
                done["videos"]
            )
            self.skipped += [(key, why) for key, why in done["skipped"]]
        self._first = len(self.skipped)

    @property
    def items(self) -> int:
        """How many items are done."""
        return sum(int(table.num_rows) for table in self._tables) + len(self._records) + len(self.skipped)

    def begin(self, item: SourceImage) -> None:
        """Say which item comes next: a full part is written here, before the first item of another video."""
        if len(self._records) + len(self.skipped) - self._first >= ROWS and (
            item.video_id is None or item.video_id != self._video
        ):
            self.write()
        self._video = item.video_id

    def keep(self, record: ImageRecord, key: str) -> None:
        """Add the row of an image that was written."""
        self.ids.add(record.image_id)
        self._records.append(record)
        self._names.append(key)

    def skip(self, key: str, reason: str) -> None:
        """Add an item that gave no image."""
        self.skipped.append((key, reason))

    def write(self) -> None:
        """Write what is held as a part, where there is something."""
        fresh = self.skipped[self._first :]
        if not self._records and not fresh:
            return
        order = sorted(range(len(self._records)), key=lambda k: self._records[k].image_id)
        table = table_of(self._records, taxonomy=self.taxonomy)
        table = table.append_column(KEY, pa.array([self._names[k] for k in order], pa.string()))
        name = f"{len(self._tables):05d}"
        write_table(table, self.folder / f"{name}.parquet")
        write_json(
            self.folder / f"{name}.json", {"skipped": fresh, "videos": [self._video] if self._video else []}
        )
        self._tables.append(table)
        self._records, self._names, self._first = [], [], len(self.skipped)

    def rows(self) -> pa.Table | None:
        """All rows of all parts, sorted by image_id, the key beside; None where there is none."""
        tables = [table for table in self._tables if table.num_rows]
        if not tables:
            return None
        schema = table_of([], taxonomy=self.taxonomy).schema.append(pa.field(KEY, pa.string()))
        table = pa.concat_tables(
            table.cast(schema) for table in tables
        )  # what was read back has marks of its file
        return table.take(pc.sort_indices(table["image_id"])).combine_chunks()

    def clear(self) -> None:
        """Remove the parts: the manifest is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def left(adapter: Adapter, source: Path, parts: ImportParts, out: Path) -> Iterator[SourceImage]:
    """The items that are not done. An adapter of videos is told which ones are, so that it does not decode
    them again.

    Files that no list names are none of the dataset's where the import itself writes them: `out` may lie in
    `source`.
    """
    own = Path(os.path.realpath(out))
    if isinstance(adapter, VideoAdapter):
        adapter.done |= parts.videos
        known = {key for key, _ in parts.skipped}
        return (item for item in adapter.read(source) if item.key not in known)
    foreign = (
        item for item in adapter.read(source) if not (item.problem and item.path and _below(item.path, own))
    )
    return islice(foreign, parts.items, None)


def _below(path: Path, folder: Path) -> bool:
    """Whether a file lies in a folder, as it is named or where its folder really is."""
    return path.is_relative_to(folder) or Path(os.path.realpath(path.parent)).is_relative_to(folder)
