"""Adapter `ffpp`: FaceForensics++ (Rössler et al., ICCV 2019) with its official splits, and FaceShifter.

A pair [a, b] of {train,val,test}.json stands for the reals a and b and the fakes a_b and b_a (target_source); all four share
their two people, so the pair is the identity. The visible face is the source's for Deepfakes, FaceSwap and FaceShifter, the
target's for Face2Face and NeuralTextures: where a fake has no annotation of its own it inherits that original's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests.adapters.base import ADAPTERS
from manifests.adapters.videos import Clip, VideoAdapter, VideoParams
from manifests.errors import DataError
from manifests.schema import SPLITS, Finding
from manifests.text_files import read_json

SOURCE_IS_VISIBLE = {"Deepfakes": True, "Face2Face": False, "FaceSwap": True, "NeuralTextures": False, "FaceShifter": True}
REAL = "youtube"


def family_of(method: str) -> str:
    """Swap or reenact, of a method of FaceForensics++."""
    return "swap" if SOURCE_IS_VISIBLE[method] else "reenact"


class FaceForensicsParams(VideoParams):
    """`compression`: raw, c23 or c40. `methods`: all that are there when empty."""

    compression: str = "c23"
    methods: tuple[str, ...] = ()


@ADAPTERS.register("ffpp", family="videos", params=FaceForensicsParams, licence="FaceForensics terms of use",
                   paper="Rössler et al., ICCV 2019; annotations Xu et al., arXiv 2208.05845", taxonomy="ffpp")
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
            for split in SPLITS if not (source / f"{split}.json").is_file()
        ]
        unknown = [name for name in self.methods if name not in SOURCE_IS_VISIBLE]
        out += [Finding("layout", f"method {name} is not one of {', '.join(SOURCE_IS_VISIBLE)}") for name in unknown]
        for method in [REAL, *(self._methods(source) or ["Deepfakes"])]:
            if not any((self._place(source, method) / kind).is_dir() for kind in ("videos", "frames")):
                download = "original" if method == REAL else method
                out.append(Finding("layout", f"{self._place(source, method)}/videos is missing: "
                                             f"download_FaceForensics.py -d {download} -c {self.compression} -t videos"))
        return out

    def _clip(self, source: Path, method: str, name: str, pair: str, split: str) -> Clip:
        place = self._place(source, method)
        target, _, other = name.partition("_")
        own, original = (method, name), (REAL, (other if SOURCE_IS_VISIBLE.get(method) else target))
        return Clip(
            place / "videos" / f"{name}.mp4", int(method != REAL), "none" if method == REAL else method,
            "none" if method == REAL else family_of(method), name, f"ffpp:{pair}", split, place / "frames" / name,
            (own,) if method == REAL else (own, original), (REAL, target) if other else None, (REAL, other) if other else None,
        )

    def clips(self, source: Path) -> Iterator[Clip]:
        for split in SPLITS:
            path = source / f"{split}.json"
            for pair in read_json(path):
                if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(name, str) for name in pair):
                    raise DataError(str(path), f"holds {pair!r}, not a pair of names", "fetch it again")
                a, b = sorted(pair)
                for method in (REAL, *self._methods(source)):
                    for name in (a, b) if method == REAL else (f"{a}_{b}", f"{b}_{a}"):
                        yield self._clip(source, method, name, f"{a}_{b}", split)
