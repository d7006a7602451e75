r"""One reader of the values in other people's tables and lists: what is missing, labels, numbers, words,
ages, paths.

Everything that comes from a CSV, a JSON, a parquet file or a tar goes through here, so that `NA`, `1.0`,
`TRUE`,
`male`, `9-Mar` and `frames\0.png` mean the same in every adapter and in score files. Values may be text,
Python
or numpy scalars. A value that cannot be read raises `BadValue`, whose words are a reason for `skipped.csv`;
what
is missing is None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from manifests.schema import SPLITS
from manifests.taxonomy import AGES, GENDERS, TAXONOMIES, Taxonomy

MISSING = frozenset(
    (
        "",
        "na",
        "n/a",
        "n.a.",
        "n.a",
        "n\\a",
        "#n/a",
        "#na",
        "#n/a n/a",
        "<na>",
        "nan",
        "-nan",
        "+nan",
        "nat",
        "<nat>",
        "null",
        "<null>",
        "(null)",
        "nil",
        "none",
        "<none>",
        "(none)",
        "unknown",
        "unk",
        "<unk>",
        "not known",
        "undefined",
        "unspecified",
        "not specified",
        "not available",
        "not applicable",
        "missing",
        "-",
        "--",
        "---",
        "–",
        "—",
        "?",
        "??",
        ".",
        "...",
        "…",
        "\\n",
    )
)
"""Spellings of a missing value, in lower case."""
OWN_WORDS = ("none", "unknown")
"""Words that a `method` or `family` has a meaning for: `text_of(value, keep=OWN_WORDS)`."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITE = {
    "inf": math.inf,
    "+inf": math.inf,
    "-inf": -math.inf,
    "infinity": math.inf,
    "-infinity": -math.inf,
}
_PLAIN = (str, int, float, bool)
_LABELS = {"real": 0, "false": 0, "fake": 1, "true": 1}
_SPLITS = {"validation": "val", "training": "train", "testing": "test"}
_GENDERS = {"m": "Male", "man": "Male", "men": "Male", "f": "Female", "woman": "Female", "women": "Female"}


class BadValue(ValueError):
    """A value that cannot be read.

    Args:
        reason: why, without the value: the same for all values of one kind.
        value: what stood there.
    """

    def __init__(self, reason: str, value: object) -> None:
        super().__init__(reason, value)
        self.reason, self.value = reason, value

    def __str__(self) -> str:
        """The reason and the value where there is one, shortened: one line of `skipped.csv`."""
        if is_missing(self.value):
            return self.reason
        shown = repr(self.value)
        return f"{self.reason}: {shown if len(shown) <= 80 else shown[:77] + '...'}"


def plain(value: Any) -> Any:
    """A numpy or pyarrow scalar as the Python value that it stands for; anything else as it is."""
    if value is None or type(value) in _PLAIN:
        return value
    for way in ("as_py", "item"):
        convert = getattr(value, way, None)
        if callable(convert) and getattr(value, "shape", ()) == ():
            return convert()
    return value


def is_missing(value: Any, keep: Collection[str] = ()) -> bool:
    """Whether a value is None, NaN, NaT or a spelling of `MISSING`, in any case.

    Args:
        value: any scalar.
        keep: words, in lower case, that are values of this column although they are in `MISSING`.
    """
    if type(value) is str:
        text = value.strip().lower()
        return text in MISSING and text not in keep
    value = plain(value)
    not_a_number = isinstance(value, float) and math.isnan(value)
    if value is None or not_a_number or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, str) and is_missing(str(value), keep)


def text_of(value: Any, name: str = "value", *, keep: Collection[str] = ()) -> str | None:
    """The text of a value, trimmed; None where it is missing. A whole float is written as an integer.

    Args:
        value: any scalar.
        name: of the column, for the words of an error.
        keep: as in `is_missing`.

    Raises:
        BadValue: a list or a mapping.
    """
    if is_missing(value, keep):
        return None
    if type(value) is str:
        return value.strip()
    value = plain(value)
    if isinstance(value, Mapping | list | tuple | set):
        raise BadValue(f"{name} is not a single value", value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return str(value).strip()


def number_of(value: Any, name: str = "value", *, finite: bool = True) -> float:
    """A number.

    Args:
        value: any scalar; text may have an exponent, and no comma.
        name: of the column, for the words of an error.
        finite: whether infinity is refused.

    Raises:
        BadValue: missing, not a number, not finite, a truth value, or with a comma as decimal point.
    """
    value = plain(value)
    if is_missing(value):
        raise BadValue(f"{name} is missing", value)
    if isinstance(value, bool):
        raise BadValue(f"{name} is not a number", value)
    text = str(value).strip()
    if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", text):
        raise BadValue(f"{name} has a comma where the decimal point belongs", value)
    if _NUMBER.fullmatch(text):
        number = float(text)
    elif text.lower() in _INFINITE:
        number = _INFINITE[text.lower()]
    else:
        raise BadValue(f"{name} is not a number", value)
    if finite and not math.isfinite(number):
        raise BadValue(f"{name} is not a finite number", value)
    return number


def integer_of(value: Any, name: str = "value", low: int | None = None, high: int | None = None) -> int:
    """A whole number, also written `1.0` or `1e0`.

    Args:
        value: any scalar.
        name: of the column, for the words of an error.
        low: the least that is allowed.
        high: the most that is allowed.

    Raises:
        BadValue: as `number_of`; not whole, or out of range.
    """
    value = plain(value)
    text = str(value).strip()
    digits = text[1:] if text[:1] in ("-", "+") else text
    exact = digits.isascii() and digits.isdigit() and len(digits) <= 18
    number = int(text) if exact else number_of(value, name)
    if number != int(number):
        raise BadValue(f"{name} is not a whole number", value)
    if low is not None and number < low:
        raise BadValue(f"{name} is below {low}", value)
    if high is not None and number > high:
        raise BadValue(f"{name} is above {high}", value)
    return int(number)


def label_of(value: Any, name: str = "label") -> int:
    """0 for real, 1 for fake: 0 and 1 (also 1.0), false and true, real and fake, in any case and as any type.

    Args:
        value: any scalar.
        name: of the column, for the words of an error.

    Raises:
        BadValue: missing, or none of these.
    """
    value = plain(value)
    if isinstance(value, bool):
        return int(value)
    if is_missing(value):
        raise BadValue(f"{name} is missing", value)
    text = str(value).strip().lower()
    if text in _LABELS:
        return _LABELS[text]
    try:
        return integer_of(value, name, 0, 1)
    except BadValue as error:
        raise BadValue(f"{name} is not 0, 1, real, fake, true or false", value) from error


def _folded(text: str) -> str:
    return re.sub(r"[\s_/-]+", " ", text.strip()).casefold()


def word_of(value: Any, classes: Sequence[str], others: Mapping[str, str] | None = None) -> str | None:
    """A class in its own spelling, whatever the case; a word that is no class as it stands; None if missing.

    Args:
        value: any scalar.
        classes: the classes' own spellings.
        others: further words, in lower case, and the class that each means.
    """
    text = text_of(value)
    if text is None:
        return None
    known = {**(others or {}), **{_folded(name): name for name in classes}}
    return known.get(_folded(text), text)


_FAIRFACE = {_folded(name): name for name in TAXONOMIES["fairface7"].races}


def race_word(value: Any, taxonomy: Taxonomy) -> str | None:
    """A perceived race as the taxonomy spells it, else as FairFace does, else as it stands; None if
    missing.
    """
    return word_of(value, taxonomy.races, _FAIRFACE)


def gender_word(value: Any) -> str | None:
    """`Male` or `Female`, also of `male`, `M`, `man`; another word as it stands; None if missing."""
    return word_of(value, GENDERS, _GENDERS)


_MONTHS = {"mar": 3, "mär": 3, "mrz": 3, "sep": 9, "oct": 10, "okt": 10}
_DATES = {(3, 9): "3-9", (9, 3): "3-9", (10, 19): "10-19"}
"""What a spreadsheet made of an age band, as (month, the other number)."""
_MONTH = r"(m(?:ar(?:ch|s)?|ärz|är|rz)|sept?(?:ember)?|o[ck]t(?:ober)?)"
_DATE = re.compile(rf"([0-9]{{1,4}})[-/. ]+{_MONTH}|{_MONTH}[-/. ]+([0-9]{{1,4}})")
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ t]00:00(?::00)?.*)?")
_OLDEST = re.compile(
    r"70 ?(?:\+|plus|(?:and|or) (?:over|above|up|more|older))|(?:>=?|≥|more than|over|above) ?70"
)


def age_word(value: Any) -> str | None:
    """An age band as FairFace spells it; another word as it stands; None if missing.

    A spreadsheet's dates are mended (`9-Mar`, `Mar-09`, `03-Sep` are 3-9, `19-Oct`, `Oct-19` are 10-19),
    `70+` is `more than 70`.
    """
    value = plain(value)
    text = text_of(value.isoformat()[:10] if isinstance(value, date) else value)
    if text is None:
        return None
    low = re.sub(r"\s+", " ", re.sub(r"\s*[–—-]\s*", "-", text.lower()))
    if _OLDEST.fullmatch(low):
        return AGES[-1]
    found = _DATE.fullmatch(low)
    if found:
        month = _MONTHS[(found[2] or found[3])[:3]]
        return _DATES.get((month, int(found[1] or found[4])), text)
    iso = _ISO.fullmatch(low)
    if iso:
        year, month, day = map(int, iso.groups())
        return _DATES.get((month, day), _DATES.get((month, year % 100), text) if day == 1 else text)
    return low if low in AGES else text


def split_word(value: Any, name: str = "split") -> str | None:
    """`train`, `val` or `test`, in any case, `validation` too; None if missing.

    Args:
        value: any scalar.
        name: of the column, for the words of an error.

    Raises:
        BadValue: another word.
    """
    text = text_of(value, name)
    found = None if text is None else _SPLITS.get(text.casefold(), text.casefold())
    if found is not None and found not in SPLITS:
        raise BadValue(f"{name} is not one of {', '.join(SPLITS)}", value)
    return found


def relative_path(value: Any, name: str = "path") -> str:
    """A plain relative POSIX path: backslashes become slashes, `./` goes away; colons may be in names.

    Args:
        value: any scalar.
        name: of the column, for the words of an error.

    Raises:
        BadValue: missing, absolute, with a drive letter, an address, with `..`, a NUL or half a surrogate
        pair, or
            longer than any file system allows.
    """
    value = plain(value)
    if not isinstance(value, str) or not value.strip():
        raise BadValue(f"{name} is missing", value)
    text = value.strip().replace("\\", "/")
    if re.match(r"[A-Za-z]:|/|[A-Za-z][A-Za-z0-9+.-]+://", text):
        raise BadValue(f"{name} is absolute and so leaves the folder; name files relative to it", value)
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise BadValue(f"{name} leaves the folder, or is the folder itself", value)
    if re.search("[\0\ud800-\udfff]", text) or any(
        len(part) > 63 and len(part.encode()) > 255 for part in parts
    ):
        raise BadValue(f"{name} is no name of a file", value)
    return "/".join(parts)
