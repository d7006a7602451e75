"""Adapter `ffpp`: FaceForensics++ (Rössler et al., ICCV 2019) with its official splits, and FaceShifter.

A pair [a, b] of {train,val,test}.json stands for the reals a and b and the fakes a_b and b_a (target_source);
all four share their two people, so the pair is the identity. The visible face is the source's for Deepfakes,
FaceSwap and FaceShifter, the target's for Face2Face and NeuralTextures: where a fake has no annotation of its
own it inherits that original's. An entry that is no pair, and a video that no list names, is left out with
its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.adapters.videos import Clip, VideoAdapter, VideoParams, unnamed
from manifests.containment import inside
from manifests.schema import SPLITS, Finding
from manifests.text_files import read_json
from manifests.values import BadValue, relative_path

SOURCE_IS_VISIBLE = {
    "Deepfakes": True,
    "Face2Face": False,
    "FaceSwap": True,
    "NeuralTextures": False,
    "FaceShifter": True,
}
REAL = "youtube"


def family_of(method: str) -> str:
    """Swap or reenact, of a method of FaceForensics++."""
    return "swap" if SOURCE_IS_VISIBLE[method] else "reenact"


class FaceForensicsParams(VideoParams):
    """`compression`: raw, c23 or c40. `methods`: all that are there when empty."""

    compression: str = "c23"
    methods: tuple[str, ...] = ()


@ADAPTERS.register(
    "ffpp",
    family="videos",
    params=FaceForensicsParams,
    licence="FaceForensics terms of use",
    paper="Rössler et al., ICCV 2019; annotations Xu et al., arXiv 2208.05845",
    taxonomy="ffpp",
)
class FaceForensics(VideoAdapter):
    """FaceForensics++: videos or frames of five forgeries, official splits, annotations of Xu et al."""

    dataset = "ffpp"

    def __init__(self, params: FaceForensicsParams) -> None:
        super().__init__(params)
        self.compression, self.methods = params.compression, params.methods

    def _methods(self, source: Path) -> list[str]:
        there = [name for name in SOURCE_IS_VISIBLE if self._place(source, name).is_dir()]
        return [name for name in SOURCE_IS_VISIBLE if name in (self.methods or there)]

    def _place(self, source: Path, method: str) -> Path:
        kind = "original_sequences" if method == REAL else "manipulated_sequences"
        return source / kind / method / self.compression

    def check(self, source: Path) -> list[Finding]:
        out = [
            Finding("layout", f"{split}.json is missing: it is in dataset/splits of the authors' repository")
            for split in SPLITS
            if not (source / f"{split}.json").is_file()
        ]
        unknown = [name for name in self.methods if name not in SOURCE_IS_VISIBLE]
        out += [
            Finding("layout", f"method {name} is not one of {', '.join(SOURCE_IS_VISIBLE)}")
            for name in unknown
        ]
        for method in [REAL, *(self._methods(source) or ["Deepfakes"])]:
            if not any((self._place(source, method) / kind).is_dir() for kind in ("videos", "frames")):
                download = "original" if method == REAL else method
                out.append(
                    Finding(
                        "layout",
                        f"{self._place(source, method)}/videos is missing: "
                        f"download_FaceForensics.py -d {download} -c {self.compression} -t videos",
                    )
                )
        return out

    def _clip(self, source: Path, method: str, name: str, pair: str, split: str) -> Clip:
        place = self._place(source, method)
        target, _, other = name.partition("_")
        own, original = (method, name), (REAL, (other if SOURCE_IS_VISIBLE.get(method) else target))
        return Clip(
            inside(place / "videos", f"{name}.mp4", links=True),
            int(method != REAL),
            "none" if method == REAL else method,
            "none" if method == REAL else family_of(method),
            name,
            f"ffpp:{pair}",
            split,
            inside(place / "frames", name, links=True),
            (own,) if method == REAL else (own, original),
            (REAL, target) if other else None,
            (REAL, other) if other else None,
        )

    def clips(self, source: Path) -> Iterator[Clip | SourceImage]:
        methods = self._methods(source)
        stems: dict[str, set[str]] = {method: set() for method in (REAL, *methods)}
        for split in SPLITS:
            for number, pair in enumerate(read_json(source / f"{split}.json", list), 1):
                try:
                    a, b = sorted(_pair(pair))
                except BadValue as error:
                    yield SourceImage(key=f"{split}.json entry {number}", problem=f"{error} ({split}.json)")
                    continue
                for method in stems:
                    for name in (a, b) if method == REAL else (f"{a}_{b}", f"{b}_{a}"):
                        stems[method].add(name)
                        yield self._clip(source, method, name, f"{a}_{b}", split)
        for method, listed in stems.items():
            place = self._place(source, method)
            yield from unnamed(
                place / "videos", place / "frames", listed, source, "train.json, val.json or test.json"
            )


def _pair(value: Any) -> list[str]:
    """The two names of a pair.

    Raises:
        BadValue: no pair of names, or a name that is a path.
    """
    if not isinstance(value, list) or len(value) != 2:
        raise BadValue("its entry is no pair of names", value)
    names = [relative_path(name, "a name of the pair") for name in value]
    if any("/" in name for name in names):
        raise BadValue("a name of the pair is a path", value)
    return names
