"""Adapter fairface-parquet, and the road of its faces into a manifest."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PilImage

from manifests import read_manifest, validate
from manifests.adapters import ADAPTERS, import_images
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import encode, read_image
from tests.manifests.adapter_files import imported_pixels, picture, rows_of, skipped

MESH = np.arange(296, dtype=np.int16) * 7 - 20


def fairface(path, rows, **kinds):
    """A parquet file of rows; a row is what differs from the first kind of face."""
    full = [
        {
            "file": f"train/{k}.jpg",
            "race": "White",
            "gender": "Male",
            "age": "20-29",
            "outside_frac": 0.0,
            "yaw_proxy": 0.0,
            "sharpness": 100.0,
            "brightness": 120.0,
            "face_prob": 0.99,
            "mesh148_x64": MESH.tolist(),
            "image": encode(picture(k), "png"),
            **row,
        }
        for k, row in enumerate(rows)
    ]
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


@pytest.mark.parametrize(
    ("param", "column", "limit", "values", "kept"),
    [
        ("max_outside_frac", "outside_frac", 0.1, [0.0, 0.1, 0.11, None], [0, 1, 3]),
        ("max_yaw", "yaw_proxy", 0.3, [-0.31, -0.3, 0.0, 0.31, None], [1, 2, 4]),
        ("min_sharpness", "sharpness", 50, [49.9, 50.0, 51.0, None], [1, 2, 3]),
        ("min_brightness", "brightness", 60, [59.0, 60.0, None], [1, 2]),
        ("min_face_prob", "face_prob", 0.9, [0.89, 0.9, 1.0, None], [1, 2, 3]),
    ],
)
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
    races = [
        "White",
        "Latino_Hispanic",
        "Middle Eastern",
        "East Asian",
        "Southeast Asian",
        "Black",
        "Indian",
        "Martian",
        None,
    ]
    path = fairface(tmp_path / "f.parquet", [{"race": race, "gender": "Female"} for race in races])
    four = ["White", "White", "White", "Asian", "Asian", "Black", "Indian", None, None]
    assert [image.race for image in read(path)] == four
    assert [image.cell for image in read(path)] == [race and f"{race}/Female" for race in four]
    assert [image.race for image in read(path, taxonomy="fairface7")] == [*races[:7], None, None]
    assert [image.cell for image in read(path, taxonomy="ffpp")][3:7] == [
        "asian/Female",
        "asian/Female",
        "black/Female",
        "others/Female",
    ]
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
    path = fairface(
        tmp_path / "f.parquet", [{"race": r, "gender": g} for r in races for g in ("Male", "Female")]
    )
    result = import_images("fairface-parquet", path, tmp_path / "out", params={"split": "test"})
    assert validate(result.manifest) == []
    table, rows = read_manifest(result.manifest), rows_of(result.manifest)
    assert table.schema.metadata[b"fairforge.taxonomy"] == b"fairface4"
    assert (result.n_images, result.n_skipped, len(rows)) == (10, 0, 10)
    assert sorted(row["cell"] for row in rows if row["cell"]) == sorted(
        f"{r}/{g}" for r in ("White", "Black", "Asian", "Indian") for g in ("Male", "Female")
    )
    assert {
        (r["label"], r["method"], r["split"], r["licence"], r["attribute_source"], r["dataset"]) for r in rows
    } == {(0, "none", "test", "CC BY 4.0", "annotation:f.parquet", "fairface-parquet")}
    assert {row["identity_id"] for row in rows} == {f"fairface:train/{k}.jpg" for k in range(10)}
    assert imported_pixels(tmp_path / "out", rows) == sorted(picture(k).tobytes() for k in range(10))


def test_a_key_that_stands_twice_keeps_the_first_image(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{}, {"file": "train/0.jpg"}, {}])
    result = import_images("fairface-parquet", path, tmp_path / "out")
    assert (result.n_images, result.n_skipped) == (2, 1)
    assert "twice" in skipped(tmp_path / "out")["train/0.jpg"]
    assert imported_pixels(tmp_path / "out", rows_of(result.manifest)) == sorted(
        picture(k).tobytes() for k in (0, 2)
    )
    assert validate(result.manifest) == []


def test_image_that_is_null_or_broken_is_skipped(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{}, {"image": None}, {"image": b"nonsense"}, {}])
    result = import_images("fairface-parquet", path, tmp_path / "out")
    assert (result.n_images, result.n_skipped) == (2, 2)
    assert set(skipped(tmp_path / "out")) == {"train/1.jpg", "train/2.jpg"}
    assert validate(result.manifest) == []


def test_row_of_another_kind_is_named(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{}, {"file": None}])
    first, second = read(path)
    assert (first.problem, second.key, second.problem) == (None, "row 2", "file is missing (row 2)")


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
    assert [
        adapter.check(tmp_path / n)[0].code for n in ("nothing.parquet", "text.parquet", "g.parquet")
    ] == ["layout"] * 3


def test_damage_in_the_middle_of_the_file_is_named(tmp_path):
    path = fairface(tmp_path / "f.parquet", [{} for _ in range(40)])
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"f\.parquet"):
        import_images("fairface-parquet", path, tmp_path / "out")


def test_alpha_and_sixteen_bit_images_are_brought_to_rgb(tmp_path):
    buffer = io.BytesIO()
    PilImage.new("RGBA", (8, 8), (255, 0, 0, 0)).save(buffer, "PNG")
    (tmp_path / "mine" / "real").mkdir(parents=True)
    (tmp_path / "mine" / "real" / "clear.png").write_bytes(buffer.getvalue())
    (row,) = rows_of(import_images("folder", tmp_path / "mine", tmp_path / "out").manifest)
    np.testing.assert_array_equal(
        read_image(tmp_path / "out" / row["path"]), np.full((8, 8, 3), 255, np.uint8)
    )
