"""What the adapters of video datasets share: clips, evenly spaced frames, perceived attributes of the visible
face.

Frames come from a folder of extracted images beside `videos/` (the layout of DeepfakeBench) where there is
one, else from the video by `av`. A video that cannot be read, or has no frame, is one item with its reason;
the import goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import Field, field_validator

from manifests.adapters.annotations import Perceived, read_annotations
from manifests.adapters.base import SourceImage, left_out
from manifests.errors import DataError, MissingError
from manifests.images import READABLE, Image
from manifests.listing import Listing, list_files, list_folders
from manifests.registry import Params
from manifests.schema import Finding
from manifests.taxonomy import get_taxonomy
from manifests.video_frames import VIDEO_SUFFIXES, evenly, frames_of

Annotations = Mapping[tuple[str, str], Perceived]


class VideoParams(Params):
    """`frames`: evenly spaced, per video. `annotations`: a CSV of Xu et al. `splits`: only these (empty:
    all).
    """

    taxonomy: str = "ffpp"
    frames: int = Field(32, ge=1)
    annotations: Path | None = None
    splits: tuple[str, ...] = ()

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


@dataclass(frozen=True)
class Clip:
    """One video: `method` and `name` make its key; the annotation keys of its visible, target and source
    faces.
    """

    video: Path
    label: int
    method: str
    family: str
    name: str
    identity_id: str
    split: str | None = None
    folder: Path | None = None
    visible: tuple[tuple[str, str], ...] = ()
    target: tuple[str, str] | None = None
    source: tuple[str, str] | None = None


def frame_files(folder: Path) -> list[tuple[int, Path]]:
    """(number, file) of the images in a folder, by number (2 before 10); without digits, by place."""
    files = list_files(folder, READABLE, below=False).files
    digits = ["".join(c for c in path.stem if c.isdigit()) for path in files]
    return sorted(
        (int(number) if number else place, path)
        for place, (number, path) in enumerate(zip(digits, files, strict=True))
    )


def _frames(clip: Clip, count: int) -> Iterator[tuple[int, Path | None, Image | None]]:
    if clip.folder is not None and clip.folder.is_dir():
        files = frame_files(clip.folder)
        if not files:
            raise DataError(str(clip.folder), "holds no frame", "extract the frames again")
        yield from ((files[k][0], files[k][1], None) for k in evenly(len(files), count))
        return
    if not clip.video.is_file():
        raise DataError(str(clip.video), "is not there", "fetch it")
    instead = ", or extract the frames into frames/<video>/ beside videos/"
    yield from ((index, None, image) for index, image in frames_of(clip.video, count, instead))


def unnamed(
    videos: Path,
    frames: Path,
    stems: Collection[str],
    source: Path,
    list_name: str,
) -> Iterator[SourceImage]:
    """An item with its problem for each video, or folder of frames, that a list does not name or that nobody
    can read.

    Args:
        videos: the folder of videos.
        frames: the folder that holds a folder of frames per video.
        stems: names of the listed videos, without ending.
        source: the dataset's folder.
        list_name: for the reason.
    """
    files, framed = (
        list_files(videos, VIDEO_SUFFIXES, below=False) if videos.is_dir() else Listing(()),
        list_folders(frames),
    )
    there = {path.stem for path in files.files} | {path.name for path in framed.files}
    for stem in sorted(there - set(stems)):
        key = (videos / stem).relative_to(source).as_posix()
        yield SourceImage(key=key, problem=f"is not named by {list_name}")
    for folder, left in ((videos, files.unusable), (frames, framed.left)):
        for one in left:
            if PurePosixPath(one.name).stem not in stems:
                yield SourceImage(
                    key=f"{folder.relative_to(source).as_posix()}/{one.name}", problem=one.reason
                )


class VideoAdapter(ABC):
    """A dataset of videos. A sub-class names its `dataset` and lists its clips.

    `done`: video_ids that are left out, e.g. those an import has already.
    """

    dataset: str
    endings = (".mp4",)
    licence = "terms of the dataset's authors; not to be given away"

    def __init__(self, params: VideoParams) -> None:
        self.params, self.annotated = params, params.annotations is not None
        self.done: set[str] = set()

    @abstractmethod
    def clips(self, source: Path) -> Iterator[Clip | SourceImage]:
        """Every video, in a fixed order; an entry that cannot be used is an item with its problem."""

    @abstractmethod
    def check(self, source: Path) -> list[Finding]:
        """What is missing of the layout."""

    def listed(self, source: Path) -> dict[str, Path]:
        """Folders whose videos are found by listing them, by the name that they have in keys; none where
        lists name the videos.
        """
        return {}

    def videos_in(self, folder: Path) -> list[Path]:
        """The videos in a folder, sorted; none where there is no such folder."""
        return list(list_files(folder, self.endings, below=False).files) if folder.is_dir() else []

    def read(self, source: Path) -> Iterator[SourceImage]:
        """Every frame asked for, one at a time.

        Raises:
            MissingError: the layout is not there, or `av` is needed and not installed. DataError: a broken
                list.
        """
        found = self.check(source)
        if found:
            raise MissingError(
                str(source), "; ".join(f.message for f in found), "see what is missing with --check"
            )
        known: Annotations = {}
        if self.params.annotations:
            known, unreadable = read_annotations(self.params.annotations)
            yield from (SourceImage(key=place, problem=why) for place, why in unreadable)
        for clip in self.clips(source):
            if isinstance(clip, SourceImage):
                yield clip
            elif not self.params.splits or clip.split in self.params.splits:
                yield from self._images(clip, known)
        for name, folder in self.listed(source).items():
            if folder.is_dir():
                yield from left_out(
                    list_files(folder, self.endings, below=False),
                    f"{self.dataset}/{name}/",
                    dataset=self.dataset,
                )

    def _cell(self, key: tuple[str, str] | None, known: Annotations) -> str | None:
        face = known.get(key) if key else None
        return self._mapped(face)[1] if face else None

    def _mapped(self, face: Perceived) -> tuple[str | None, str | None]:
        """Race and cell in the taxonomy asked for."""
        race = get_taxonomy("ffpp").map_race(face.race, self.params.taxonomy)
        return race, get_taxonomy(self.params.taxonomy).cell(race, face.gender)

    def _images(self, clip: Clip, known: Annotations) -> Iterator[SourceImage]:
        video_id = f"{self.dataset}/{clip.method}/{clip.name}"
        if video_id in self.done:
            return
        found = [(place, known[key]) for place, key in enumerate(clip.visible) if known.get(key)]
        place, face = found[0] if found else (0, Perceived())
        race, cell = self._mapped(face)
        source = self.params.annotations.name if self.params.annotations and face else None
        row = {
            "label": clip.label,
            "method": clip.method,
            "family": clip.family,
            "race": race,
            "gender": face.gender,
            "age": face.age,
            "cell": cell,
            "identity_id": clip.identity_id,
            "video_id": video_id,
            "split": clip.split,
            "target_cell": self._cell(clip.target, known),
            "source_cell": self._cell(clip.source, known),
            "licence": self.licence,
            "annotation_source": source,
            "inherited": place > 0,
            "dataset": self.dataset,
            "origin": "photograph",
        }
        try:
            for index, path, image in _frames(clip, self.params.frames):
                yield SourceImage.model_validate(
                    {
                        "key": f"{video_id}/{index:05d}",
                        "path": path,
                        "image": image,
                        "whole_frame": image is not None,
                        **row,
                    }
                )
        except DataError as error:
            yield SourceImage.model_validate({"key": video_id, "problem": error.why, **row})
