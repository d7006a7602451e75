"""Adapter `celebdf`: Celeb-DF v1 and v2 (Li et al., CVPR 2020).

`List_of_testing_videos.txt` marks real with 1, the other way round from everybody; the label here comes from
the folder and the list's mark must agree with it: a video whose mark does not is left out. Videos outside the
list are for training. The official split shares celebrities between training and test. The annotations have
no `asian` column, so `others` holds Asian faces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.adapters.videos import Clip, VideoAdapter, VideoParams
from manifests.containment import inside
from manifests.errors import DataError
from manifests.listing import list_folders
from manifests.schema import Finding
from manifests.text_files import read_text
from manifests.values import BadValue, label_of, relative_path

FOLDERS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}
LIST = "List_of_testing_videos.txt"
NAME = re.compile(r"^(id\d+)_(?:(id\d+)_)?\d+$")


@ADAPTERS.register(
    "celebdf",
    family="videos",
    params=VideoParams,
    licence="Celeb-DF terms of use",
    paper="Li et al., CVPR 2020; annotations Xu et al., arXiv 2208.05845",
    taxonomy="ffpp",
)
class CelebDF(VideoAdapter):
    """Celeb-DF v1 or v2, with its list of test videos (where 1 is real)."""

    dataset = "celebdf"

    def check(self, source: Path) -> list[Finding]:
        out = [
            Finding("layout", f"folder {name} is missing: it is in the Celeb-DF archive")
            for name in FOLDERS
            if not (source / name).is_dir()
        ]
        if not (source / LIST).is_file():
            out.append(Finding("layout", f"{LIST} is missing: it is in the Celeb-DF archive"))
        return out

    def _tests(self, source: Path) -> tuple[set[str], dict[str, str]]:
        """Videos that the list names; and those of lines that cannot be used, with the reason.

        Raises:
            DataError: most marks contradict the folders, or no line can be used.
        """
        out: set[str] = set()
        bad: dict[str, str] = {}
        wrong: list[str] = []
        for number, line in enumerate(read_text(source / LIST).splitlines(), 1):
            if not line.strip():
                continue
            mark, _, path = line.strip().replace("\t", " ").partition(" ")
            where = f"{LIST} line {number}"
            try:
                name, real = relative_path(path), label_of(mark, "its mark")
            except BadValue as error:
                bad[where] = f"{error} ({where})"
                continue
            folder, _, file = name.partition("/")
            if folder not in FOLDERS or not file or real != 1 - FOLDERS[folder]:
                bad[name] = f"is {line!r}; 1 marks the real folders, 0 Celeb-synthesis ({where})"
                wrong.append(bad[name])
            else:
                out.add(name)
        if len(wrong) > len(out):
            raise DataError(
                str(source / LIST),
                f"{len(wrong)} lines contradict the folders, e.g. {wrong[0]}",
                "fetch the official list again",
            )
        if not out:
            raise DataError(
                str(source / LIST), "names no video of the test set", "fetch the official list again"
            )
        return out, bad

    def listed(self, source: Path) -> dict[str, Path]:
        return {folder: source / folder for folder in FOLDERS}

    def clips(self, source: Path) -> Iterator[Clip | SourceImage]:
        tests, bad = self._tests(source)
        yield from (SourceImage(key=name, problem=why) for name, why in bad.items())
        there = {
            path.relative_to(source).as_posix()
            for folder in FOLDERS
            for path in self.videos_in(source / folder)
        }
        stems = {name.rpartition(".")[0] for name in there}
        framed = {
            f"{folder}/{path.name}.mp4"
            for folder in FOLDERS
            for path in list_folders(source / folder / "frames").files
            if f"{folder}/{path.name}" not in stems
        }
        for name in sorted((there | framed | tests) - bad.keys()):
            folder, _, file = name.partition("/")
            stem = Path(file).stem
            found = NAME.match(stem)
            label = FOLDERS[folder]
            yield Clip(
                inside(source, name, links=True),
                label,
                folder if label else "none",
                "swap" if label else "none",
                f"{folder}-{stem}" if not label else stem,
                f"celebdf:{found[1] if found else f'{folder}-{stem}'}",
                "test" if name in tests else "train",
                inside(source / folder / "frames", stem, links=True),
                ((folder, stem),),
            )
