"""Published attribute annotations of videos (Xu et al., arXiv 2208.05845: A-FF++, A-Celeb-DF, A-DFD, A-DFDC).

One row per frame; 1 has, -1 has not, 0 undefined: 0 is not -1. Races: exactly one 1 and no 0 gives that race;
all -1 gives `others`; a 0 or two 1s leave the race undefined. A set without an `asian` column (Celeb-DF, DFD)
counts Asian faces as others. Frames of the annotation need not be those extracted here, so a video gets the
value most of its defined rows have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from manifests.adapters.rows import line_of
from manifests.text_files import csv_rows
from manifests.values import BadValue, integer_of, is_missing

RACES = ("asian", "white", "black")
AGES = ("child", "young", "middle_aged", "senior")


@dataclass(frozen=True)
class Perceived:
    """Perceived attributes, races in taxonomy `ffpp`; None is undefined."""

    race: str | None = None
    gender: str | None = None
    age: str | None = None

    def __bool__(self) -> bool:
        return any((self.race, self.gender, self.age))


def race_of(flags: Mapping[str, int]) -> str | None:
    """The race that 1 / -1 / 0 flags name, `others` where all are -1, None where undefined or
    contradictory.
    """
    values = [flags[name] for name in RACES if name in flags]
    if not values or 0 in values or values.count(1) > 1:
        return None
    return next((name for name in RACES if flags.get(name) == 1), "others")


def gender_of(flag: int | None) -> str | None:
    """Male for 1, Female for -1, None for 0 or nothing."""
    return {1: "Male", -1: "Female"}.get(flag or 0)


def video_key(path: str) -> tuple[str, str]:
    """(method, video) of an annotated frame's path: the folder of the set's videos, and the video's name.

    `.../manipulated_sequences/NeuralTextures/raw/face_images/000_003/frame101.png` gives ("NeuralTextures",
    "000_003"), `Celeb-DF/Celeb-real/id0_0000/0.png` gives ("Celeb-real", "id0_0000").
    """
    parts = PurePosixPath(path.replace("\\", "/")).parts
    folders = [
        part for part in parts[:-1] if part not in ("raw", "c23", "c40", "face_images", "frames", "videos")
    ]
    return (folders[-2] if len(folders) > 1 else "", folders[-1] if folders else "")


def flag(text: str | None, column: str) -> int:
    """A flag: -1, 0 or 1, also written 1.0; a missing one is 0.

    Args:
        text: as it stands in the table.
        column: its name, for the words of an error.

    Raises:
        BadValue: anything else.
    """
    return 0 if is_missing(text) else integer_of(text, column, -1, 1)


def _most(votes: Counter[str]) -> str | None:
    ranked = votes.most_common(2)
    return None if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]) else ranked[0][0]


def read_annotations(path: Path) -> tuple[dict[tuple[str, str], Perceived], list[tuple[str, str]]]:
    """Perceived attributes per (method, video), see the module; and (line, reason) of rows that cannot be
    read.

    Raises:
        MissingError: no such file. DataError: not such a CSV.
    """
    unreadable: list[tuple[str, str]] = []
    votes: dict[tuple[str, str], tuple[Counter[str], Counter[str], Counter[str]]] = {}
    for where, row in csv_rows(path, ("path", "male", "white", "black"), ("asian", *AGES)):
        try:
            flags = {name: flag(row[name], name) for name in ("male", *RACES, *AGES) if name in row}
        except BadValue as error:
            unreadable.append((line_of(where, path.parent), f"{error} (a row of annotations)"))
            continue
        ages = [name for name in AGES if flags.get(name) == 1]
        found = (race_of(flags), gender_of(flags["male"]), ages[0] if len(ages) == 1 else None)
        for box, value in zip(
            votes.setdefault(video_key(row["path"]), (Counter(), Counter(), Counter())), found, strict=True
        ):
            if value is not None:
                box[value] += 1
    return {key: Perceived(*map(_most, boxes)) for key, boxes in votes.items()}, unreadable
