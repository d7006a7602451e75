"""Folders from anywhere: one listing for every reader, which says what it left out and why."""

import ast
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manifests import listing
from manifests.adapters import ADAPTERS, import_images
from manifests.escaping import printable
from manifests.images import READABLE
from manifests.listing import is_junk, list_files, list_folders
from manifests.skipped import write_skipped
from tests.manifests.adapter_files import put, skipped

ROOT = Path(listing.__file__).parents[1]
BAD = os.fsdecode(b"caf\xe9.png")
JUNK = (
    "._a.png",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "__MACOSX/a.png",
    "deep/__MACOSX/._a.png",
    "deep/@eaDir/a.png",
)
OTHERS = ("a.heic", "b.AVIF", "c.jp2", "d.ppm", "e", "notes.txt")


def hostile_folder(folder):
    """A folder with three good pictures and everything that is none."""
    for k, name in enumerate(("z.PNG", "deep/a.jfif", "m.Jpe")):
        put(folder, name, k)
    for name in (*JUNK, *OTHERS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / BAD).write_bytes((folder / "z.PNG").read_bytes())
    (folder / os.fsdecode(b"\xff\xfe")).mkdir()
    put(folder, f"{os.fsdecode(bytes([0xFF, 0xFE]))}/inside.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "broken.png").symlink_to(folder / "nowhere")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "circle").symlink_to(folder)
    put(folder, "c.mask.png")
    put(folder, "c.png", 3)
    put(folder, "alone.mask.png", 4)


GOOD = ["alone.mask.png", "c.png", "deep/a.jfif", "m.Jpe", "z.PNG"]
REASONS = {
    r"caf\xe9.png": "not UTF-8",
    r"\xff\xfe": "not UTF-8",
    "pipe.png": "a pipe",
    "broken.png": "broken link",
    "loop.png": "broken link",
    "circle": "link to a folder",
    "c.mask.png": "the mask of c.png",
}


def test_what_is_listed_and_what_is_left_out(tmp_path):
    hostile_folder(tmp_path)
    found = list_files(tmp_path, READABLE)
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == GOOD
    reasons = {one.name: one.reason for one in found.unusable}
    assert reasons.keys() == REASONS.keys()
    assert all(words in reasons[name] for name, words in REASONS.items())
    assert sorted(one.name for one in found.left if one.ending is not None) == sorted(OTHERS)
    note = found.note(tmp_path)
    assert note.startswith(f"6 files below {tmp_path} were left out for their endings: ")
    assert all(
        f"1 {ending}" in note for ending in (".heic", ".avif", ".jp2", ".ppm", "without ending", ".txt")
    )
    assert list(found.left) == sorted(found.left, key=lambda one: one.name)
    for one in found.left:
        one.name.encode()


def test_a_folder_without_leftovers_needs_no_note(tmp_path):
    put(tmp_path, "a.png")
    assert list_files(tmp_path, READABLE).note(tmp_path) is None


def test_not_below(tmp_path):
    hostile_folder(tmp_path)
    found = list_files(tmp_path, READABLE, below=False)
    assert [path.name for path in found.files] == ["alone.mask.png", "c.png", "m.Jpe", "z.PNG"]


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    put(tmp_path, "a.png")
    put(tmp_path, "locked/b.png")
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list_files(tmp_path, READABLE)
    assert [path.name for path in found.files] == ["a.png"]
    assert [(one.name, one.reason) for one in found.left] == [
        ("locked", "is a folder that cannot be opened (Permission denied)")
    ]


def test_a_folder_deeper_than_recursion_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    Path("a.png").write_bytes(b"x")
    found = list_files(tmp_path, READABLE).files
    os.remove("a.png")
    for _ in range(1500):  # pytest's own clearing away would recurse
        os.chdir("..")
        os.rmdir("d")
    assert found == (tmp_path.joinpath(*["d"] * 1500, "a.png"),)


def test_names_are_printable_and_others_stay_what_they_are():
    assert printable("Zoë/图.png") == "Zoë/图.png"
    assert printable(BAD) == r"caf\xe9.png"
    assert printable("a\x1b[31m\nerror: b") == r"a\x1b[31m\nerror: b"


@pytest.mark.parametrize("name", JUNK)
def test_junk(name):
    assert is_junk(name)


@pytest.mark.parametrize(
    "name", ["a.png", "._/../a.png", "_a.png", ".hidden.png", "MACOSX/a.png", "", "thumbs.db/a.png"]
)
def test_no_junk(name):
    assert not is_junk(name)


def test_folders_in_a_folder(tmp_path):
    for name in ("b", "a", "__MACOSX", os.fsdecode(b"\xe9")):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("x")
    found = list_folders(tmp_path)
    assert [path.name for path in found.files] == ["a", "b"]
    assert [(one.name, one.reason) for one in found.left] == [(r"\xe9", listing.NOT_UTF8)]
    assert list_folders(tmp_path / "none").files == ()


def test_skipped_csv_holds_any_name(tmp_path):
    write_skipped(tmp_path / "skipped.csv", [(BAD, "a\nb"), ("x,y", "z")])
    assert skipped(tmp_path) == {r"caf\xe9.png": r"a\nb", "x,y": "z"}


# --- every reader that lists ---

LISTS = {
    "folder": ("real", None),
    "genimage": ("sd/train/nature", None),
    "utkface": (".", None),
    "avlips": ("0_real", ".mp4"),
    "grid": ("s1", ".mpg"),
    "celebdf": ("Celeb-real", ".mp4"),
    "dfd": ("original_sequences/actors/c23/videos", ".mp4"),
}
"""Adapters that find files by listing a folder: the folder, and the ending where it is not pictures'."""
NAMED = {
    "aiface",
    "avdeepfake1m",
    "fakeavceleb",
    "lavdf",
    "deepfakebench",
    "dfdc",
    "dfdcp",
    "fairface",
    "fairface-parquet",
    "ffpp",
    "imagefolder",
    "purdue",
    "webdataset",
}
"""Adapters whose files are named by a list or an archive."""


def layout(adapter, source):
    """What an adapter needs beside the folder that is listed."""
    if adapter == "folder":
        (source / "fake").mkdir(parents=True)
    if adapter == "genimage":
        for part in ("train/ai", "train/nature", "val/ai", "val/nature"):
            (source / "sd" / part).mkdir(parents=True)
    if adapter == "utkface":
        put(source, "20_1_2_20170116220224657.JPG")
    if adapter == "celebdf":
        for name in ("Celeb-real", "YouTube-real", "Celeb-synthesis"):
            (source / name).mkdir(parents=True)
        (source / "List_of_testing_videos.txt").write_text("1 YouTube-real/00000.mp4\n")
    if adapter == "avlips":
        (source / "1_fake").mkdir(parents=True)
    if adapter == "grid":
        (source / "s2").mkdir(parents=True)
        (source / "s2" / "a.mpg").write_bytes(b"x")
    if adapter == "dfd":
        for name in ("original_sequences/actors", "manipulated_sequences/DeepFakeDetection"):
            (source / name / "c23" / "videos").mkdir(parents=True)


def test_every_adapter_is_sorted_into_those_that_list_and_those_that_do_not():
    assert set(LISTS) | NAMED == set(ADAPTERS.names())
    assert not set(LISTS) & NAMED


@pytest.mark.parametrize("adapter", LISTS)
def test_every_adapter_that_lists_names_what_it_leaves_out(adapter, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    layout(adapter, source)
    name, ending = LISTS[adapter]
    hostile_folder(source / name)
    items = list(ADAPTERS.create(adapter, {}).read(source))
    keys = {item.key: item.problem for item in items if item.problem}
    for left in {*REASONS, *OTHERS} - ({"c.mask.png", r"\xff\xfe"} if ending == ".mp4" else set()):
        assert any(key.endswith(left) for key in keys), left
    assert not any(is_junk(item.key) for item in items)
    if ending is None and adapter != "utkface":
        result = import_images(adapter, source, out)
        assert result.n_images == len(GOOD)
        assert {key.rsplit("/", 1)[-1] for key in skipped(out)} >= {*REASONS, *OTHERS}
        json.dumps(pq.read_table(result.manifest).to_pylist())


def test_a_generator_s_folder_whose_name_is_not_utf8(tmp_path):
    layout("genimage", tmp_path)
    (tmp_path / os.fsdecode(b"sd\xe9")).mkdir()
    (item,) = ADAPTERS.create("genimage", {}).read(tmp_path)
    assert (item.key, item.problem) == (r"sd\xe9", listing.NOT_UTF8)


def test_utkface_in_capitals_is_read(tmp_path):
    put(tmp_path / "in", "1_0_0_20161219140623097.JPG")
    assert import_images("utkface", tmp_path / "in", tmp_path / "out").n_images == 1


FREE = {
    "manifests/adapters/webdataset.py",
    "manifests/adapters/imagefolder.py",
    "manifests/adapters/import_parts.py",
    "manifests/adapters/dfdc.py",
    "manifests/adapters/genimage.py",
    "manifests/release/build.py",
    "manifests/release/checksums.py",
    "pipeline/commands/export.py",
    "pipeline/commands/inspection.py",
    "pipeline/commands/face_models.py",
    "pipeline/engine/run_directory.py",
    "pipeline/engine/runner.py",
    "pipeline/engine/shards.py",
    "pipeline/engine/attempts.py",
    "generators/training/images.py",
    "generators/training/sources.py",
    "attribute_models/detection/insightface_pack.py",
    "manifests/atomic.py",
    "pipeline/engine/progress_file.py",
    "pipeline/engine/markers.py",
    "pipeline/engine/shipped_files.py",
    "pipeline/commands/site/building.py",
    "pipeline/commands/site/pages.py",
}
"""Files that look for names of their own (shards, parts, tables, folders), not for other people's
pictures.
"""


def test_no_reader_lists_pictures_by_itself():
    found = set()
    for package in ("manifests", "generators", "attribute_models", "detector", "pipeline"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                lists = isinstance(node, ast.Attribute) and node.attr in (
                    "rglob",
                    "glob",
                    "iterdir",
                    "scandir",
                    "walk",
                    "listdir",
                )
                if lists and getattr(node.value, "id", "") != "ast":
                    found.add(path.relative_to(ROOT).as_posix())
    assert found - {"manifests/listing.py"} <= FREE
