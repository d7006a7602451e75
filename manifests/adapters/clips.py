"""What the adapters of clips with sound share: one item per clip, its people in one split each.

A clip is taken as it is: its file is linked or copied, and not encoded anew (that is `fairforge av rewrite`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from manifests.adapters.base import SourceImage, checked
from manifests.clip_columns import VIDEO
from manifests.errors import MissingError
from manifests.h264 import video_library
from manifests.registry import Params
from manifests.schema import SPLITS, Finding
from manifests.splits import assign_splits
from manifests.taxonomy import get_taxonomy
from manifests.values import BadValue, number_of

CLIP_SUFFIXES = (".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".m4v")
LICENCE = "terms of the dataset's authors; not to be given away"


class ClipParams(Params):
    """`splits`: only these (empty: all). Where a set has no split of its own, `shares` of its people and
    `seed` make one.
    """

    taxonomy: str = "fairface4"
    splits: tuple[str, ...] = ()
    shares: dict[str, float] = Field({"train": 0.7, "val": 0.1, "test": 0.2})
    seed: int = Field(2026, ge=0)

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name

    @field_validator("shares")
    @classmethod
    def _shares(cls, value: dict[str, float]) -> dict[str, float]:
        if set(value) - set(SPLITS) or abs(sum(value.values()) - 1) > 1e-6:
            raise ValueError(f"give shares that sum to 1 for {', '.join(SPLITS)}")
        return value


class ClipAdapter(ABC):
    """A dataset of clips. A sub-class names its `dataset` and lists its clips."""

    dataset: str
    licence = LICENCE
    annotated = False

    def __init__(self, params: ClipParams) -> None:
        self.params = params

    @abstractmethod
    def clips(self, source: Path) -> Iterator[SourceImage]:
        """Every clip, in a fixed order; an entry that cannot be used is an item with its problem."""

    @abstractmethod
    def check(self, source: Path) -> list[Finding]:
        """What is missing of the layout."""

    def read(self, source: Path) -> Iterator[SourceImage]:
        """Every clip of the splits asked for.

        Raises:
            MissingError: the layout, or `av`, is not there. DataError: a broken list.
        """
        found = self.check(source)
        if found:
            raise MissingError(
                str(source), "; ".join(f.message for f in found), "see what is missing with --check"
            )
        video_library(str(source))
        for item in self.clips(source):
            if item.problem is not None or not self.params.splits or item.split in self.params.splits:
                yield item

    def item(
        self, key: str, path: Path, label: int, method: str, family: str, place: str, **more: Any
    ) -> SourceImage:
        """A clip of this dataset; a value that the manifest refuses is its problem, with the `place` it
        stands at.
        """
        return checked(
            lambda: SourceImage.model_validate(
                {
                    "key": key,
                    "path": path,
                    "media": VIDEO,
                    "label": label,
                    "video_id": f"{self.dataset}/{key}",
                    "method": method if label else "none",
                    "family": family if label else "none",
                    "licence": self.licence,
                    "dataset": self.dataset,
                    "origin": "photograph",
                    **more,
                }
            ),
            key,
            place,
        )

    def split_of(self, people: Iterable[str]) -> dict[str, str]:
        """A split for each person, by `shares` and `seed`."""
        known = sorted(set(people))
        return dict(
            zip(
                known,
                assign_splits(known, [None] * len(known), self.params.shares, seed=self.params.seed),
                strict=True,
            )
        )


def segments_of(value: Any, name: str) -> list[float]:
    """Pairs of start and end in seconds as one list in order, those that overlap made one.

    Raises:
        BadValue: no list of pairs of numbers, or an end before its start.
    """
    if value is None:
        return []
    if not isinstance(value, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in value):
        raise BadValue(f"{name} is no list of start and end", value)
    merged: list[float] = []
    for start, end in sorted([number_of(pair[0], name), number_of(pair[1], name)] for pair in value):
        if start < 0 or end < start:
            raise BadValue(f"{name} has an end before its start", [start, end])
        if merged and start <= merged[-1]:
            merged[-1] = max(merged[-1], end)
        else:
            merged += [start, end]
    return merged


def entry_of(value: Any) -> dict[str, Any]:
    """An entry of a list in JSON.

    Raises:
        BadValue: it is no object.
    """
    if not isinstance(value, dict):
        raise BadValue("its entry is no object", value)
    return value
