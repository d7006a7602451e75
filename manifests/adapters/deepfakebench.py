"""Adapter `deepfakebench`: the JSON lists of DeepfakeBench (Yan et al., NeurIPS 2023) and the frames they
name.

`{dataset: {label: {split: {[compression:] {video: {"label", "frames", "masks"}}}}}}`. Four fakes of
FaceForensics++ share a video's name, so the key of a video has its dataset and label too. Paths may have been
written on Windows. A video or frame that cannot be used is left out with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import field_validator

from manifests.adapters.base import ADAPTERS, SourceImage, checked
from manifests.adapters.ffpp import family_of
from manifests.adapters.rows import PERCEIVED, source_image
from manifests.containment import inside
from manifests.errors import DataError, MissingError
from manifests.registry import Params
from manifests.schema import Finding
from manifests.taxonomy import get_taxonomy
from manifests.text_files import read_json
from manifests.values import BadValue, relative_path, split_word
from manifests.video_frames import evenly

METHODS = {
    "FF-DF": "Deepfakes",
    "FF-F2F": "Face2Face",
    "FF-FS": "FaceSwap",
    "FF-NT": "NeuralTextures",
    "FF-FH": "FaceShifter",
}
COMPRESSIONS = ("raw", "c0", "c23", "c40")
PARTS = {"label", "frames", "masks", "landmarks"}
"""Keys of a video's entry."""


class DeepfakeBenchParams(Params):
    """`root`: the folder frames are named from (the JSON's own when None). `frames`: at most so many per
    video, evenly.
    """

    taxonomy: str = "ffpp"
    root: Path | None = None
    compression: str = "c23"
    frames: int = 32

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


def is_real(label: str) -> bool:
    """Whether a label of DeepfakeBench is of real videos: FF-real, CelebDFv2_real, DFDC_Real, ..."""
    return label.lower().replace("-", "_").split("_")[-1] == "real"


def identities(names: set[str]) -> dict[str, str]:
    """Identity of each video's name: names tied by fakes `a_b` of numbers share `a_b`; `id3_id5_0001` is
    id3's.
    """
    out = {}
    for name in sorted(names):
        parts = name.split("_")
        if len(parts) == 2 and all(part.isdigit() for part in parts):
            for member in (*parts, name):
                out[member] = "_".join(sorted(parts))
        elif len(parts) > 1 and parts[0].startswith("id"):
            out[name] = parts[0]
    return {name: out.get(name, name) for name in names}


@ADAPTERS.register(
    "deepfakebench",
    family="frames",
    params=DeepfakeBenchParams,
    licence="that of each dataset",
    paper="Yan et al., NeurIPS 2023 (arXiv 2307.01426)",
    taxonomy="ffpp",
)
class DeepfakeBench:
    """Frames named by a JSON list of DeepfakeBench."""

    def __init__(self, params: DeepfakeBenchParams) -> None:
        self.params, self.annotated = params, False

    def check(self, source: Path) -> list[Finding]:
        if source.is_file():
            return []
        return [
            Finding(
                "layout", f"{source} is not a JSON file: preprocessing/dataset_json of DeepfakeBench has them"
            )
        ]

    def _nested(self, videos: Mapping[str, Any]) -> bool:
        """Whether there is a level of compressions above the videos."""
        if all(name in (*COMPRESSIONS, self.params.compression) for name in videos):
            return True
        if not all(isinstance(entry, dict) and not PARTS & entry.keys() for entry in videos.values()):
            return False
        inner = [video for entry in videos.values() for video in entry.values()]
        return bool(inner) and all(isinstance(video, dict) for video in inner)

    def _entries(self, source: Path, lacking: list[str]) -> Iterator[tuple[str, str, str, str, Any]]:
        """(dataset, label, split, video, entry), at the compression asked for where there are several.

        lacking: gets the places that have no such compression.
        """
        for dataset, labels in read_json(source, dict).items():
            for label, splits in _object(labels, source, dataset).items():
                for split, videos in _object(splits, source, f"{dataset}/{label}").items():
                    named = _object(videos, source, f"{dataset}/{label}/{split}")
                    if self._nested(named):
                        wanted = self.params.compression
                        place = f"{dataset}/{label}/{split}/{wanted}"
                        lacking += [place] if wanted not in named and any(named.values()) else []
                        named = _object(named.get(wanted, {}), source, place)
                    yield from ((dataset, label, split, name, entry) for name, entry in named.items())

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "give the path of the JSON file")
        lacking: list[str] = []
        videos = list(self._entries(source, lacking))
        if not videos:
            raise DataError(
                str(source),
                f"names no video at compression {self.params.compression}",
                "choose another with --set compression=",
            )
        for place in lacking:
            yield SourceImage(key=place, problem=f"has other compressions only ({source.name})")
        identity = {d: identities({v[3] for v in videos if v[0] == d}) for d in {v[0] for v in videos}}
        for dataset, label, split, name, entry in videos:
            place = f"{dataset}/{label}/{split}/{name}"
            try:
                real, frames = is_real(label), _frames(entry)
                known, wanted = _known(entry, len(frames)), split_word(split)
            except BadValue as error:
                yield SourceImage(key=place, problem=f"{error} ({source.name})")
                continue
            method = METHODS.get(label, label)
            family = family_of(method) if label in METHODS else "unknown"
            row = {
                "label": int(not real),
                "method": method,
                "family": family,
                "video_id": f"{dataset}/{label}/{name}",
                "identity_id": f"{dataset}:{identity[dataset][name]}",
                "dataset": dataset,
            }
            for k in evenly(len(frames), self.params.frames):
                told = {**row, **known[k], "split": wanted}
                make = partial(self._image, source, told, f"{dataset}/{label}", frames[k])
                yield checked(make, frames[k], f"{source.name} {place}")

    def _image(self, source: Path, row: Mapping[str, Any], place: str, frame: Any) -> SourceImage:
        path = relative_path(frame, "a frame")
        self.annotated |= not row.keys().isdisjoint(PERCEIVED)
        file = inside(self.params.root or source.parent, path, links=True)
        return source_image(row, self.params.taxonomy, source.name, key=f"{place}/{path}", path=file)


def _object(value: Any, source: Path, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        why = f"is not a list of DeepfakeBench: {place} is no object"
        raise DataError(str(source), why, "fetch it again")
    return value


def _frames(entry: Any) -> list[Any]:
    """The frames that a video's entry names.

    Raises:
        BadValue: it is no object, or names none.
    """
    frames = entry.get("frames") if isinstance(entry, dict) else None
    if not isinstance(frames, list) or not frames:
        raise BadValue("its entry names no frames", entry)
    return frames


def _known(entry: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """FairForge's own attributes of each frame, empty where the list has none."""
    known = entry.get("fairforge")
    if known is None:
        return [{}] * count
    if not isinstance(known, list) or len(known) != count or not all(isinstance(row, dict) for row in known):
        raise BadValue(f"its fairforge is no list of {count} objects, one for each frame", known)
    return known
