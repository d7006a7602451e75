"""Adapters `dfdc` and `dfdcp`: the Deepfake Detection Challenge (Dolhansky et al., arXiv 2006.07397) and its preview.

DFDC: `dfdc_train_part_N/metadata.json` names label, split and the original of each video; the test part has `labels.csv`
(`filename,label`, 1 fake) and `videos/`. A fake shares its identity with its original. DFDC names no forgery method.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests.adapters.base import ADAPTERS
from manifests.adapters.videos import Clip, VideoAdapter, VideoParams
from manifests.errors import DataError
from manifests.schema import Finding, path_escapes
from manifests.text_files import csv_rows, read_json

LABELS = {"REAL": 0, "FAKE": 1, "0": 0, "1": 1}


def _label(value: object, where: str) -> int:
    if str(value).upper() not in LABELS:
        raise DataError(where, f"has label {value!r}, not REAL or FAKE", "fetch the list again")
    return LABELS[str(value).upper()]


def _safe(name: str, where: str) -> str:
    if path_escapes(name):
        raise DataError(where, f"names {name!r}, which leaves the folder", "fetch the list again")
    return name


@ADAPTERS.register("dfdc", family="videos", params=VideoParams, licence="DFDC terms",
                   paper="Dolhansky et al., arXiv 2006.07397; annotations Xu et al., arXiv 2208.05845", taxonomy="ffpp")
class DFDC(VideoAdapter):
    """DFDC: training parts with metadata.json, and the test part with labels.csv."""

    dataset = "dfdc"

    def _parts(self, source: Path) -> list[Path]:
        return sorted((p.parent for p in source.rglob("metadata.json")), key=lambda p: (len(p.name), p.as_posix()))

    def _tests(self, source: Path) -> list[Path]:
        return [path for path in (source / "labels.csv", source / "test" / "labels.csv") if path.is_file()]

    def check(self, source: Path) -> list[Finding]:
        if self._parts(source) or self._tests(source):
            return []
        return [Finding("layout", f"{source} has neither dfdc_train_part_N/metadata.json nor labels.csv beside videos/: "
                                  "unpack the parts of the challenge's download here")]

    def clips(self, source: Path) -> Iterator[Clip]:
        for part in self._parts(source):
            where = str(part / "metadata.json")
            for name, row in sorted(read_json(part / "metadata.json").items()):
                label = _label(row.get("label"), f"{where} {name}")
                first = Path(row.get("original") or name).stem
                yield self._clip(part / _safe(name, where), part / "frames", label, first, "train")
        for table in self._tests(source):
            for where, row in csv_rows(table, ("filename", "label")):
                path = table.parent / "videos" / _safe(row["filename"], where)
                yield self._clip(path, table.parent / "frames", _label(row["label"], where), path.stem, "test")

    def _clip(self, path: Path, frames: Path, label: int, first: str, split: str) -> Clip:
        keys = tuple((folder, path.stem) for folder in (path.parent.name, path.parent.parent.name))
        return Clip(path, label, "dfdc" if label else "none", "unknown" if label else "none", path.stem, f"dfdc:{first}",
                    split, frames / path.stem, keys[:1])


@ADAPTERS.register("dfdcp", family="videos", params=VideoParams, licence="DFDC terms",
                   paper="Dolhansky et al., arXiv 1910.08854", taxonomy="ffpp")
class DFDCPreview(VideoAdapter):
    """DFDC preview: dataset.json beside original_videos/, method_A/ and method_B/."""

    dataset = "dfdcp"

    def check(self, source: Path) -> list[Finding]:
        wanted = ("dataset.json", "original_videos", "method_A", "method_B")
        return [Finding("layout", f"{name} is missing: it is in the preview's archive")
                for name in wanted if not (source / name).exists()]

    def clips(self, source: Path) -> Iterator[Clip]:
        where = str(source / "dataset.json")
        for name, row in sorted(read_json(source / "dataset.json").items()):
            label = _label(row.get("label"), f"{where} {name}")
            split = {"train": "train", "test": "test", "val": "val"}.get(str(row.get("set")))
            path = source / _safe(name, where)
            method = name.split("/")[0] if label else "none"
            person = row.get("target_id")
            yield Clip(path, label, method, "swap" if label else "none", name.removesuffix(".mp4"),
                       f"dfdcp:{person if person is not None else path.stem}", split, path.parent / "frames" / path.stem)
