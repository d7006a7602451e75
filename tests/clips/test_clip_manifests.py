"""Clips as rows of a manifest: what is wrong with them, who passes them by, and who carries them."""

import ast
import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manifests import read_manifest, validate
from manifests.atomic import digest_file
from manifests.clip_columns import CLIP_COLUMNS, clip_rows, image_rows
from manifests.errors import DataError
from manifests.exporters import EXPORTERS
from manifests.images import encode
from manifests.records import ImageRecord
from manifests.release import ReleaseInfo, build_release, check_release
from manifests.schema import check_table
from manifests.store import read_images, table_of, write_manifest
from tests.clips.clip_files import make_clip, picture, sound_like, write_wav

ROOT = Path(__file__).parents[2]
CARRIERS = {
    "manifests/__init__.py",
    "manifests/store.py",
    "manifests/audit/__init__.py",
    "manifests/release/build.py",
    "manifests/release/exporting.py",
    "manifests/clips/rewriting.py",
    "pipeline/commands/export.py",
    "pipeline/commands/inspection.py",
    "pipeline/commands/audio_visual/sources.py",
    "pipeline/commands/audit.py",
}
"""Modules that read whole manifests because clips are theirs as well; every other one reads `read_images`."""
CLIP = {
    "image_id": "v",
    "path": "clips/v.mp4",
    "sha256": "0",
    "width": 32,
    "height": 32,
    "label": 1,
    "method": "m",
    "family": "reenact",
    "media": "video",
    "frames": 20,
    "fps": 25.0,
    "duration": 0.8,
    "fake_segments": [0.1, 0.3],
    "split": "test",
    "race": "White",
    "gender": "Male",
    "cell": "White/Male",
    "video_id": "d/v",
}
IMAGE = {
    "image_id": "a",
    "path": "images/a.png",
    "sha256": "0",
    "width": 32,
    "height": 32,
    "label": 0,
    "method": "none",
    "family": "none",
    "split": "test",
    "race": "Black",
    "gender": "Male",
    "cell": "Black/Male",
}


def codes(*rows):
    return [
        finding.code
        for finding in check_table(table_of([ImageRecord(**row) for row in rows], taxonomy="fairface4"))
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"frames": None}, "clip-facts"),
        ({"fps": 0.0}, "clip-facts"),
        ({"duration": None}, "clip-facts"),
        ({"audio_path": "../a.wav"}, "path-escapes"),
        ({"fake_segments": [0.3, 0.1]}, "bad-segments"),
        ({"fake_segments": [0.1]}, "bad-segments"),
        ({"fake_segments": [0.1, 9.0]}, "bad-segments"),
        ({"label": 0, "method": "none", "family": "none"}, "bad-segments"),
        ({"media": "image"}, "image-facts"),
    ],
)
def test_what_is_wrong_with_a_clip_is_a_finding(changes, code):
    assert codes({**CLIP}) == []
    assert codes({**CLIP, **changes}) == [code]


def test_another_medium_is_a_finding():
    table = table_of([ImageRecord(**CLIP)], taxonomy="fairface4")
    odd = table.set_column(table.column_names.index("media"), table.schema.field("media"), [["sound"]])
    assert "bad-media" in [finding.code for finding in check_table(odd)]


def put(folder):
    """A manifest with an image, a clip, and a clip whose sound is a file."""
    make_clip(folder / "clips/v.mp4", 1)
    make_clip(folder / "clips/w.mp4", 2, sound=False)
    write_wav(folder / "clips/w.sound.wav", sound_like([0.5] * 20))
    (folder / "images").mkdir()
    (folder / "images/a.png").write_bytes(encode(picture(0.4), "png"))
    rows = [
        {**IMAGE, "sha256": digest_file(folder / "images/a.png")},
        {**CLIP, "sha256": digest_file(folder / "clips/v.mp4")},
        {
            **CLIP,
            "image_id": "w",
            "path": "clips/w.mp4",
            "sha256": digest_file(folder / "clips/w.mp4"),
            "label": 0,
            "method": "none",
            "family": "none",
            "fake_segments": None,
            "audio_path": "clips/w.sound.wav",
            "audio_sha256": digest_file(folder / "clips/w.sound.wav"),
        },
    ]
    for row in rows:
        row["licence"] = "CC0-1.0"
    write_manifest(
        table_of([ImageRecord(**row) for row in rows], taxonomy="fairface4"), folder / "manifest.parquet"
    )
    return folder


def test_files_of_clips_and_of_their_sound_are_checked(tmp_path):
    folder = put(tmp_path)
    assert validate(folder) == []
    write_wav(folder / "clips/w.sound.wav", sound_like([0.4] * 20))
    assert [(f.code, f.ids) for f in validate(folder)] == [("changed-file", ("w",))]
    (folder / "clips/w.sound.wav").unlink()
    assert [(f.code, f.ids) for f in validate(folder)] == [("missing-file", ("w",))]


def test_images_and_clips_are_told_apart_also_in_older_manifests(tmp_path):
    table = read_manifest(put(tmp_path))
    assert image_rows(table)["image_id"].to_pylist() == ["a"]
    assert clip_rows(table)["image_id"].to_pylist() == ["v", "w"]
    assert read_images(tmp_path)["image_id"].to_pylist() == ["a"]
    old = image_rows(table).drop_columns(list(CLIP_COLUMNS))
    pq.write_table(old, tmp_path / "manifest.parquet")
    back = read_manifest(tmp_path)
    assert image_rows(back).num_rows == back.num_rows == 1
    assert clip_rows(back).num_rows == clip_rows(old).num_rows == 0
    write_manifest(clip_rows(table), tmp_path / "manifest.parquet")
    with pytest.raises(DataError, match="clips alone"):
        read_images(tmp_path)


def test_every_module_that_reads_a_manifest_says_whether_clips_are_its_own():
    """A new reader of manifests that is not in `CARRIERS` must take `read_images`, which passes clips by."""
    found = set()
    for package in ("manifests", "generators", "attribute_models", "detector", "pipeline"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            nodes = list(ast.walk(ast.parse(text))) if "read_manifest" in text else []
            names = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
            if "read_manifest" in names or any(
                isinstance(n, ast.FunctionDef) and n.name == "read_manifest" for n in nodes
            ):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == CARRIERS


def test_a_release_carries_clips_and_their_sound(tmp_path):
    info = ReleaseInfo(
        name="n", version="1", date="2026-01-02", creators=("A",), licence="CC0-1.0", description="d"
    )
    out = build_release(put(tmp_path / "m"), tmp_path / "r", info).path
    assert check_release(out) == []
    sets = {
        d["includes"]
        for d in json.loads((out / "croissant.json").read_text())["distribution"]
        if "includes" in d
    }
    assert sets == {"images/*/*/*/*.png", "clips/*/*.mp4", "clips/*/*.wav"}
    data = bytearray((out / "clips/v.mp4").read_bytes())
    data[4:8] = b"junk"
    (out / "clips/v.mp4").write_bytes(data)
    assert {finding.code for finding in check_release(out)} == {"changed-file"}


def test_exports_of_pictures_pass_clips_by_and_webdataset_carries_them(tmp_path):
    folder = put(tmp_path / "m")
    for name in EXPORTERS.names():
        EXPORTERS.create(name).export(folder, tmp_path / name)
        files = {path.name for path in (tmp_path / name).rglob("*") if path.is_file()}
        if name == "webdataset":
            with tarfile.open(tmp_path / name / "test-000000.tar") as tar:
                told = json.loads(tar.extractfile("v.json").read())
                assert {"a.png", "v.mp4", "w.mp4", "w.sound.wav"} <= set(tar.getnames())
                assert (told["media"], told["frames"], told["fake_segments"]) == (
                    "video",
                    20,
                    pytest.approx([0.1, 0.3]),
                )
        else:
            assert not any(file.endswith((".mp4", ".wav")) for file in files)
