"""Damage done to valid files: to bytes, and to what JSON, CSV and parquet files hold.

A mutation is three whole numbers: which file and which kind of damage, where, and with what. The same numbers
give the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
import tomllib
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

Mutation = tuple[int, int, int]
"""Kind and file, place, payload."""
BYTES = (
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b'"',
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x80" * 8,
    b"A" * 300,
    b"\xff" * 16,
    b"../",
    b"%!PS",
    b"{",
    b"[" * 200,
    b"cposix\nsystem\n(S'true'\ntR.",
)
WORDS = (
    "",
    "NA",
    "nan",
    "-1",
    "1.0",
    "2",
    "1e309",
    "-0",
    "True",
    "null",
    "../../etc/passwd",
    "/abs.png",
    "a\0b",
    "\ufeff",
    "x" * 300,
    "é\u202e",
    "9-Mar",
    "70+",
    "\\\\host\\x",
    "C:\\a.png",
    '"',
    "=1+1",
    "\r",
    "٣",
    "\ud7ff",
    ".",
    "..",
    "a//b",
    "%s",
    "<b>",
    "0x10",
    "1,5",
    "real",
    "none",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**70,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../x",
    "\0",
    [],
    {},
    [None],
    [[]],
    {"": None},
    {"a": {"b": []}},
    "\ud800",
    [1, "a"],
    "1",
    -0.0,
)
DEEP = b"[" * 3000


def _at(data: bytes, place: int) -> int:
    return place * (len(data) + 1) // 65536


def flip(data: bytes, place: int, what: int) -> bytes:
    """One byte changed."""
    if not data:
        return bytes([what % 256])
    at = min(_at(data, place), len(data) - 1)
    return data[:at] + bytes([data[at] ^ (what % 255 + 1)]) + data[at + 1 :]


def cut(data: bytes, place: int, what: int) -> bytes:
    """The end cut off, or the beginning, or a piece of the middle."""
    at = _at(data, place)
    return (data[:at], data[at:], data[:at] + data[at + 1 + what % 64 :])[what % 3]


def splice(data: bytes, place: int, what: int) -> bytes:
    """Odd bytes put in, or put over what is there."""
    at, piece = _at(data, place), BYTES[what % len(BYTES)]
    return data[:at] + piece + data[at + (len(piece) if what % 2 else 0) :]


def repeat(data: bytes, place: int, what: int) -> bytes:
    """A piece twice, or the whole file after itself."""
    at, size = _at(data, place), 1 + what % 512
    return data[: at + size] + data[at:] if what % 8 else data + data


def blank(data: bytes, place: int, what: int) -> bytes:
    """A piece of zeros, or of 0xff."""
    at, size = _at(data, place), 1 + what % 128
    return data[:at] + (b"\0" if what % 2 else b"\xff") * min(size, len(data) - at) + data[at + size :]


def _replaced(value: Any, place: int, what: int) -> Any:
    """A copy of a JSON value with one node replaced, dropped, doubled or wrapped."""
    nodes: list[tuple[Any, Any]] = []

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            copy: Any = {}
            for key, item in node.items():
                nodes.append((copy, key))
                copy[key] = walk(item)
        elif isinstance(node, list):
            copy = []
            for index, item in enumerate(node):
                nodes.append((copy, index))
                copy.append(walk(item))
        else:
            return node
        return copy

    root = {"": walk(value)}
    nodes.append((root, ""))
    box, key = nodes[place % len(nodes)]
    odd = VALUES[what % len(VALUES)]
    if what % 7 == 0:
        del box[key]
    elif what % 7 == 1 and isinstance(box, dict):
        box[WORDS[place % len(WORDS)]] = box.pop(key)
    else:
        box[key] = [box[key]] if what % 7 == 2 else odd
    return root.get("")


def json_node(data: bytes, place: int, what: int) -> bytes:
    """One value of a JSON text replaced by one of another type."""
    if what % 97 == 0:
        return DEEP
    return json.dumps(_replaced(json.loads(data), place, what)).encode()


def json_lines(data: bytes, place: int, what: int) -> bytes:
    """One value of one line of JSON Lines replaced."""
    lines = data.splitlines()
    at = place % len(lines)
    lines[at] = json_node(lines[at], place // 7, what)
    return b"\n".join(lines)


def cell(data: bytes, place: int, what: int) -> bytes:
    """One cell of a CSV replaced by an odd word, a line doubled, dropped or cut short, or another
    separator.
    """
    lines = [line.split(b",") for line in data.splitlines()]
    at = place % len(lines)
    column = (place // len(lines)) % len(lines[at])
    word = WORDS[what % len(WORDS)].encode("utf-8", "surrogatepass")
    if what % 11 == 0:
        lines[at] = lines[at][:column]
    elif what % 11 == 1:
        lines.insert(at, list(lines[at]))
    elif what % 11 == 2:
        return data.replace(b",", (b";", b"\t", b"|")[place % 3])
    elif what % 11 == 3:
        lines[at].append(word)
    else:
        lines[at][column] = word
    return b"\n".join(b",".join(line) for line in lines) + b"\n"


def _odd_column(column: pa.ChunkedArray, what: int) -> pa.Array | pa.ChunkedArray:
    count = len(column)
    casts = (
        pa.large_string(),
        pa.string(),
        pa.float64(),
        pa.int64(),
        pa.float32(),
        pa.bool_(),
        pa.dictionary(pa.int32(), pa.string()),
    )
    made: tuple[Callable[[], Any], ...] = (
        lambda: pa.nulls(count),
        lambda: pa.nulls(count, column.type),
        lambda: pa.array([float("nan")] * count),
        lambda: pa.array([2**62] * count),
        lambda: pa.array([[1.5]] * count),
        lambda: pa.array([b"\xff\xfe"] * count),
        lambda: pa.array([{"a": 1}] * count),
        lambda: pa.array([WORDS[what // 7 % len(WORDS)]] * count),
        lambda: column.cast(casts[what // 17 % len(casts)]),
        lambda: pa.array(range(count), pa.timestamp("s")),
        lambda: pa.array([None, *column.to_pylist()[1:]], column.type),
    )
    try:
        return made[what % len(made)]()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(count)


def parquet_column(data: bytes, place: int, what: int) -> bytes:
    """One column of another type, renamed, dropped or doubled; rows turned round; metadata lost."""
    table = pq.read_table(io.BytesIO(data))
    at = place % len(table.column_names)
    name = table.column_names[at]
    if what % 13 == 0:
        table = table.drop_columns([name])
    elif what % 13 == 1:
        table = table.rename_columns(
            [WORDS[what % len(WORDS)] if k == at else n for k, n in enumerate(table.column_names)]
        )
    elif what % 13 == 2:
        table = table.append_column(name, table.column(at))
    elif what % 13 == 3:
        table = table.replace_schema_metadata(
            {"fairforge.schema_version": WORDS[place % len(WORDS)], "fairforge.plan": "[" * 9}
            if place % 2
            else None
        )
    elif what % 13 == 4:
        table = table.take(pa.array(range(table.num_rows - 1, -1, -1))) if place % 2 else table.slice(0, 0)
    else:
        table = table.set_column(at, name, _odd_column(table.column(at), what))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def toml_value(data: bytes, place: int, what: int) -> bytes:
    """One value of a TOML file replaced by one of another type."""
    return tomli_w.dumps(_replaced(tomllib.loads(data.decode()), place, what)).encode()


def safetensors_header(data: bytes, place: int, what: int) -> bytes:
    """One value of the header's JSON replaced, or of the JSON that a text of its metadata holds."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    texts = [name for name, text in header.get("__metadata__", {}).items() if text.startswith("{")]
    if texts and place % 3:
        name = texts[place % len(texts)]
        header["__metadata__"][name] = json.dumps(
            _replaced(json.loads(header["__metadata__"][name]), place // 3, what)
        )
    else:
        header = _replaced(header, place // 3, what)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def tar_member(data: bytes, place: int, what: int) -> bytes:
    """One member renamed, doubled, dropped, or turned into a link, a folder or a device."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as old,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        members = [
            (info, old.extractfile(info).read() if info.isfile() else b"") for info in old.getmembers()
        ]
        at = place % len(members)
        info, content = members[at]
        if what % 4 == 0:
            members.pop(at)
        elif what % 4 == 1:
            members.append((info, content))
        elif what % 4 == 2:
            info.type, info.linkname = (
                (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE)[place % 4],
                "/etc/passwd",
            )
        else:
            info.name = WORDS[what // 4 % len(WORDS)] or "x"
        for one, text in members:
            one.size = len(text) if one.isfile() else 0
            new.addfile(one, io.BytesIO(text))
    return out.getvalue()


ANY = (flip, cut, splice, repeat, blank)
BY_ENDING: dict[str, tuple[Callable[[bytes, int, int], bytes], ...]] = {
    ".json": (json_node, json_node, json_node),
    ".jsonl": (json_lines, json_lines),
    ".csv": (cell, cell, cell, cell),
    ".parquet": (parquet_column, parquet_column, parquet_column),
    ".toml": (toml_value, toml_value, toml_value),
    ".safetensors": (safetensors_header, safetensors_header, safetensors_header),
    ".tar": (tar_member, tar_member),
}


def mutated(files: dict[str, bytes], mutations: list[Mutation]) -> dict[str, bytes]:
    """The files with each mutation done to one of them, in order; structure is changed where the file still
    has some.
    """
    out = dict(files)
    for which, place, what in mutations:
        names = sorted(out)
        name = names[which % len(names)]
        kinds = (*ANY, *BY_ENDING.get("." + name.rpartition(".")[2], ()))
        change = kinds[which // len(names) % len(kinds)]
        try:
            out[name] = change(out[name], place, what)
        except (
            ValueError,
            KeyError,
            IndexError,
            ZeroDivisionError,
            RecursionError,
            pa.ArrowException,
            OSError,
            TypeError,
            AttributeError,
            tarfile.TarError,
        ):
            out[name] = flip(out[name], place, what)  # it has no structure any more
    return out
