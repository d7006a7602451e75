"""Adapter `webdataset`: tar shards with an image and a JSON of the same name, as the exporter of that name
writes them.

A sample's name ends at the first dot of a file's name, and all that follows is the name of its part, as in
the library WebDataset: the picture is the part `png`, `jpg`, ..., so `a.mask.png` is never the picture of
`a`. The label is in the part `json` or `cls`; the JSON may also have method, family, race, gender, age,
identity_id, pair_id, video_id, split, licence. Parts of a sample may stand anywhere in the tar. A sample that
cannot be used, a file whose name stands twice, and every other part of a sample that is used (masks,
captions) is left out with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from manifests.adapters.base import ADAPTERS, SourceImage, Split, checked
from manifests.adapters.rows import PERCEIVED, source_image
from manifests.errors import DataError, MissingError
from manifests.images import READABLE
from manifests.listing import is_junk
from manifests.registry import Params
from manifests.schema import SPLITS, Finding
from manifests.tar_index import Member, members_of
from manifests.text_files import parse_json
from manifests.values import BadValue, is_missing, label_of

PICTURES = tuple(ending.removeprefix(".") for ending in READABLE)
NOT_READ = "is neither the picture of its sample nor its json or cls, and is not read"
LONGEST = {"json": 1 << 24, "cls": 1 << 10}
"""Bytes of a part, at most; of a picture, `LONGEST_PICTURE`."""
LONGEST_PICTURE = 1 << 28

Parts = dict[str, Member]


class WebDatasetParams(Params):
    """`split` of samples that name none and lie in no shard named after one."""

    taxonomy: str = "fairface4"
    split: Split = None


def split_name(path: str) -> tuple[str, str]:
    """(sample, part) of a file's name: `x/a.mask.png` is ("x/a", "mask.png"); a hidden file has no sample."""
    pure = PurePosixPath(path)
    name, _, part = pure.name.partition(".")
    return ((pure.parent / name).as_posix() if name else "", part.lower())


@ADAPTERS.register(
    "webdataset", family="images", params=WebDatasetParams, licence="that of each image", taxonomy="fairface4"
)
class WebDataset:
    """Images streamed from tar shards, in a folder or one tar."""

    def __init__(self, params: WebDatasetParams) -> None:
        self.params, self.annotated = params, False

    def _shards(self, source: Path) -> list[Path]:
        shards = [source] if source.is_file() else source.glob("*")
        return sorted(path for path in shards if path == source or path.suffix.lower() == ".tar")

    def check(self, source: Path) -> list[Finding]:
        return (
            []
            if self._shards(source)
            else [Finding("layout", f"{source} is no tar and holds no *.tar shard")]
        )

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "give a tar, or a folder of them")
        for pattern in ("*.tar.*", "*.tgz"):
            for path in sorted(source.glob(pattern)):
                yield SourceImage(key=path.name, problem="is compressed: unpack it to a plain .tar first")
        for shard in self._shards(source):
            name = shard.name.split("-")[0].removesuffix(".tar")
            try:
                with open(shard, "rb") as file:
                    yield from self._samples(shard, file, name if name in SPLITS else self.params.split)
            except OSError as error:
                raise DataError(str(shard), f"cannot be read ({error})", "fetch it again") from error

    def _samples(self, shard: Path, file: BinaryIO, split: str | None) -> Iterator[SourceImage]:
        samples: dict[str, Parts] = {}
        for member in members_of(shard, file):
            key, part = split_name(member.name)
            if is_junk(member.name):
                continue
            why = member.problem
            if why is None and not (key and part):
                why = "it has no ending, or is hidden, and so is of no sample"
            elif why is None and part in samples.get(key, {}):
                why = "its name stands twice; the first one was kept"
            if why is None:
                samples.setdefault(key, {})[part] = member
            else:
                yield SourceImage(key=member.name, problem=f"{why} ({shard.name})")
        for key, parts in samples.items():
            item = checked(partial(self._image, shard, file, key, parts, split), key, shard.name)
            yield item
            for part, member in parts.items():
                if item.problem is None and part not in PICTURES and part not in LONGEST:
                    yield SourceImage(key=member.name, problem=f"{NOT_READ} ({shard.name})")

    def _image(self, shard: Path, file: BinaryIO, key: str, parts: Parts, split: str | None) -> SourceImage:
        pictures = [name for name in PICTURES if name in parts]
        if len(pictures) != 1:
            why = (
                "more than one picture" if pictures else "no picture (a sample's name ends at its first dot)"
            )
            raise BadValue(f"has {why}", ", ".join(parts))
        row = self._row(shard, file, parts)
        self.annotated |= not row.keys().isdisjoint(PERCEIVED)
        data = _bytes(file, parts[pictures[0]], LONGEST_PICTURE)
        return source_image(row, self.params.taxonomy, shard.name, key=key, data=data, split=split)

    def _row(self, shard: Path, file: BinaryIO, parts: Parts) -> Mapping[str, Any]:
        """The sample's JSON and label."""
        told = {name: _bytes(file, parts[name], LONGEST[name]) for name in LONGEST if name in parts}
        if not told:
            raise BadValue("has no JSON beside it, nor a cls", ", ".join(parts))
        row: dict[str, Any] = {}
        if "json" in told:
            try:
                row = parse_json(told["json"], shard.name, dict)
            except DataError as error:
                raise BadValue(f"its JSON {error.why}", None) from error
        labels = [row[name] for name in ("label", "cls") if not is_missing(row.get(name))]
        labels += [told["cls"].decode("utf-8", "replace")] if "cls" in told else []
        if len({label_of(label) for label in labels}) > 1:
            raise BadValue("its labels contradict each other", labels)
        return {**row, "label": labels[0] if labels else None}


def _bytes(file: BinaryIO, member: Member, most: int) -> bytes:
    if member.size > most:
        raise BadValue(f"{member.name} has more than {most} bytes", member.size)
    file.seek(member.start)
    return file.read(member.size)
