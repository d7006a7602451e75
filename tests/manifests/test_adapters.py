"""Adapters: a folder or a CSV, and the road of both into a manifest."""

import hashlib

import pytest
from PIL import Image as PilImage

from manifests import validate
from manifests.adapters import ADAPTERS, import_images
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import read_image
from tests.manifests.adapter_files import imported_pixels, picture, put, rows_of, skipped, write_csv


def test_folders_real_and_fake(tmp_path):
    source, out = tmp_path / "mine", tmp_path / "out"
    for k, name in enumerate(["real/a.png", "real/deep/er/b.PNG", "fake/a.png", "fake/c.png"]):
        put(source, name, k)
    (source / "real" / "notes.txt").write_text("no image")
    (source / "other").mkdir()
    put(source, "other/d.png", 9)
    result = import_images("folder", source, out, params={"licence": "CC0 1.0", "split": "test"})
    rows = rows_of(result.manifest)
    assert (result.n_images, result.n_skipped, len(rows)) == (4, 1, 4)
    assert list(skipped(out)) == ["real/notes.txt"]
    assert sorted(row["label"] for row in rows) == [0, 0, 1, 1]
    assert {(r["label"], r["method"], r["family"]) for r in rows} == {
        (0, "none", "none"),
        (1, "unknown", "unknown"),
    }
    assert {(r["split"], r["licence"], r["dataset"], r["cell"], r["attribute_source"]) for r in rows} == {
        ("test", "CC0 1.0", "folder", None, None)
    }
    assert imported_pixels(out, rows) == sorted(picture(k).tobytes() for k in range(4))
    assert validate(result.manifest) == []


def test_unreadable_image_in_the_middle_is_skipped_and_the_rest_goes_on(tmp_path):
    source, out = tmp_path / "mine", tmp_path / "out"
    for k in range(5):
        put(source, f"real/{k}.png", k)
    (source / "real" / "2.png").write_bytes((source / "real" / "2.png").read_bytes()[:50])
    (source / "real" / "3.png").write_text("not an image")
    result = import_images("folder", source, out)
    assert (result.n_images, result.n_skipped) == (3, 2)
    reasons = skipped(out)
    assert set(reasons) == {"real/2.png", "real/3.png"}
    assert all("not a readable image" in reason for reason in reasons.values())
    assert imported_pixels(out, rows_of(out)) == sorted(picture(k).tobytes() for k in (0, 1, 4))
    assert validate(out) == []


def test_no_usable_image_at_all(tmp_path):
    (tmp_path / "mine" / "real").mkdir(parents=True)
    (tmp_path / "mine" / "real" / "a.png").write_text("not an image")
    with pytest.raises(DataError, match=r"no usable image or clip \(1 skipped\)"):
        import_images("folder", tmp_path / "mine", tmp_path / "out")
    assert set(skipped(tmp_path / "out")) == {"real/a.png"}
    assert not (tmp_path / "out" / "manifest.parquet").exists()


def test_a_taxonomy_is_one_however_it_is_given(tmp_path):
    source = tmp_path / "mine"
    put(source, "a.png", 1)
    write_csv(source, "path,label,race,gender\na.png,real,East Asian,Female\n")
    seven = {"taxonomy": "fairface7"}
    ways = (("flag", "fairface7", None), ("parameter", None, seven), ("both", "fairface7", seven))
    rows = [
        rows_of(import_images("folder", source, tmp_path / way, flag, params).manifest)
        for way, flag, params in ways
    ]
    assert {row["cell"] for part in rows for row in part} == {"East Asian/Female"}
    with pytest.raises(UsageError, match="taxonomy = fairface7 differ"):
        import_images("folder", source, tmp_path / "torn", "fairface4", {"taxonomy": "fairface7"})


@pytest.mark.parametrize(
    "make",
    [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")],
    ids=["nothing", "empty", "file"],
)
def test_no_layout(tmp_path, make):
    make(tmp_path / "mine")
    with pytest.raises(MissingError, match="neither"):
        import_images("folder", tmp_path / "mine", tmp_path / "out")
    (finding,) = ADAPTERS.create("folder").check(tmp_path / "mine")
    assert finding.code == "layout"


# --- folder: CSV ---

FULL = """path,label,race,gender,age,identity_id,video_id,split,method,licence
a.png,real,White,Male,20-29,anna,v1,train,,CC0 1.0
sub dir/b.png,FAKE,Asian,Female,03-Sep,bert,v2,val,swap-x,
c.png,0,Martian,Male,,,,,ignored,
d.png,1,,,,,,test,,
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_says_everything(tmp_path, encoding):
    source, out = tmp_path / "mine", tmp_path / "out"
    for k, name in enumerate(["a.png", "sub dir/b.png", "c.png", "d.png"]):
        put(source, name, k)
    write_csv(source, FULL, encoding=encoding)
    result = import_images("folder", source, out, params={"licence": "mine", "split": "val"})
    by_pixels = {read_image(out / row["path"]).tobytes(): row for row in rows_of(out)}
    a, b, c, d = (by_pixels[picture(k).tobytes()] for k in range(4))
    names = (
        "label",
        "method",
        "race",
        "gender",
        "age",
        "cell",
        "identity_id",
        "video_id",
        "split",
        "licence",
    )
    assert [a[n] for n in names] == [
        0,
        "none",
        "White",
        "Male",
        "20-29",
        "White/Male",
        "anna",
        "v1",
        "train",
        "CC0 1.0",
    ]
    assert [b[n] for n in names] == [
        1,
        "swap-x",
        "Asian",
        "Female",
        "3-9",
        "Asian/Female",
        "bert",
        "v2",
        "val",
        "mine",
    ]
    assert [c[n] for n in names] == [0, "none", "Martian", "Male", None, None, None, None, "val", "mine"]
    assert [d[n] for n in names] == [1, "unknown", None, None, None, None, None, None, "test", "mine"]
    assert a["attribute_source"] == c["attribute_source"] == "annotation:labels.csv"
    assert d["attribute_source"] is None
    assert validate(result.manifest) == []


def test_csv_by_another_name_or_as_the_source_itself(tmp_path):
    put(tmp_path / "mine", "a.png")
    write_csv(tmp_path / "mine", "label,path\nreal,a.png\n", "my list.csv")
    first = import_images("folder", tmp_path / "mine", tmp_path / "1", params={"csv": "my list.csv"})
    second = import_images("folder", tmp_path / "mine" / "my list.csv", tmp_path / "2")
    assert rows_of(first.manifest) == rows_of(second.manifest)


def test_cells_follow_the_taxonomy_asked_for(tmp_path):
    for k, name in enumerate("ab"):
        put(tmp_path / "mine", f"{name}.png", k)
    write_csv(tmp_path / "mine", "path,label,race,gender\na.png,real,asian,Male\nb.png,real,Asian,Male\n")
    rows = rows_of(import_images("folder", tmp_path / "mine", tmp_path / "out", taxonomy="ffpp").manifest)
    assert [(row["race"], row["cell"]) for row in rows] == [("asian", "asian/Male")] * 2
    with pytest.raises(UsageError, match="taxonomy 'ffp'"):
        import_images("folder", tmp_path / "mine", tmp_path / "out", taxonomy="ffp")


@pytest.mark.parametrize(
    "path", ["../secret.png", "/etc/passwd", "a/../../b.png", "", "c:\\x.png", ".", "./"]
)
def test_path_that_leaves_the_folder_is_left_out_by_its_line(tmp_path, path):
    put(tmp_path, "secret.png")
    put(tmp_path / "mine", "a.png")
    write_csv(tmp_path / "mine", f"path,label\na.png,real\n{path},fake\n")
    result = import_images("folder", tmp_path / "mine", tmp_path / "out")
    assert (result.n_images, result.n_skipped) == (1, 1)
    ((key, reason),) = skipped(tmp_path / "out").items()
    assert key == (path or "labels.csv line 3")
    assert reason.startswith("path is missing" if not path else "path ")
    assert reason.endswith("(labels.csv line 3)")
    assert imported_pixels(tmp_path / "out", rows_of(result.manifest)) == [picture(0).tobytes()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("b.png,maybe,", "label is not 0, 1, real, fake, true or false: 'maybe'"),
        ("b.png,,", "label is missing"),
        ("b.png,2,", "label is not 0, 1, real, fake, true or false: '2'"),
        ("b.png,real,dev", "split is not one of train, val, test: 'dev'"),
    ],
)
def test_label_and_split_that_are_not_known_are_named_by_their_line(tmp_path, line, words):
    for k, name in enumerate("ab"):
        put(tmp_path / "mine", f"{name}.png", k)
    write_csv(tmp_path / "mine", f"path,label,split\na.png,real,train\n{line}\n")
    result = import_images("folder", tmp_path / "mine", tmp_path / "out")
    assert (result.n_images, skipped(tmp_path / "out")) == (1, {"b.png": f"{words} (labels.csv line 3)"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"file,kind\na.png,real\n", "path, label; it has: file, kind"),
        (b"", "path, label"),
        (b"path,label\n\xff\xfe.png,real\n", "not UTF-8"),
        (b'path,label\n"a.png' + b"x" * 140_000 + b",real\n", "line 2"),
    ],
    ids=["other columns", "empty", "latin", "open quote"],
)
def test_csv_that_cannot_be_used(tmp_path, data, words):
    (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(DataError) as caught:
        import_images("folder", tmp_path, tmp_path / "out")
    assert words in str(caught.value)
    assert "labels.csv" in str(caught.value)


def test_missing_file_and_file_named_twice_are_skipped_with_their_reason(tmp_path):
    source, out = tmp_path / "mine", tmp_path / "out"
    put(source, "a.png", 0)
    put(source, "z.png", 1)
    write_csv(source, "path,label\na.png,real\ngone.png,real\na.png,fake\nz.png,fake\n")
    result = import_images("folder", source, out)
    assert (result.n_images, result.n_skipped) == (2, 2)
    reasons = skipped(out)
    assert "is not there" in reasons["gone.png"]
    assert "twice" in reasons["a.png"]
    assert sorted((row["label"], row["method"]) for row in rows_of(out)) == [(0, "none"), (1, "unknown")]
    assert validate(out) == []


def test_blanks_and_too_many_columns_do_no_harm(tmp_path):
    """A row longer than the head, blanks around values, and a blank line at the end."""
    put(tmp_path / "mine", "a.png")
    write_csv(tmp_path / "mine", "path,label\n a.png , real ,left,over\n\n")
    (row,) = rows_of(import_images("folder", tmp_path / "mine", tmp_path / "out").manifest)
    assert row["label"] == 0


# --- the common road ---


def test_images_are_encoded_alike_and_resized(tmp_path):
    put(tmp_path / "mine", "real/a.png", 0, size=40)
    put(tmp_path / "mine", "fake/b.png", 1, size=16)
    out = tmp_path / "out"
    import_images("folder", tmp_path / "mine", out, codec="jpeg", quality=90, size=24)
    for row in rows_of(out):
        assert (row["width"], row["height"], row["codec"], row["quality"]) == (24, 24, "jpeg", 90)
        with PilImage.open(out / row["path"]) as image:
            assert (image.format, image.size) == ("JPEG", (24, 24))
        assert hashlib.sha256((out / row["path"]).read_bytes()).hexdigest() == row["sha256"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"codec": "gif"}, "codec 'gif'"),
        ({"codec": "jpeg"}, "quality None"),
        ({"params": {"colour": 1}}, "colour"),
        ({"adapter": "foldr"}, "folder"),
        ({"params": {"taxonomy": "x"}}, "taxonomy"),
    ],
)
def test_wrong_settings_are_errors_not_skipped_images(tmp_path, arguments, words):
    put(tmp_path / "mine", "real/a.png")
    with pytest.raises(UsageError) as caught:
        import_images(
            **{"adapter": "folder", "source": tmp_path / "mine", "out": tmp_path / "out", **arguments}
        )
    assert words in f"{caught.value.what} {caught.value.why} {caught.value.fix}"


def test_the_same_import_gives_the_same_bytes(tmp_path):
    for k in range(3):
        put(tmp_path / "mine", f"real/{k}.png", k)
    for name in ("1", "2"):
        import_images("folder", tmp_path / "mine", tmp_path / name)
    files = [
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()}
        for n in "12"
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 5


@pytest.mark.parametrize(
    "name", [n for n in ADAPTERS.names() if "split" in type(ADAPTERS.create(n).params).model_fields]
)
def test_a_split_that_is_not_known_is_refused_by_every_adapter(name):
    with pytest.raises(UsageError, match="choose one of: train, val, test"):
        ADAPTERS.create(name, {"split": "dev"})
    assert ADAPTERS.create(name, {"split": "Validation"}).params.split == "val"


INDEX = (
    "path,label,target_path\nfake/1.png,1,real/a.png\nfake/2.png,1,real\\a.png\n"
    "real/a.png,0,\nreal/b.png,0,NA\n"
)


def test_an_index_with_targets_says_who_is_in_a_fake(tmp_path):
    source = tmp_path / "theirs"
    for k, name in enumerate(["fake/1.png", "fake/2.png", "real/a.png", "real/b.png"]):
        put(source, name, k)
    write_csv(source, INDEX, "index.csv")
    given = {"method": "inswapper", "family": "swap", "licence": "MIT"}
    result = import_images("folder", source / "index.csv", tmp_path / "out", params=given)
    rows = {read_image(tmp_path / "out" / r["path"]).tobytes(): r for r in rows_of(result.manifest)}
    found = [rows[picture(k).tobytes()] for k in range(4)]
    assert [r["identity_id"] for r in found] == ["real/a.png"] * 3 + ["real/b.png"]
    assert [(r["method"], r["family"]) for r in found] == [("inswapper", "swap")] * 2 + [("none", "none")] * 2
    assert validate(result.manifest) == []
    write_csv(source, INDEX.replace("target_path", "identity_id").replace("real\\a.png", "me"), "own.csv")
    own = rows_of(import_images("folder", source / "own.csv", tmp_path / "own").manifest)
    assert {(r["identity_id"], r["method"]) for r in own} == {
        ("real/a.png", "unknown"),
        ("me", "unknown"),
        (None, "none"),
    }


def test_a_target_elsewhere_is_a_name_and_no_file_that_is_read(tmp_path):
    put(tmp_path / "mine", "a.png")
    write_csv(tmp_path / "mine", "path,label,target_path\na.png,1, ../secret.png \n")
    (row,) = rows_of(import_images("folder", tmp_path / "mine", tmp_path / "out").manifest)
    assert row["identity_id"] == "../secret.png"


@pytest.mark.parametrize("layout", ["folders", "list"])
def test_method_and_family_of_fakes_that_name_none(tmp_path, layout):
    for k, name in enumerate(["real/a.png", "fake/b.png", "fake/c.png"]):
        put(tmp_path / "mine", name, k)
    source = tmp_path / "mine"
    if layout == "list":
        write_csv(source, "path,label,method\nreal/a.png,0,\nfake/b.png,1,\nfake/c.png,1,own\n")
    rows = rows_of(
        import_images(
            "folder", source, tmp_path / "out", params={"method": "gan", "family": "synthesis"}
        ).manifest
    )
    named = {("none", "none"), ("gan", "synthesis"), *([("own", "synthesis")] if layout == "list" else [])}
    assert {(r["method"], r["family"]) for r in rows} == named
    for params in ({"family": "none"}, {"family": "morph"}, {"method": ""}):
        with pytest.raises(UsageError):
            import_images("folder", source, tmp_path / "x", params=params)
