"""`fairforge attributes`: every odd file of a folder has one row, and the right reason where it failed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from attribute_models import align, load_attribute_model
from attribute_models.attributes import annotation
from attribute_models.attributes.annotation import Annotator
from attribute_models.detection.boxes import DetectedFace
from manifests.images import encode, read_image
from manifests.store import read_table, write_table
from pipeline.__main__ import main
from pipeline.commands.attributes.sources import pictures


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """One synthetic face, uint8 [192, 192, 3]: the first one of the embedded generator that the detector is
    sure of.
    """
    from attribute_models import load_face_detector
    from generators import load_generator
    from manifests.seeding import normal_of

    generator, detector = load_generator("starter64"), load_face_detector()
    w = generator.mapping(normal_of(3, [("portrait", k) for k in range(12)], generator.z_dim), psi=0.5)
    for picture in np.asarray(generator.synthesis(w)):
        small = ((picture.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255).astype(np.uint8)
        large = np.asarray(Image.fromarray(small).resize((192, 192), Image.Resampling.BICUBIC))
        found = detector.detect(large)
        if len(found) == 1 and found[0].score > 0.99:
            return large
    pytest.fail("the generator gave no clear face")


@pytest.fixture(scope="session")
def odd_folder(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portrait in every kind of file, and what is no portrait."""
    folder = tmp_path_factory.mktemp("odd")
    image = Image.fromarray(portrait)
    image.save(folder / "plain.png")
    image.convert("L").save(folder / "grey.png")
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.rotate(90, expand=True).save(folder / "turned.png", exif=exif)
    image.save(folder / "moving.gif", save_all=True, append_images=[Image.new("RGB", image.size)])
    rgba = image.convert("RGBA")
    rgba.save(folder / "alpha.webp", lossless=True)
    Image.fromarray(np.hstack([portrait, portrait[:, ::-1]])).save(folder / "pair.png")
    Image.new("RGB", (160, 160), (90, 120, 90)).save(folder / "meadow.png")
    Image.new("RGB", (1, 1)).save(folder / "point.png")
    whole = (folder / "plain.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def attributes(*arguments: object) -> int:
    return main(["attributes", *map(str, arguments), "--quiet"])


@pytest.fixture(scope="session")
def labels(odd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels") / "labels.parquet"
    assert attributes(odd_folder, "--out", out) == 0
    return out


def by_name(table_path: Path) -> dict[str, dict]:
    rows = read_table(table_path).to_pylist()
    assert len({row["path"] for row in rows}) == len(rows), "one row per file"
    return {Path(row["path"]).name: row for row in rows}


def test_every_file_has_one_row_and_failures_have_their_reason(labels: Path):
    rows = by_name(labels)
    failed = {name: row["reason"] for name, row in rows.items() if row["status"] == "failed"}
    assert failed == {
        "pair.png": "many_faces",
        "meadow.png": "no_face",
        "point.png": "no_face",
        "cut.png": "truncated",
        "text.jpg": "unreadable",
        "empty.png": "unreadable",
    }
    assert all(row["detail"] for row in rows.values() if row["status"] == "failed")
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {
        "plain.png",
        "grey.png",
        "cmyk.jpg",
        "deep.png",
        "turned.png",
        "moving.gif",
        "alpha.webp",
    }


def test_a_container_does_not_change_what_is_read(labels: Path):
    rows = by_name(labels)
    plain = rows["plain.png"]
    for name in ("turned.png", "alpha.webp"):
        assert {**rows[name], "path": ""} == {**plain, "path": ""}
    assert {**rows["deep.png"], "path": ""} == {**rows["grey.png"], "path": ""}
    assert np.abs(np.subtract(rows["moving.gif"]["landmarks"], plain["landmarks"])).max() < 6


def test_a_row_is_what_the_model_says_of_the_aligned_face(labels: Path, odd_folder: Path):
    from attribute_models import load_face_detector

    row = by_name(labels)["plain.png"]
    image = read_image(odd_folder / "plain.png")
    face = load_face_detector().detect(image)[0]
    model = load_attribute_model()
    found = model.predict(align(image, face.five)[None])
    for head, names in model.classes.items():
        expected = found[head][0]
        np.testing.assert_allclose([row[f"{head}:{name}"] for name in names], expected, atol=1e-5)
        assert row[head] == names[int(expected.argmax())]
        assert row[f"{head}_prob"] == pytest.approx(expected.max(), abs=1e-5)
    points = np.reshape(row["landmarks"], (148, 2))
    inside = (points > np.reshape(row["box"], (2, 2))[0] - 20) & (
        points < np.reshape(row["box"], (2, 2))[1] + 20
    )
    assert inside.mean() > 0.95
    assert row["attribute_source"] == model.label_source


def test_all_faces_gives_each_its_row(odd_folder: Path, tmp_path: Path):
    out = tmp_path / "both.parquet"
    assert attributes(odd_folder / "pair.png", "--out", out, "--all-faces") == 0
    rows = read_table(out).to_pylist()
    assert [(row["face"], row["faces"], row["status"]) for row in rows] == [(0, 2, "ok"), (1, 2, "ok")]
    sides = sorted(np.reshape(row["landmarks"], (-1, 2))[:, 0].mean() for row in rows)
    assert sides[0] < 192 < sides[1]


def test_large_pictures_are_shrunk_for_searching_and_mapped_back(
    labels: Path,
    portrait: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(annotation, "MAX_SIDE", 320)
    Image.fromarray(portrait).resize((960, 960), Image.Resampling.BICUBIC).save(
        tmp_path / "huge.jpg", quality=95
    )
    assert attributes(tmp_path / "huge.jpg", "--out", tmp_path / "huge.parquet") == 0
    row, plain = read_table(tmp_path / "huge.parquet").to_pylist()[0], by_name(labels)["plain.png"]
    assert (row["status"], row["width"]) == ("ok", 960)
    assert np.abs(np.divide(row["landmarks"], 5) - plain["landmarks"]).mean() < 3


def test_the_same_input_gives_the_same_bytes(labels: Path, odd_folder: Path, tmp_path: Path):
    assert attributes(odd_folder, "--out", tmp_path / "again.parquet") == 0
    assert (tmp_path / "again.parquet").read_bytes() == labels.read_bytes()


def test_aligned_faces_are_not_searched(
    portrait: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    Image.fromarray(portrait).save(tmp_path / "face.png")
    Image.fromarray(portrait[:100]).save(tmp_path / "flat.png")
    assert (
        main(
            [
                "attributes",
                str(tmp_path),
                "--out",
                str(tmp_path / "l.parquet"),
                "--aligned",
                "--json",
                "--quiet",
            ]
        )
        == 0
    )
    value = json.loads(capsys.readouterr().out)
    assert (value["ok"], value["failed"]) == (1, {"not_square": 1})
    row = by_name(tmp_path / "l.parquet")["face.png"]
    small = np.asarray(Image.fromarray(portrait).resize((128, 128), Image.Resampling.LANCZOS))
    expected = load_attribute_model().predict(small[None])["gender"][0]
    assert row["gender_prob"] == pytest.approx(expected.max(), abs=1e-5)


def test_manifests_and_parquet_files_of_faces(odd_folder: Path, portrait: np.ndarray, tmp_path: Path):
    source = tmp_path / "own"
    (source / "real").mkdir(parents=True)
    Image.fromarray(portrait).save(source / "real" / "a.png")
    assert main(["import", "folder", str(source), "--out", str(tmp_path / "made")]) == 0
    rows = list(pictures([tmp_path / "made"]))
    assert [row["image_id"] for row, _ in rows] == read_table(tmp_path / "made" / "manifest.parquet")[
        "image_id"
    ].to_pylist()
    np.testing.assert_array_equal(rows[0][1], portrait)


def test_video_frames(portrait: np.ndarray, tmp_path: Path):
    av = pytest.importorskip("av")
    path = tmp_path / "talk.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 192, 192, "yuv420p", 4_000_000
        for number in range(9):
            image = portrait if number == 4 else np.zeros_like(portrait)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    assert attributes(path, "--out", tmp_path / "v.parquet", "--frames", 3) == 0
    rows = read_table(tmp_path / "v.parquet").to_pylist()
    assert [(row["frame"], row["status"]) for row in rows] == [(4, "ok")]
    (tmp_path / "broken.mp4").write_bytes(path.read_bytes()[:40])
    assert attributes(tmp_path / "broken.mp4", "--out", tmp_path / "b.parquet") == 0
    assert read_table(tmp_path / "b.parquet")["status"].to_pylist() == ["failed"]


def test_a_video_without_its_package_is_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    (tmp_path / "talk.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    assert attributes(tmp_path, "--out", tmp_path / "v.parquet") == 3
    assert "fairforge[video]" in capsys.readouterr().err


def test_odd_entries_have_their_row(portrait: np.ndarray, tmp_path: Path):
    """A dangling link, a directory named like a picture, and parquet rows without name or picture."""
    folder = tmp_path / "odd"
    (folder / "folder.jpg").mkdir(parents=True)
    (folder / "dangling.png").symlink_to("nowhere.png")
    data = encode(portrait, "png")
    write_table(pa.table({"file": [None, "b", "c"], "image": [data, None, b"x"]}), tmp_path / "faces.parquet")
    assert attributes(folder, tmp_path / "faces.parquet", "--out", tmp_path / "l.parquet") == 0
    rows = read_table(tmp_path / "l.parquet").to_pylist()
    assert [(Path(row["path"]).name, row["reason"]) for row in rows] == [
        ("dangling.png", "unreadable"),
        ("faces.parquet#0", None),
        ("b", "unreadable"),
        ("c", "unreadable"),
    ]


def test_a_face_that_cannot_be_aligned_is_one_failed_row(portrait: np.ndarray):
    class OnePoint:
        def detect(self, image: np.ndarray) -> list[DetectedFace]:
            return [DetectedFace(np.zeros(4, np.float32), 0.99, np.full((5, 2), 7, np.float32))]

    rows = list(Annotator(load_attribute_model(), None, OnePoint()).annotate([({"path": "a"}, portrait)]))
    assert [(row["status"], row["reason"]) for row in rows] == [("failed", "not_aligned")]
    assert "one point" in rows[0]["detail"]


def test_wrong_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert attributes(tmp_path / "nowhere", "--out", tmp_path / "l.parquet") == 3
    assert attributes(tmp_path, "--out", tmp_path / "l.parquet") == 3
    assert attributes(tmp_path, "--out", tmp_path / "l.csv") == 2
    assert attributes(tmp_path) == 2
    assert "--out" in capsys.readouterr().err
