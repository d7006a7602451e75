"""Adapters `dfdc` and `dfdcp`: the Deepfake Detection Challenge (Dolhansky et al., arXiv 2006.07397) and its
preview.

DFDC: `dfdc_train_part_N/metadata.json` names label, split and the original of each video; the test part has
`labels.csv` (`filename,label`, 1 fake) and `videos/`. A fake shares its identity with its original. DFDC
names no forgery method. An entry that cannot be used, and a video that no list names, is left out with its
reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.adapters.rows import line_of
from manifests.adapters.videos import Clip, VideoAdapter, VideoParams, unnamed
from manifests.containment import inside
from manifests.schema import Finding
from manifests.text_files import csv_rows, read_json
from manifests.values import BadValue, label_of, relative_path, split_word, text_of


def _entry(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadValue("its entry is no object", value)
    return value


@ADAPTERS.register(
    "dfdc",
    family="videos",
    params=VideoParams,
    licence="DFDC terms",
    paper="Dolhansky et al., arXiv 2006.07397; annotations Xu et al., arXiv 2208.05845",
    taxonomy="ffpp",
)
class DFDC(VideoAdapter):
    """DFDC: training parts with metadata.json, and the test part with labels.csv."""

    dataset = "dfdc"

    def _parts(self, source: Path) -> list[Path]:
        return sorted(
            (p.parent for p in source.rglob("metadata.json")), key=lambda p: (len(p.name), p.as_posix())
        )

    def _tests(self, source: Path) -> list[Path]:
        return [path for path in (source / "labels.csv", source / "test" / "labels.csv") if path.is_file()]

    def check(self, source: Path) -> list[Finding]:
        if self._parts(source) or self._tests(source):
            return []
        return [
            Finding(
                "layout",
                f"{source} has neither dfdc_train_part_N/metadata.json nor labels.csv beside videos/: "
                "unpack the parts of the challenge's download here",
            )
        ]

    def clips(self, source: Path) -> Iterator[Clip | SourceImage]:
        for part in self._parts(source):
            place = (part / "metadata.json").relative_to(source).as_posix()
            stems = []
            for name, row in sorted(read_json(part / "metadata.json", dict).items()):
                try:
                    path = inside(part, relative_path(name, "its name"), links=True)
                    stems.append(path.stem)
                    entry = _entry(row)
                    first = Path(text_of(entry.get("original"), "original") or name).stem
                    yield self._clip(path, part / "frames", label_of(entry.get("label")), first, "train")
                except BadValue as error:
                    yield SourceImage(key=f"{place} {name}", problem=f"{error} ({place})")
            yield from unnamed(part, part / "frames", stems, source, place)
        for table in self._tests(source):
            stems = []
            for where, row in csv_rows(table, ("filename", "label")):
                try:
                    path = inside(
                        table.parent / "videos", relative_path(row["filename"], "filename"), links=True
                    )
                    stems.append(path.stem)
                    yield self._clip(path, table.parent / "frames", label_of(row["label"]), path.stem, "test")
                except BadValue as error:
                    yield SourceImage(key=line_of(where, source), problem=str(error))
            place = table.relative_to(source).as_posix()
            yield from unnamed(table.parent / "videos", table.parent / "frames", stems, source, place)

    def _clip(self, path: Path, frames: Path, label: int, first: str, split: str) -> Clip:
        keys = tuple((folder, path.stem) for folder in (path.parent.name, path.parent.parent.name))
        return Clip(
            path,
            label,
            "dfdc" if label else "none",
            "unknown" if label else "none",
            path.stem,
            f"dfdc:{first}",
            split,
            frames / path.stem,
            keys[:1],
        )


@ADAPTERS.register(
    "dfdcp",
    family="videos",
    params=VideoParams,
    licence="DFDC terms",
    paper="Dolhansky et al., arXiv 1910.08854",
    taxonomy="ffpp",
)
class DFDCPreview(VideoAdapter):
    """DFDC preview: dataset.json beside original_videos/, method_A/ and method_B/."""

    dataset = "dfdcp"

    def check(self, source: Path) -> list[Finding]:
        wanted = ("dataset.json", "original_videos", "method_A", "method_B")
        return [
            Finding("layout", f"{name} is missing: it is in the preview's archive")
            for name in wanted
            if not (source / name).exists()
        ]

    def clips(self, source: Path) -> Iterator[Clip | SourceImage]:
        stems: dict[Path, list[str]] = {}
        for name, row in sorted(read_json(source / "dataset.json", dict).items()):
            try:
                path = relative_path(name, "its name")
                stems.setdefault(inside(source, path, links=True).parent, []).append(Path(path).stem)
                yield self._clip(source, path, _entry(row))
            except BadValue as error:
                yield SourceImage(key=f"dataset.json {name}", problem=f"{error} (dataset.json)")
        for folder, listed in sorted(stems.items()):
            yield from unnamed(folder, folder / "frames", listed, source, "dataset.json")

    def _clip(self, source: Path, name: str, entry: Mapping[str, Any]) -> Clip:
        label, path = label_of(entry.get("label")), inside(source, name, links=True)
        method = name.split("/")[0] if label else "none"
        person = text_of(entry.get("target_id"), "target_id") or path.stem
        split = split_word(entry.get("set"), "set")
        return Clip(
            path,
            label,
            method,
            "swap" if label else "none",
            name.removesuffix(".mp4"),
            f"dfdcp:{person}",
            split,
            path.parent / "frames" / path.stem,
        )
