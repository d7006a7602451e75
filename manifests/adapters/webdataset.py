"""Adapter `webdataset`: tar shards with an image and a JSON of the same name, as the exporter of that name writes them.

The JSON may have label (0 or 1; also `cls`), method, family, race, gender, age, identity_id, pair_id, video_id, split, licence.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.errors import DataError, MissingError
from manifests.images import READABLE
from manifests.registry import Params
from manifests.schema import SPLITS, Finding
from manifests.taxonomy import get_taxonomy


class WebDatasetParams(Params):
    """`split` of samples that name none and lie in no shard named after one."""

    taxonomy: str = "fairface4"
    split: str | None = None


FIELDS = ("method", "family", "race", "gender", "age", "identity_id", "pair_id", "video_id", "landmarks", "landmark_scheme",
          "licence", "dataset", "target_cell", "source_cell")


def source_image(row: dict[str, Any], taxonomy: str, where: str, **more: Any) -> SourceImage:
    """A `SourceImage` of attributes as `manifests.release.exporting.attributes` gives them.

    Raises:
        DataError: a value of another kind.
    """
    label = row.get("label", row.get("cls"))
    if label not in (0, 1):
        raise DataError(where, f"label is {label!r}, not 0 or 1", "mend the sample")
    plain = {"method": "unknown" if label else "none", "family": "unknown" if label else "none"}
    known = {name: row[name] for name in FIELDS if row.get(name) is not None}
    cell = get_taxonomy(taxonomy).cell(row.get("race"), row.get("gender"))
    try:
        return SourceImage.model_validate({**plain, **known, "label": label, "cell": cell, **more})
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(where, f"{first['loc'][0]}: {first['msg']}", "mend the sample") from error


@ADAPTERS.register("webdataset", family="images", params=WebDatasetParams, licence="that of each image", taxonomy="fairface4")
class WebDataset:
    """Images streamed from tar shards, in a folder or one tar."""

    def __init__(self, params: WebDatasetParams) -> None:
        self.params = params

    def _shards(self, source: Path) -> list[Path]:
        return [source] if source.is_file() else sorted(source.glob("*.tar"))

    def check(self, source: Path) -> list[Finding]:
        return [] if self._shards(source) else [Finding("layout", f"{source} is no tar and holds no *.tar shard")]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "give a tar, or a folder of them")
        for shard in self._shards(source):
            name = shard.name.split("-")[0].removesuffix(".tar")
            try:
                yield from self._samples(shard, name if name in SPLITS else self.params.split)
            except (tarfile.TarError, OSError) as error:
                raise DataError(str(shard), f"is not a readable tar ({error})", "fetch it again") from error

    def _samples(self, shard: Path, split: str | None) -> Iterator[SourceImage]:
        """A sample ends where the next name begins; one without an image or JSON has a problem."""
        with open(shard, "rb") as file:
            file.seek(max(0, shard.stat().st_size - 1024))
            if file.read() != bytes(1024):
                raise tarfile.ReadError("it is cut short: the two empty blocks at its end are missing")
        parts: dict[str, bytes] = {}
        last = ""
        with tarfile.open(shard, "r|") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                path = PurePosixPath(member.name)
                key = (path.parent / path.name.split(".")[0]).as_posix()
                if key != last and parts:
                    yield self._image(shard, last, parts, split)
                    parts = {}
                last = key
                data = tar.extractfile(member)
                parts[path.suffix.lower()] = data.read() if data else b""
        if parts:
            yield self._image(shard, last, parts, split)

    def _image(self, shard: Path, key: str, parts: dict[str, bytes], split: str | None) -> SourceImage:
        where = f"{shard} {key}"
        image = next((parts[suffix] for suffix in READABLE if suffix in parts), None)
        if image is None or ".json" not in parts:
            return SourceImage(key=key, problem="has no image" if image is None else "has no JSON beside it")
        try:
            row = json.loads(parts[".json"])
        except ValueError as error:
            raise DataError(where, f"its JSON cannot be read ({error})", "mend the shard") from error
        source = shard.name if row.get("race") or row.get("gender") else None
        return source_image(row, self.params.taxonomy, where, key=key, data=image, split=row.get("split") or split,
                            annotation_source=source)
