"""A `SourceImage` of a row or a JSON object with FairForge's own column names: what several layouts share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manifests.adapters.base import SourceImage
from manifests.families import family_names
from manifests.taxonomy import get_taxonomy
from manifests.values import (
    OWN_WORDS,
    BadValue,
    age_word,
    gender_word,
    is_missing,
    label_of,
    number_of,
    race_word,
    split_word,
    text_of,
)

PERCEIVED = ("race", "gender", "age")
"""Columns of perceived attributes."""
TEXTS = (
    "identity_id",
    "pair_id",
    "video_id",
    "landmark_scheme",
    "dataset",
    "target_cell",
    "source_cell",
    "consent",
    "origin",
)
COLUMNS = ("label", "split", "method", "family", "licence", "landmarks", *PERCEIVED, *TEXTS)
"""Columns that `source_image` reads."""


def forgery_of(row: Mapping[str, Any], label: int) -> tuple[str, str]:
    """(method, family) of a row; a real one has none, a fake one without them `unknown`.

    Raises:
        BadValue: a family that the manifest does not know.
    """
    if label == 0:
        return "none", "none"
    method = text_of(row.get("method"), "method", keep=OWN_WORDS)
    family = (text_of(row.get("family"), "family", keep=OWN_WORDS) or "unknown").casefold()
    families = family_names()
    if family not in families:
        raise BadValue(f"family is not one of {', '.join(families)}", row.get("family"))
    return method if method not in (None, "none") else "unknown", family if family != "none" else "unknown"


def perceived_of(row: Mapping[str, Any], taxonomy: str) -> dict[str, str | None]:
    """Race, gender, age and cell of a row, in a taxonomy's own words; unknown words stay, and give no
    cell.
    """
    found = get_taxonomy(taxonomy)
    race, gender, age = (
        race_word(row.get("race"), found),
        gender_word(row.get("gender")),
        age_word(row.get("age")),
    )
    return {"race": race, "gender": gender, "age": age, "cell": found.cell(race, gender, age)}


def landmarks_of(value: Any) -> list[float] | None:
    """Pixels x0 y0 x1 y1 ...; None where there are none.

    Raises:
        BadValue: anything but a list of an even count of numbers.
    """
    if is_missing(value):
        return None
    if not isinstance(value, list) or len(value) % 2:
        raise BadValue("landmarks are no list of x and y", value)
    return [number_of(item, "a landmark") for item in value] or None


def source_image(row: Mapping[str, Any], taxonomy: str, said_by: str, **more: Any) -> SourceImage:
    """The item of a row.

    Args:
        row: values by column, of any type; see `COLUMNS`.
        taxonomy: of the cells.
        said_by: where attributes come from, for rows that have some.
        more: what the caller knows; `split` and `licence` hold where the row names none.

    Raises:
        BadValue: a value that cannot be read.
    """
    label = label_of(row.get("label"))
    method, family = forgery_of(row, label)
    perceived = perceived_of(row, taxonomy)
    told = {
        **{name: text_of(row.get(name), name) for name in TEXTS},
        "split": split_word(row.get("split")),
        "licence": text_of(row.get("licence"), "licence", keep=OWN_WORDS),
    }
    annotated = any(perceived[name] for name in PERCEIVED)
    return SourceImage.model_validate(
        {
            **more,
            **{name: text for name, text in told.items() if text is not None},
            **perceived,
            "label": label,
            "method": method,
            "family": family,
            "landmarks": landmarks_of(row.get("landmarks")),
            "annotation_source": said_by if annotated else None,
        }
    )


def line_of(where: str, folder: Path) -> str:
    """A row's place below a folder: `labels.csv line 3`."""
    return where.removeprefix(f"{folder.as_posix()}/")
