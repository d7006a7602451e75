"""CSV, JSON and TOML of other people: marks, encodings, separators, heads and damage."""

import ast
import json
from pathlib import Path

import pytest

import manifests
from manifests.errors import DataError, MissingError, UsageError
from manifests.text_files import csv_rows, parse_json, read_json, read_text, read_toml

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]
READERS = {
    "text": (read_text, "a: é\n"),
    "json": (read_json, '{"a": "é"}'),
    "toml": (read_toml, 'a = "é"\r\n'),
    "csv": (lambda path: list(csv_rows(path, ("a",))), "a,b\né,2\n"),
}


@pytest.mark.parametrize("kind", list(READERS))
def test_marks_and_encodings_of_every_reader(tmp_path, kind):
    read, text = READERS[kind]
    path = tmp_path / "file"
    found = []
    for encoding in ENCODINGS:
        path.write_bytes(text.encode(encoding))
        found.append(read(path))
    assert found == [found[0]] * len(ENCODINGS)
    assert "é" in str(found[0])
    assert "\ufeff" not in str(found[0])
    for encoding in ("latin-1", "utf-16-le"):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(DataError):
            read(path) if encoding == "latin-1" or kind != "text" else parse_json(path.read_bytes(), "x")
    with pytest.raises(MissingError):
        read(tmp_path / "none")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ", ", " ;"])
@pytest.mark.parametrize("first", ["", "sep=;\n"])
def test_separators_and_heads(tmp_path, separator, first):
    path = tmp_path / "a.csv"
    names, fields = ["PATH", " Label ", "Other Name"], ["a.png", '"1"', "x"]
    lines = [separator.join(names), separator.join(fields), "", separator.strip(" ") * 2, ""]
    path.write_text(first + "\r\n".join(lines))
    ((where, row),) = csv_rows(path, ("path",), ("label", "race"))
    assert row == {"path": "a.png", "label": "1", "Other Name": "x"}
    assert where == f"{path} line {2 + bool(first)}"


def test_own_spelling_goes_before_another_case(tmp_path):
    (tmp_path / "a.csv").write_text("Label,label\n1,0\n")
    assert next(csv_rows(tmp_path / "a.csv", ("label",)))[1] == {"Label": "1", "label": "0"}


def test_ragged_rows(tmp_path):
    (tmp_path / "a.csv").write_text('path,label\na.png\nb.png,1,more,yet\n"c\n.png",0\n')
    assert [(where[-6:], row) for where, row in csv_rows(tmp_path / "a.csv", ("path", "label"))] == [
        ("line 2", {"path": "a.png", "label": ""}),
        ("line 3", {"path": "b.png", "label": "1"}),
        ("line 5", {"path": "c\n.png", "label": "0"}),
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "lacks the columns path, label; it has: nothing"),
        (b"file;kind\n", "it has: file, kind"),
        (b"path,label,label\n", "has the column label 2 times"),
        (b"path,Label,LABEL\n", "has the column label 2 times"),
        (b"path,label\n\xff.png,1\n", "is not UTF-8"),
        (b'path,label\na.png,1\n"a.png' + b"x" * 140_000, "line 3: is not CSV"),
        (b"p\0a\0t\0h\0", "its head is not text"),
        (b"x" * (1 << 20), "its head is not text"),
        (b"x" * 200_000, "field larger"),
        (b"\x1b[31mx,y\n", "it has: ?[31mx, y"),
        (b"\xff\xfe\0", "UTF-16"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_csv_that_cannot_be_used(tmp_path, data, words):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DataError) as caught:
        list(csv_rows(tmp_path / "a.csv", ("path", "label")))
    assert words in str(caught.value)
    assert "a.csv" in caught.value.what
    assert len(str(caught.value)) < 600


def test_nul_in_a_row_harms_no_other_row(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"path,label\na\0.png,1\nb.png,0\n")
    assert [row["path"] for _, row in csv_rows(tmp_path / "a.csv", ("path",))] == ["a\0.png", "b.png"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("9" * 5000, "is not JSON"),
        ("[]", "holds a list where an object belongs"),
        ("null", "holds null where an object"),
        ("5", "holds a number"),
        ('"x"', "holds a text"),
        ("true", "holds a truth value"),
    ],
    ids=lambda value: value[:12],
)
def test_json_that_cannot_be_used(text, words):
    with pytest.raises(DataError, match="where it is") as caught:
        parse_json(text.encode(), "where it is", dict)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600


def test_json_of_numpy_and_of_broken_names():
    assert parse_json(b'{"a": NaN, "b": [Infinity], "c": 1, "c": 1}', "x") == {
        "a": None,
        "b": [float("inf")],
        "c": 1,
    }
    value = parse_json(b'{"\\ud800": ["a\\udfffb", "\\ud83d\\ude00"]}', "x")
    assert value == {"\ufffd": ["a\ufffdb", "\U0001f600"]}
    json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize("text", ["a = ", "a = 1\na = 2", "a = " + "[" * 100_000])
def test_toml_that_cannot_be_used(tmp_path, text):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(DataError, match=r"a\.toml: is not TOML"):
        read_toml(tmp_path / "a.toml")


PACKAGES = ("manifests", "generators", "attribute_models", "detector", "pipeline")
OWN = {
    ("tomllib", "loads"): {"manifests/text_files.py", "pipeline/engine/config_file.py"},
    # the latter: one --set value
    ("csv", "reader"): {"manifests/text_files.py"},
    ("csv", "DictReader"): set(),
    ("tomllib", "load"): set(),
}


def calls_of(tree):
    return {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def test_nobody_else_reads_csv_or_toml():
    """A second reader would forget marks, separators and damage: whoever needs one uses this one."""
    root = Path(manifests.__file__).parents[1]
    found = {call: set() for call in OWN}
    for path in (path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))):
        for call in calls_of(ast.parse(path.read_text(encoding="utf-8"))) & set(OWN):
            found[call].add(path.relative_to(root).as_posix())
    assert found == OWN


def test_adapters_read_json_here():
    folder = Path(manifests.__file__).parent / "adapters"
    readers = [
        path.name
        for path in sorted(folder.glob("*.py"))
        if ("json", "loads") in calls_of(ast.parse(path.read_text()))
    ]
    assert readers == []


def test_marks_in_every_toml_file(tmp_path, monkeypatch):
    from attribute_models.attributes.onnx_description import read_description
    from manifests.weights import catalogue
    from pipeline.commands.weights.records import record
    from pipeline.engine.config_file import load_config

    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path))
    entry = {"file": "a", "sha256": "0" * 64, "kind": "generator"}
    for name, text in (
        ("config.toml", "[sample]\npsi = 0.5\n"),
        ("weights.toml", "[mine]\nfile = 'a'\nsha256 = '0'\nkind = 'x'\n"),
        ("model.toml", "x = 1\n"),
    ):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_config(tmp_path / "config.toml").sample.psi == 0.5
    assert "mine" in catalogue()
    record(
        tmp_path / "more.safetensors",
        entry,
        lambda: None,
        lambda: (tmp_path / "more.safetensors").write_bytes(b"x"),
    )
    assert {"mine", "more"} <= set(catalogue())
    with pytest.raises(UsageError, match="heads: Field required"):
        read_description(tmp_path / "model.toml")
