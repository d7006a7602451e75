"""One reader of other people's text files: CSV, JSON and TOML, whatever marks, separators and damage they
have.

Text is UTF-8, with or without a byte-order mark, or UTF-16 and UTF-32 with one. Another encoding is refused,
not
guessed: a wrong guess would change names without a word. Every fault of a file is a `DataError` that says
where.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from manifests.errors import DataError, MissingError

SEPARATORS = ",;\t|"
LONGEST = 1 << 20
"""Characters of the head of a CSV, at most."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HALF = re.compile("[\ud800-\udfff]")


def _encoding(start: bytes) -> str:
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8-sig")


def _undecodable(where: str, error: UnicodeError) -> DataError:
    return DataError(where, f"is not UTF-8, nor UTF-16 with a byte-order mark ({error})", "save it as UTF-8")


def decode_text(data: bytes, where: str) -> str:
    """The text of a file's bytes, without the byte-order mark.

    Args:
        data: the bytes.
        where: what they are of, for the words of an error.

    Raises:
        DataError: not UTF-8, nor UTF-16 or UTF-32 with a byte-order mark.
    """
    try:
        return data.decode(_encoding(data[:4]))
    except UnicodeError as error:
        raise _undecodable(where, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        str(path), f"cannot be read ({error.strerror})", "mend its permissions, or fetch it again"
    )


def _bytes_of(path: Path) -> bytes:
    if not path.is_file():
        raise MissingError(str(path), "is not there", "fetch it, or mend the path")
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def read_text(path: Path) -> str:
    """The text of a file; see `decode_text`.

    Raises:
        MissingError: no such file. DataError: in an encoding that is not known.
    """
    return decode_text(_bytes_of(path), str(path))


# --- JSON ---


def _shape(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _whole(value: Any) -> Any:
    """The value with each half of a surrogate pair replaced: no file name and no row can hold one."""
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return {_whole(key): _whole(item) for key, item in value.items()} if isinstance(value, dict) else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out and out[key] != value:
            raise ValueError(f"the key {key!r} stands twice with different values")
        out[key] = value
    return out


_CONSTANTS = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}


def _finite(word: str) -> float:
    raise ValueError(f"{word} is no number")


def parse_json(data: bytes, where: str, shape: type | None = None, *, finite: bool = False) -> Any:
    """The value that JSON text stands for; NaN is None.

    Args:
        data: the bytes of the text.
        where: what they are of, for the words of an error.
        shape: `dict` or `list`, where the top level must be one.
        finite: refuse NaN and infinities, which no file of this program has.

    Raises:
        DataError: not JSON, nested too deeply, a key that stands twice with different values, or another
        shape.
    """
    text = decode_text(data, where)
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_finite if finite else _CONSTANTS.__getitem__
        )
        value = _whole(value) if re.search(r"\\u[dD][89a-fA-F]", text) else value
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise DataError(
            where, f"is not JSON that can be used ({why})", "mend it, or fetch it again"
        ) from error
    if shape is not None and not isinstance(value, shape):
        why = f"holds {_shape(value)} where {_shape(shape())} belongs"
        raise DataError(where, why, "mend it, or fetch it again")
    return value


def read_json(path: Path, shape: type | None = None, *, finite: bool = False) -> Any:
    """The value in a JSON file.

    Args:
        path: the file.
        shape: `dict` or `list`, where the top level must be one.
        finite: as in `parse_json`.

    Raises:
        MissingError: no such file. DataError: as `parse_json`.
    """
    return parse_json(_bytes_of(path), str(path), shape, finite=finite)


# --- TOML ---


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        MissingError: no such file. DataError: not TOML; the message has line and column.
    """
    try:
        return tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise DataError(str(path), f"is not TOML ({why})", "mend the file at that place") from error


# --- CSV ---


def _names(line: str, separator: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]


def match_columns(
    names: Sequence[str],
    wanted: Iterable[str],
    also: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Wanted name -> its place in the head: its own spelling, else in any case. Two of them are an error."""
    out: dict[str, int] = {}
    for name in wanted:
        places = [k for k, found in enumerate(names) if found == name]
        for other in (name, (also or {}).get(name, name)):
            places = places or [k for k, found in enumerate(names) if found.casefold() == other.casefold()]
        if len(places) > 1:
            raise ValueError(f"has the column {name} {len(places)} times")
        if places:
            out[name] = places[0]
    return out


def _columns(
    where: str,
    head: str,
    needed: Sequence[str],
    optional: Sequence[str],
    also: Mapping[str, str],
) -> tuple[str, dict[str, int]]:
    """The separator, and the place of every column by the name asked for, or by its own where nobody asks."""
    heads = {mark: _names(head, mark) for mark in SEPARATORS}
    try:
        found = {mark: match_columns(names, needed, also) for mark, names in heads.items()}
        mark = max(SEPARATORS, key=lambda m: (len(found[m]), len(heads[m])))
        names, places = heads[mark], found[mark]
        lacking = [name for name in needed if name not in places]
        if lacking:
            shown = ", ".join(filter(None, names))[:300] or "nothing"
            shown = "".join(c if c.isprintable() else "?" for c in shown)
            why = f"lacks the columns {', '.join(lacking)}; it has: {shown}"
            raise DataError(where, why, f"it needs: {', '.join(needed)}")
        places |= match_columns(names, (name for name in optional if name not in places), also)
    except ValueError as error:
        raise DataError(where, str(error), "leave one of them") from error
    others = {name: k for k, name in enumerate(names) if name and k not in places.values()}
    return mark, {**others, **places}


def _open_at_rows(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str],
    also: Mapping[str, str],
) -> tuple[TextIO, int, str, dict[str, int]]:
    """The open file after its head, the head's line number, the separator, and the place of every column."""
    with open(path, "rb") as raw:
        encoding = _encoding(raw.read(4))
    with ExitStack() as stack:
        file = stack.enter_context(open(path, newline="", encoding=encoding))
        line, head = 1, file.readline(LONGEST)
        if re.fullmatch(r"sep=.\s*", head):  # a spreadsheet's own line
            line, head = 2, file.readline(LONGEST)
        if "\0" in head or len(head) >= LONGEST:
            raise DataError(str(path), "is no CSV in UTF-8: its head is not text", "save it as CSV in UTF-8")
        mark, places = _columns(str(path), head.strip("\r\n"), needed, optional, also)
        stack.pop_all()
    return file, line, mark, places


def csv_rows(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    also: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, dict[str, str]]]:
    """`(where, row)` of every row of a CSV: column -> text, trimmed. Separators are `,`, `;`, tab or `|`.

    Names of columns are trimmed; those asked for are found in any case and have the name asked for. A row
    with too
    few fields has them empty, fields beyond the head are left, a row without any text is no row.

    Args:
        path: the file.
        needed: columns that must be there.
        optional: columns that may be there; the others keep their own names.
        also: other names of columns that are asked for.

    Raises:
        MissingError: no such file.
        DataError: another encoding, a column that is missing or stands twice, not CSV, a field of over
        131,072
            characters (mostly a quote that is never closed), or it cannot be read.
    """
    if not path.is_file():
        raise MissingError(str(path), "is not there", "fetch it, or mend the path")
    line = read = 0
    try:
        file, line, mark, places = _open_at_rows(path, needed, optional, also or {})
        with file:
            reader = csv.reader(file, delimiter=mark, skipinitialspace=True)
            for fields in reader:
                read = reader.line_num
                row = {name: fields[k].strip() if k < len(fields) else "" for name, k in places.items()}
                if any(row.values()):
                    yield f"{path} line {line + read}", row
    except UnicodeError as error:
        raise _undecodable(str(path), error) from error
    except csv.Error as error:
        raise DataError(
            f"{path} line {line + read + 1}", f"is not CSV ({error})", "close its quotes"
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
