"""Every adapter of the registry x every kind of spelling: the same rows, however they are written, are the
same items."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.adapters import ADAPTERS, import_images
from manifests.adapters.videos import VideoAdapter
from manifests.errors import DataError, UserError
from tests.manifests.adapter_cases import CASES as PICTURE_CASES
from tests.manifests.adapter_cases import KINDS, ROWS
from tests.manifests.adapter_files import skipped
from tests.manifests.clip_cases import CLIP_CASES
from tests.manifests.test_values import AGES_OF, MISSING

CASES = {**PICTURE_CASES, **CLIP_CASES}
ALL = [(name, case) for name in ADAPTERS.names() for case in CASES.get(name, [None])]
VIDEOS = [name for name in ADAPTERS.names() if isinstance(ADAPTERS.create(name), VideoAdapter)]


def cases(kind):
    """The cases of all adapters that have a place for this kind; an adapter without a case is a failing
    one."""
    assert kind in KINDS
    chosen = [(name, case) for name, case in ALL if case is None or kind not in case.lacks]
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=f"{name}-{k}") for k, (name, case) in enumerate(chosen)]
    )


def told(items):
    assert [item.problem for item in items] == [None] * len(items)
    return [(item.label, item.method, item.race, item.gender, item.age, item.cell) for item in items]


def changed(**values):
    """The rows with other values: a value, or a function of the row's own."""
    return [
        {**row, **{name: new(row[name]) if callable(new) else new for name, new in values.items()}}
        for row in ROWS
    ]


def test_every_adapter_has_a_case_and_a_reason_for_what_it_lacks():
    assert set(CASES) == set(ADAPTERS.names())
    for case in (case for found in CASES.values() for case in found):
        assert set(case.lacks) <= set(KINDS)
        assert all(case.lacks.values())
        assert case.lists or len(case.lacks) == len(KINDS)
        assert isinstance(ADAPTERS.create(case.adapter).annotated, bool)


@pytest.mark.parametrize("name", ADAPTERS.names())
def test_every_case_gives_images(name, tmp_path):
    for k, case in enumerate(CASES[name]):
        case.write(tmp_path / str(k), ROWS)
        params = {key: value for key, value in case.given(tmp_path).items() if key != "taxonomy"}
        result = import_images(name, tmp_path / str(k) / case.source, tmp_path / "out", case.taxonomy, params)
        assert (result.n_skipped, [w for w in result.warnings if "image" in w]) == (0, [])
        assert result.n_images >= 3


# --- values ---


@cases("label")
@pytest.mark.parametrize(
    "spelled",
    [
        (0, 1),
        ("0", "1"),
        ("0.0", "1.0"),
        (0.0, 1.0),
        (False, True),
        ("FALSE", "TRUE"),
        ("real", "fake"),
        (" Real ", "FAKE "),
    ],
    ids=str,
)
def test_labels(case, tmp_path, spelled):
    plain = told(case.items(tmp_path / "plain"))
    assert sorted({label for label, *_ in plain}) == [0, 1]
    assert told(case.items(tmp_path / "other", changed(label=lambda label: spelled[label]))) == plain


@cases("label")
@pytest.mark.parametrize("bad", ["2", "0.5", "maybe", "", "NA", "0,0"])
def test_labels_that_are_none_are_left_out_by_name(case, tmp_path, bad):
    rows = [dict(row) for row in ROWS]
    rows[1]["label"] = bad
    items = case.items(tmp_path, rows)
    (problem,) = [item.problem for item in items if item.problem]
    assert problem.startswith("label is" if case.adapter != "aiface" else "Target is")
    assert len(told([item for item in items if item.problem is None])) == 2


@cases("missing")
@pytest.mark.parametrize("spelled", [value for value in MISSING if isinstance(value, str)], ids=repr)
def test_what_is_missing_is_no_group(case, tmp_path, spelled):
    items = case.items(tmp_path, changed(race=spelled, gender=spelled))
    assert {(race, gender, cell) for _, _, race, gender, _, cell in told(items)} == {(None, None, None)}
    assert len(items) == 3


@cases("race")
@pytest.mark.parametrize(
    "spelled", [str.lower, str.upper, lambda word: f" {word} "], ids=["lower", "upper", "blanks"]
)
def test_races_and_genders_in_any_case(case, tmp_path, spelled):
    plain = told(case.items(tmp_path / "plain"))
    assert all(cell for *_, cell in plain)
    assert told(case.items(tmp_path / "other", changed(race=spelled, gender=spelled))) == plain


@cases("age")
@pytest.mark.parametrize("number", range(8))
def test_ages_of_spreadsheets(case, tmp_path, number):
    plain = told(case.items(tmp_path / "plain"))
    words = {age: [text for text in spelled if isinstance(text, str)] for age, spelled in AGES_OF.items()}
    found = told(
        case.items(tmp_path / "other", changed(age=lambda age: words[age][number % len(words[age])]))
    )
    assert found == plain
    assert [age for *_, age, _ in found] == [row["age"] for row in ROWS] or case.adapter == "deepfakebench"


# --- paths ---


@cases("path")
@pytest.mark.parametrize(
    "spelled",
    [
        lambda path: path.replace("/", "\\"),
        lambda path: f"./{path}",
        lambda path: path.replace("/", "//"),
        lambda path: f" {path} ",
    ],
    ids=["backslash", "dot", "slashes", "blanks"],
)
def test_paths(case, tmp_path, spelled):
    if case.adapter in ("celebdf", "dfdcp"):  # the writer turns x/ into the layout's own folder
        spelled = {True: spelled}.get(spelled("x/a") == "x\\a", lambda path: path)
    plain = [(item.key, item.bytes_of()) for item in case.items(tmp_path / "plain")]
    rows = [{**row, "file": row["name"], "name": spelled(row["name"])} for row in ROWS]
    assert [(item.key, item.bytes_of()) for item in case.items(tmp_path / "other", rows)] == plain


@cases("path")
def test_colons_in_names(case, tmp_path):
    rows = changed(name=lambda name: name.replace("x/", "x/12:0"))
    assert all(item.bytes_of() for item in case.items(tmp_path, rows))


@cases("path")
@pytest.mark.parametrize(
    "bad",
    ["../../a.png", "x/../../a.png", "C:\\a.png", "x\\..\\..\\a.png", "https://a/b.png", "x/" + "n" * 300],
)
def test_paths_that_leave_the_folder_are_left_out_by_name(case, tmp_path, bad):
    rows = [dict(row) for row in ROWS]
    rows[1] = {**rows[1], "file": rows[1]["name"], "name": bad}
    left = [item for item in case.items(tmp_path, rows) if item.problem]
    assert any("folder" in item.problem or "no name of a file" in item.problem for item in left)
    assert all(tmp_path in item.path.parents for item in case.read(tmp_path) if item.path)


# --- files ---


@cases("text")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_marks_and_encodings_of_lists(case, tmp_path, encoding):
    plain = told(case.items(tmp_path))
    for name in case.lists:
        (tmp_path / name).write_bytes((tmp_path / name).read_text(encoding="utf-8").encode(encoding))
    assert told(case.read(tmp_path)) == plain


@cases("head")
@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        str.lower,
        lambda head: head.replace(",", " , "),
        lambda head: head.replace(",", ";"),
        lambda head: head.replace(",", "\t"),
        lambda head: head.replace(",", "|"),
        lambda head: f"sep=,\n{head}",
    ],
    ids=["upper", "lower", "blanks", "semicolons", "tabs", "bars", "sep"],
)
def test_heads_and_separators(case, tmp_path, change):
    plain = told(case.items(tmp_path))
    for name in case.lists:
        path = tmp_path / name
        if path.suffix == ".parquet":
            kept = pq.read_table(path)
            renamed = change("x") in ("x", "X")
            pq.write_table(
                kept.rename_columns([change(n) for n in kept.column_names]) if renamed else kept, path
            )
            continue
        head, rest = path.read_text().split("\n", 1)
        new = change(head)
        mark = next((mark for mark in ";\t|" if mark in new), ",")
        path.write_text(f"{new}\n{rest.replace(',', mark)}")
    assert told(case.read(tmp_path)) == plain


@cases("head")
def test_a_column_that_is_lacking_shows_the_head(case, tmp_path):
    case.items(tmp_path)
    for name in case.lists:
        path = tmp_path / name
        if path.suffix == ".parquet":
            pq.write_table(pa.table({"this": [1], "that": [2]}), path)
        else:
            path.write_text("this;that\n1;2\n")
    with pytest.raises(DataError, match="it has: this, that"):
        case.read(tmp_path)


JUNK = [
    b"",
    b"null",
    b"5",
    b"[]",
    b"{}",
    b"[1, null, [], {}]",
    b'{"a": [1]}',
    b'{"a": 1, "b": null}',
    b'{"a": {"b": {"c": 5}}}',
    b'{"a": {"b": {"c": {"d": 5}}}}',
    b'{"\\ud800": {"\\ud800": {"\\ud800": {"\\ud800": {"frames": ["\\ud800"]}}}}}',
    b"[" * 50_000,
    b"\xff\xfe\xfa",
    b"\0" * 1024,
    "é".encode("latin-1"),
    b"PAR1",
    b"\x1f\x8b\x08",
    b'a,b\n"' + b"x" * 200_000,
    json.dumps({"a": {"label": "REAL", "original": [], "set": {}}}).encode(),
    b"1 x\n0 y\n",
    b'["a", "b"]',
    b'[["a", "b"]]',
]


@cases("shape")
@pytest.mark.parametrize("junk", JUNK, ids=lambda data: repr(data[:24]))
def test_a_list_of_another_shape_ends_in_words(case, tmp_path, junk):
    """No image, no traceback: an error with its words, or items that all say why."""
    case.items(tmp_path)
    for name in case.lists:
        (tmp_path / name).write_bytes(junk)
    error, items = None, []
    try:
        items = case.read(tmp_path)
    except UserError as caught:
        error = caught
    assert error is None or (error.exit_code == 3 and len(str(error)) < 2000)
    for item in items:
        with pytest.raises(UserError):
            item.pixels()


ENTRIES = [
    None,
    5,
    "x",
    [],
    [1],
    {},
    {"label": None},
    {"frames": None},
    {"frames": []},
    {"frames": [None, 5, {}]},
    True,
]


TABLES = ("labels.csv", "train/metadata.csv", "test.csv", "fairface_label_val.csv", "faces.parquet")


def bad_row(case, entry):
    """A row that the case's writer turns into a bad entry of a list; in a table, a row of wrong values."""
    if case.lists[0] in TABLES:
        values = dict.fromkeys(("label", "race", "gender", "age"), f"bad {entry}")
        return {**ROWS[1], **values, "name": "", "file": "x/b.png"}
    as_written = {"webdataset": lambda value: json.dumps(value).encode(), "celebdf": str}
    return {**ROWS[1], "entry": as_written.get(case.adapter, lambda value: value)(entry)}


@cases("entry")
@pytest.mark.parametrize("entry", ENTRIES, ids=repr)
def test_a_bad_entry_takes_no_other_with_it(case, tmp_path, entry):
    whole = case.items(tmp_path / "whole")
    items = case.items(tmp_path / "other", [ROWS[0], bad_row(case, entry), ROWS[2]])
    good = {item.key for item in whole if item.problem is None}
    kept = {item.key for item in items if item.problem is None}
    assert kept < good or (case.adapter == "celebdf" and kept == good)
    assert len(good - kept) <= len(whole) / 3
    assert all(item.problem.strip() for item in items if item.problem is not None)


@cases("entry")
def test_a_bad_entry_is_one_line_of_skipped_csv(case, tmp_path):
    case.items(tmp_path, [ROWS[0], bad_row(case, None), ROWS[2]])
    items = [item for item in case.read(tmp_path) if item.problem]
    result = import_images(
        case.adapter, tmp_path / case.source, tmp_path / "out", case.taxonomy, case.given(tmp_path)
    )
    assert result.n_skipped == len(items) >= 1
    assert skipped(tmp_path / "out") == {item.key: item.problem for item in items}
    assert any("of them: " in warning for warning in result.warnings)


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize(
    "change",
    [str.upper, lambda text: text.replace(",", ";"), lambda text: "\ufeff" + text.replace("1", "1.0")],
)
def test_annotations_of_every_set_of_videos(name, tmp_path, change):
    """Any head, separator, mark and number; a bad row is left out with its line."""
    case = CASES[name][0]
    plain = case.items(tmp_path / "set")
    videos = [item.video_id.removeprefix(f"{name}/").split("/") for item in plain]
    folders = {folder: video.removeprefix("Celeb-real-") for folder, *_, video in videos}
    lines = [f"set/{folder}/{video}/0.png,0,1,1,-1" for folder, video in folders.items()] + [
        "set/a/b/0.png,0,7,1,-1"
    ]
    rows = change("\n".join(lines)).lower()
    (tmp_path / "a.csv").write_text(f"{change('path,label,male,white,black')}\n{rows}", encoding="utf-8")
    given = {**case.given(tmp_path), "annotations": str(tmp_path / "a.csv")}
    items = list(ADAPTERS.create(name, given).read(tmp_path / "set"))
    bad, *rest = items
    assert "male is above 1" in bad.problem
    assert "line" in bad.key
    assert [item.key for item in rest] == [item.key for item in plain]


# --- what a whole import says ---


@cases("missing")
def test_an_annotated_set_without_any_cell_is_warned_of(case, tmp_path):
    case.write(tmp_path, changed(race="NA", gender="?"))
    result = import_images(
        case.adapter, tmp_path / case.source, tmp_path / "out", case.taxonomy, case.given(tmp_path)
    )
    assert any("none of the 3 images has a cell" in warning for warning in result.warnings)


@cases("label")
def test_a_thousand_bad_rows_are_one_warning(case, tmp_path):
    rows = [
        ROWS[0],
        ROWS[1],
        *({**ROWS[2], "name": f"x/n{k}.png", "file": "x/c.png", "label": f"x{k}"} for k in range(50)),
    ]
    if case.adapter in ("webdataset", "deepfakebench"):
        rows = [{**row, "file": row["name"]} for row in rows]
    case.write(tmp_path, rows)
    result = import_images(
        case.adapter, tmp_path / case.source, tmp_path / "out", case.taxonomy, case.given(tmp_path)
    )
    assert len(skipped(tmp_path / "out")) >= 50
    assert len(result.warnings) <= 5
    assert any(warning.startswith("50 of them: ") and "(e.g. " in warning for warning in result.warnings)
