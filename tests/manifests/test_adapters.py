"""Adapters: a folder, a CSV, FairFace parquet files, and the road of all of them into a manifest."""

import csv
import hashlib
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from manifest_rows import drawn
from PIL import Image as PilImage

from manifests import read_manifest, validate
from manifests.adapters import ADAPTERS, import_images
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import encode, read_image


def picture(key, size=16):
    return drawn(np.random.default_rng([7, key]), size)


def put(folder, name, key=0, size=16):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(picture(key, size), "png"))


def write_csv(folder, text, name="labels.csv", encoding="utf-8"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding=encoding)


def rows_of(manifest):
    return read_manifest(manifest).to_pylist()


def skipped(out):
    with open(out / "skipped.csv", newline="") as file:
        return {row["key"]: row["reason"] for row in csv.DictReader(file)}


def imported_pixels(out, rows):
    return sorted(read_image(out / row["path"]).tobytes() for row in rows)


# --- folder: real/ and fake/ ---

def test_folders_real_and_fake(tmp_path):
    source, out = tmp_path / "mine", tmp_path / "out"
    for k, name in enumerate(["real/a.png", "real/deep/er/b.PNG", "fake/a.png", "fake/c.png"]):
        put(source, name, k)
    (source / "real" / "notes.txt").write_text("no image")
    (source / "other").mkdir()
    put(source, "other/d.png", 9)
    result = import_images("folder", source, out, params={"licence": "CC0 1.0", "split": "test"})
    rows = rows_of(result.manifest)
    assert (result.n_images, result.n_skipped, len(rows)) == (4, 0, 4)
    assert sorted(row["label"] for row in rows) == [0, 0, 1, 1]
    assert {(r["label"], r["method"], r["family"]) for r in rows} == {(0, "none", "none"), (1, "unknown", "unknown")}
    assert {(r["split"], r["licence"], r["dataset"], r["cell"], r["attribute_source"]) for r in rows} == {
        ("test", "CC0 1.0", "folder", None, None)}
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
    with pytest.raises(DataError, match=r"no usable image \(1 skipped\)"):
        import_images("folder", tmp_path / "mine", tmp_path / "out")
    assert set(skipped(tmp_path / "out")) == {"real/a.png"}
    assert not (tmp_path / "out" / "manifest.parquet").exists()


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")],
                         ids=["nothing", "empty", "file"])
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
    names = ("label", "method", "race", "gender", "age", "cell", "identity_id", "video_id", "split", "licence")
    assert [a[n] for n in names] == [0, "none", "White", "Male", "20-29", "White/Male", "anna", "v1", "train", "CC0 1.0"]
    assert [b[n] for n in names] == [1, "swap-x", "Asian", "Female", "3-9", "Asian/Female", "bert", "v2", "val", "mine"]
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
    assert {row["race"]: row["cell"] for row in rows} == {"asian": "asian/Male", "Asian": None}
    with pytest.raises(UsageError, match="taxonomy 'ffp'"):
        import_images("folder", tmp_path / "mine", tmp_path / "out", taxonomy="ffp")


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "a/../../b.png", "", "c:\\x.png", ".", "./"])
def test_path_that_leaves_the_folder_is_refused_by_its_line(tmp_path, path):
    put(tmp_path, "secret.png")
    put(tmp_path / "mine", "a.png")
    write_csv(tmp_path / "mine", f"path,label\na.png,real\n{path},fake\n")
    with pytest.raises(UsageError, match="leaves the folder") as caught:
        import_images("folder", tmp_path / "mine", tmp_path / "out")
    assert caught.value.what.endswith("labels.csv line 3")
    assert not (tmp_path / "out" / "manifest.parquet").exists()


@pytest.mark.parametrize(("line", "words"), [
    ("a.png,maybe,", "label 'maybe'"), ("a.png,,", "label None"), ("a.png,2,", "label '2'"),
    ("a.png,real,dev", "split 'dev'"),
])
def test_label_and_split_that_are_not_known_are_named_by_their_line(tmp_path, line, words):
    put(tmp_path / "mine", "a.png")
    write_csv(tmp_path / "mine", f"path,label,split\na.png,real,train\n{line}\n")
    with pytest.raises(UsageError) as caught:
        import_images("folder", tmp_path / "mine", tmp_path / "out")
    assert caught.value.what.endswith("labels.csv line 3")
    assert words in caught.value.why


@pytest.mark.parametrize(("data", "words"), [
    (b"file,kind\na.png,real\n", "label, path"), (b"", "label, path"), (b"path,label\n\xff\xfe.png,real\n", "not UTF-8"),
    (b"path,label\n\"a.png" + b"x" * 140_000 + b",real\n", "line 2"),
], ids=["other columns", "empty", "latin", "open quote"])
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


@pytest.mark.parametrize(("arguments", "words"), [
    ({"codec": "gif"}, "codec 'gif'"), ({"codec": "jpeg"}, "quality None"), ({"params": {"colour": 1}}, "colour"),
    ({"adapter": "foldr"}, "folder"), ({"params": {"taxonomy": "x"}}, "taxonomy"),
])
def test_wrong_settings_are_errors_not_skipped_images(tmp_path, arguments, words):
    put(tmp_path / "mine", "real/a.png")
    with pytest.raises(UsageError) as caught:
        import_images(**{"adapter": "folder", "source": tmp_path / "mine", "out": tmp_path / "out", **arguments})
    assert words in f"{caught.value.what} {caught.value.why} {caught.value.fix}"


def test_the_same_import_gives_the_same_bytes(tmp_path):
    for k in range(3):
        put(tmp_path / "mine", f"real/{k}.png", k)
    for name in ("1", "2"):
        import_images("folder", tmp_path / "mine", tmp_path / name)
    files = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()} for n in "12"]
    assert files[0] == files[1]
    assert len(files[0]) == 5


# --- fairface-parquet ---

MESH = np.arange(296, dtype=np.int16) * 7 - 20


def fairface(path, rows, **kinds):
    """A parquet file of rows; a row is what differs from the first kind of face."""
    full = [{
        "file": f"train/{k}.jpg", "race": "White", "gender": "Male", "age": "20-29", "outside_frac": 0.0, "yaw_proxy": 0.0,
        "sharpness": 100.0, "brightness": 120.0, "face_prob": 0.99, "mesh148_x64": MESH.tolist(),
        "image": encode(picture(k), "png"), **row,
    } for k, row in enumerate(rows)]
    schema = {"mesh148_x64": pa.list_(pa.int16()), **kinds}
    columns = {name: pa.array([row[name] for row in full], schema.get(name)) for name in full[0]}
    pq.write_table(pa.table(columns), path)
    return path


def read(path, **params):
    return list(ADAPTERS.create("fairface-parquet", params).read(path))


def test_spreadsheet_ages_are_mended(tmp_path):
    given = ["03-Sep", "Oct-19", "3-Sep", "19-Oct", "0-2", "more than 70"]
    found = read(fairface(tmp_path / "f.parquet", [{"age": age} for age in given]))
    assert [image.age for image in found] == ["3-9", "10-19", "3-9", "10-19", "0-2", "more than 70"]
    kept = read(tmp_path / "f.parquet", ages=("3-9", "more than 70"))
    assert [image.key for image in kept] == ["train/0.jpg", "train/2.jpg", "train/5.jpg"]


@pytest.mark.parametrize(("param", "column", "limit", "values", "kept"), [
    ("max_outside_frac", "outside_frac", 0.1, [0.0, 0.1, 0.11, None], [0, 1, 3]),
    ("max_yaw", "yaw_proxy", 0.3, [-0.31, -0.3, 0.0, 0.31, None], [1, 2, 4]),
    ("min_sharpness", "sharpness", 50, [49.9, 50.0, 51.0, None], [1, 2, 3]),
    ("min_brightness", "brightness", 60, [59.0, 60.0, None], [1, 2]),
    ("min_face_prob", "face_prob", 0.9, [0.89, 0.9, 1.0, None], [1, 2, 3]),
])
def test_filters(tmp_path, param, column, limit, values, kept):
    path = fairface(tmp_path / "f.parquet", [{column: value} for value in values], **{column: pa.float64()})
    assert [image.key for image in read(path, **{param: limit})] == [f"train/{k}.jpg" for k in kept]
    assert len(read(path)) == len(values)


def test_a_filter_without_its_column_keeps_all(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{}, {}])
    pq.write_table(pq.read_table(path).drop_columns(["sharpness", "mesh148_x64"]), path)
    found = read(path, min_sharpness=1000)
    assert len(found) == 2
    assert {(image.landmarks, image.landmark_scheme) for image in found} == {(None, None)}


def test_races_map_into_the_taxonomy_or_to_nothing(tmp_path):
    races = ["White", "Latino_Hispanic", "Middle Eastern", "East Asian", "Southeast Asian", "Black", "Indian", "Martian", None]
    path = fairface(tmp_path / "f.parquet", [{"race": race, "gender": "Female"} for race in races])
    four = ["White", "White", "White", "Asian", "Asian", "Black", "Indian", None, None]
    assert [image.race for image in read(path)] == four
    assert [image.cell for image in read(path)] == [race and f"{race}/Female" for race in four]
    assert [image.race for image in read(path, taxonomy="fairface7")] == [*races[:7], None, None]
    assert [image.cell for image in read(path, taxonomy="ffpp")][3:7] == [
        "asian/Female", "asian/Female", "black/Female", "others/Female"]
    with pytest.raises(UsageError, match="cannot be mapped to monk3"):
        read(path, taxonomy="monk3")


def test_landmarks_are_pixels_and_follow_a_resize(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{}, {"mesh148_x64": None}])
    first, second = read(path)
    np.testing.assert_array_equal(first.landmarks, MESH / 64)
    assert (first.landmark_scheme, second.landmarks, second.landmark_scheme) == ("mesh148", None, None)
    for size, scale in ((None, 1), (32, 2)):
        out = tmp_path / f"out{size}"
        import_images("fairface-parquet", path, out, size=size)
        with_points = [row for row in rows_of(out) if row["landmarks"]]
        (row,) = with_points
        np.testing.assert_allclose(row["landmarks"], MESH / 64 * scale, rtol=1e-6)
        assert (row["width"], row["landmark_scheme"]) == (size or 16, "mesh148")


def test_round_trip_through_validate(tmp_path):
    races = ["White", "Black", "East Asian", "Indian", "Martian"]
    path = fairface(tmp_path / "f.parquet", [{"race": r, "gender": g} for r in races for g in ("Male", "Female")])
    result = import_images("fairface-parquet", path, tmp_path / "out", params={"split": "test"})
    assert validate(result.manifest) == []
    table, rows = read_manifest(result.manifest), rows_of(result.manifest)
    assert table.schema.metadata[b"fairforge.taxonomy"] == b"fairface4"
    assert (result.n_images, result.n_skipped, len(rows)) == (10, 0, 10)
    assert sorted(row["cell"] for row in rows if row["cell"]) == sorted(
        f"{r}/{g}" for r in ("White", "Black", "Asian", "Indian") for g in ("Male", "Female"))
    assert {(r["label"], r["method"], r["split"], r["licence"], r["attribute_source"], r["dataset"]) for r in rows} == {
        (0, "none", "test", "CC BY 4.0", "annotation:f.parquet", "fairface-parquet")}
    assert {row["identity_id"] for row in rows} == {f"fairface:train/{k}.jpg" for k in range(10)}
    assert imported_pixels(tmp_path / "out", rows) == sorted(picture(k).tobytes() for k in range(10))


def test_a_key_that_stands_twice_keeps_the_first_image(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{}, {"file": "train/0.jpg"}, {}])
    result = import_images("fairface-parquet", path, tmp_path / "out")
    assert (result.n_images, result.n_skipped) == (2, 1)
    assert "twice" in skipped(tmp_path / "out")["train/0.jpg"]
    assert imported_pixels(tmp_path / "out", rows_of(result.manifest)) == sorted(picture(k).tobytes() for k in (0, 2))
    assert validate(result.manifest) == []


def test_image_that_is_null_or_broken_is_skipped(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{}, {"image": None}, {"image": b"nonsense"}, {}])
    result = import_images("fairface-parquet", path, tmp_path / "out")
    assert (result.n_images, result.n_skipped) == (2, 2)
    assert set(skipped(tmp_path / "out")) == {"train/1.jpg", "train/2.jpg"}
    assert validate(result.manifest) == []


def test_row_of_another_kind_is_named(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{}, {"file": None}])
    with pytest.raises(DataError, match="row 2") as caught:
        read(path)
    assert "f.parquet" in caught.value.what


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(MissingError):
        read(tmp_path / "nothing.parquet")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="not a readable parquet"):
        read(tmp_path / "text.parquet")
    path = fairface(tmp_path / "f.parquet", [{}])
    pq.write_table(pq.read_table(path).drop_columns(["race", "image"]), tmp_path / "g.parquet")
    with pytest.raises(DataError, match="lacks the columns race, image"):
        read(tmp_path / "g.parquet")
    adapter = ADAPTERS.create("fairface-parquet")
    assert adapter.check(path) == []
    assert [adapter.check(tmp_path / n)[0].code for n in ("nothing.parquet", "text.parquet", "g.parquet")] == ["layout"] * 3


def test_damage_in_the_middle_of_the_file_is_named(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{} for _ in range(40)])
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle:middle + 4000] = bytes(4000)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"f\.parquet"):
        import_images("fairface-parquet", path, tmp_path / "out")


def test_alpha_and_sixteen_bit_images_are_brought_to_rgb(tmp_path):
    buffer = io.BytesIO()
    PilImage.new("RGBA", (8, 8), (255, 0, 0, 0)).save(buffer, "PNG")
    (tmp_path / "mine" / "real").mkdir(parents=True)
    (tmp_path / "mine" / "real" / "clear.png").write_bytes(buffer.getvalue())
    (row,) = rows_of(import_images("folder", tmp_path / "mine", tmp_path / "out").manifest)
    np.testing.assert_array_equal(read_image(tmp_path / "out" / row["path"]), np.full((8, 8, 3), 255, np.uint8))
