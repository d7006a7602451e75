"""Adapter `dfd`: DeepFakeDetection (Google / Jigsaw 2019), which is distributed in the tree of
FaceForensics++.

There is no official split: actors are dealt to train, val and test in the order of their numbers, and a fake
whose two actors fall into different splits is left out with that reason. With `split` all goes to one split,
e.g. for testing alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from manifests.adapters.base import ADAPTERS, SourceImage, Split
from manifests.adapters.videos import Annotations, Clip, VideoAdapter, VideoParams
from manifests.listing import list_folders
from manifests.schema import SPLITS, Finding
from manifests.splits import largest_remainder

FAKE = "DeepFakeDetection"


class DFDParams(VideoParams):
    """`split`: all videos to this one; else `shares` of the actors."""

    compression: str = "c23"
    split: Split = None
    shares: dict[str, float] = Field(default={"train": 0.6, "val": 0.2, "test": 0.2})


def actors_of(name: str) -> tuple[str, ...]:
    """The actors of a video: (target, source) of `01_02__scene__HASH`, (actor,) of `01__scene`."""
    return tuple(name.split("__")[0].split("_"))


@ADAPTERS.register(
    "dfd",
    family="videos",
    params=DFDParams,
    licence="FaceForensics terms of use",
    paper="Dufour & Gully, 2019; annotations Xu et al., arXiv 2208.05845",
    taxonomy="ffpp",
)
class DeepFakeDetection(VideoAdapter):
    """DFD of Google and Jigsaw, split by actor."""

    dataset = "dfd"

    def __init__(self, params: DFDParams) -> None:
        super().__init__(params)
        self.compression, self.split, self.shares = params.compression, params.split, params.shares

    def _places(self, source: Path) -> dict[int, Path]:
        return {
            0: source / "original_sequences" / "actors" / self.compression,
            1: source / "manipulated_sequences" / FAKE / self.compression,
        }

    def check(self, source: Path) -> list[Finding]:
        return [
            Finding(
                "layout",
                f"{place}/videos is missing: download_FaceForensics.py -d"
                f" {'DeepFakeDetection' if label else 'DeepFakeDetection_original'} -c {self.compression} -t"
                " videos",
            )
            for label, place in self._places(source).items()
            if not any((place / kind).is_dir() for kind in ("videos", "frames"))
        ]

    def _videos(self, place: Path) -> dict[str, Path]:
        """Where each video is, or would be where there are only its frames, by its name."""
        framed = {
            path.name: place / "videos" / f"{path.name}.mp4" for path in list_folders(place / "frames").files
        }
        return dict(
            sorted({**framed, **{path.stem: path for path in self.videos_in(place / "videos")}}.items())
        )

    def listed(self, source: Path) -> dict[str, Path]:
        return {FAKE if label else "none": place / "videos" for label, place in self._places(source).items()}

    def splits(self, names: list[str]) -> dict[str, str]:
        """The split of each actor."""
        actors = sorted({actor for name in names for actor in actors_of(name)})
        if self.split:
            return dict.fromkeys(actors, self.split)
        counts = largest_remainder(len(actors), self.shares)
        return dict(
            zip(actors, [split for split in SPLITS for _ in range(counts.get(split, 0))], strict=True)
        )

    def clips(self, source: Path) -> Iterator[Clip | SourceImage]:
        named = {label: self._videos(place) for label, place in self._places(source).items()}
        split_of = self.splits([name for names in named.values() for name in names])
        for label, names in named.items():
            place, method = self._places(source)[label], FAKE if label else "none"
            for name, video in names.items():
                actors = actors_of(name)
                split = {split_of[actor] for actor in actors}
                yield Clip(
                    video,
                    label,
                    method,
                    "swap" if label else "none",
                    name,
                    f"dfd:{actors[0]}",
                    split.pop() if len(split) == 1 else None,
                    place / "frames" / name,
                    ((FAKE if label else "actors", name),),
                )

    def _images(self, clip: Clip, known: Annotations) -> Iterator[SourceImage]:
        if clip.split is None:
            why = f"its actors {' and '.join(actors_of(clip.name))} are in different splits"
            yield SourceImage(
                key=f"dfd/{clip.method}/{clip.name}",
                label=clip.label,
                method=clip.method,
                family=clip.family,
                problem=why,
            )
            return
        yield from super()._images(clip, known)
