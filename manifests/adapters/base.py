"""What an adapter is: it reads a dataset's own layout and yields one `SourceImage` per image, never holding
many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from manifests.errors import DataError, MissingError
from manifests.images import Image, decode, read_bytes
from manifests.listing import Listing
from manifests.registry import Registry
from manifests.schema import SPLITS, Finding
from manifests.values import BadValue, split_word

_CARRIED = (
    *("label", "method", "family", "target_cell", "source_cell"),
    *("race", "gender", "age", "cell", "identity_id", "pair_id", "video_id", "split"),
    *("licence", "consent", "origin"),
)


class SourceImage(BaseModel):
    """One image of another dataset, with what that dataset says of it; unknown is None.

    key: unique in the dataset. data or path: the encoded image; sha256: of the file at `path`, where it is to
    be compared. cell: in the taxonomy asked for, None where it has no counterpart. landmarks: x0 y0 x1 y1 ...
    in pixels. annotation_source: where the attributes come from; inherited: they are those of the face that
    this one was made from. origin: of the face, or of the face that a forgery changed. dataset: None for the
    adapter's name. problem: why there is no image. image: the pixels where they are decoded already, uint8
    [H, W, 3]. whole_frame: the picture is a frame of a video as it was filmed, not a crop of a face. media:
    `video` for a clip, which is taken as a file: `path`, and `audio` where its sound is a file of its own;
    fake_segments: start and end of its forged parts, seconds, one after another.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    data: bytes | None = Field(None, repr=False)
    image: Any = Field(None, repr=False)
    path: Path | None = None
    sha256: str | None = None
    label: int = Field(0, ge=0, le=1)
    method: str = "none"
    family: str = "none"
    race: str | None = None
    gender: str | None = None
    age: str | None = None
    cell: str | None = None
    identity_id: str | None = None
    pair_id: str | None = None
    video_id: str | None = None
    split: str | None = None
    landmarks: list[float] | None = None
    landmark_scheme: str | None = None
    licence: str | None = None
    consent: str | None = None
    origin: Literal["photograph", "synthetic"] | None = None
    annotation_source: str | None = None
    inherited: bool = False
    target_cell: str | None = None
    source_cell: str | None = None
    dataset: str | None = None
    problem: str | None = None
    whole_frame: bool = False
    media: Literal["image", "video"] = "image"
    audio: Path | None = None
    fake_segments: list[float] | None = None

    def pixels(self) -> Image:
        """The picture: uint8 [H, W, 3] RGB.

        Raises:
            As `bytes_of`; DataError also where it is no readable image.
        """
        return decode(self.bytes_of(), self.key) if self.image is None else np.asarray(self.image, np.uint8)

    def bytes_of(self) -> bytes:
        """The encoded image.

        Raises:
            MissingError: the file is not there. DataError: it cannot be read, or the source has no image
                here, with its reason.
        """
        if self.problem is not None:
            raise DataError(self.key, self.problem, "fetch it again, or drop its row")
        if self.data is not None:
            return self.data
        if self.path is None:
            raise MissingError(self.key, "is not there", "fetch it, or drop its row")
        return read_bytes(self.path, self.sha256)


def carried_over(item: SourceImage, adapter: str) -> dict[str, Any]:
    """What a row takes from its source as it is, for a picture and for a clip: all but files and pixels.

    Args:
        item: what the source says.
        adapter: the adapter's name, which stands for the dataset where the source names none.
    """
    said_by = f"annotation:{item.annotation_source}" if item.annotation_source is not None else None
    return {
        **{name: getattr(item, name) for name in _CARRIED},
        "attribute_source": "inherited" if item.inherited and said_by else said_by,
        "dataset": item.dataset or adapter,
    }


def _known_split(value: str | None) -> str | None:
    try:
        return split_word(value)
    except BadValue as error:
        raise ValueError(f"choose one of: {', '.join(SPLITS)}") from error


Split = Annotated[str | None, AfterValidator(_known_split)]
"""A parameter that names a split: train, val, test, or None."""


def left_out(listing: Listing, prefix: str, **row: Any) -> Iterator[SourceImage]:
    """An item with its reason for every file that a listing left out.

    Args:
        listing: of a folder.
        prefix: of the keys, with its slash: the folder as the adapter's keys have it.
        row: other fields of the items.
    """
    for one in listing.left:
        yield SourceImage(key=prefix + one.name, problem=one.reason, **row)


def checked(make: Callable[[], SourceImage], key: object, place: str) -> SourceImage:
    """What `make` gives, or, where a value of its row cannot be read, an item that says why it has no image.

    Args:
        make: makes the item of a row or entry.
        key: what names such an item; its place where that is missing.
        place: the row or entry, for its reason: `labels.csv line 3`.
    """
    try:
        return make()
    except BadValue as error:
        why = str(error)
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    named = key if isinstance(key, str) and key.strip() else place
    return SourceImage(key=named, problem=f"{why} ({place})")


class Adapter(Protocol):
    """Reads one layout.

    annotated: whether the source has places for perceived attributes; may become true while it is read.
    """

    annotated: bool

    def read(self, source: Path) -> Iterator[SourceImage]:
        """Every image, in a fixed order.

        Args:
            source: the folder or file that a user names.

        Raises:
            MissingError: the layout is not there.
            DataError: a file of it cannot be read.
        """
        ...

    def check(self, source: Path) -> list[Finding]:
        """What is missing of the layout; empty when it is all there.

        Args:
            source: as `read` takes it.
        """
        ...


ADAPTERS: Registry[Adapter] = Registry("adapters", "manifests.adapters")
