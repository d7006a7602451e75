"""Every adapter whose files a list names says which files of the folder it does not name: no file vanishes in
silence.
"""

import os

import pytest

from manifests.adapters import ADAPTERS, import_images
from tests.manifests.adapter_cases import CASES as PICTURE_CASES
from tests.manifests.adapter_cases import ROWS, put, table
from tests.manifests.adapter_files import skipped
from tests.manifests.clip_cases import CLIP_CASES
from tests.manifests.clip_cases import put as put_clip
from tests.manifests.test_file_listing import LISTS

CASES = {**PICTURE_CASES, **CLIP_CASES}
STRAYS = {
    "folder": ("x/s.png", "deep/er/t.jpg"),
    "imagefolder": ("train/x/s.png", "other/t.webp"),
    "fairface": ("val/s.jpg", "val/deep/t.png"),
    "purdue": ("x/s.png", "t.png"),
    "dfdc": ("part_0/s.mp4", "part_0/frames/t"),
    "dfdcp": ("method_A/x/s.mp4", "method_A/x/frames/t"),
    "ffpp": ("original_sequences/youtube/c23/videos/s.mp4", "manipulated_sequences/Deepfakes/c23/frames/t"),
    "fakeavceleb": ("RealVideo-RealAudio/x/s.mp4", "FakeVideo-FakeAudio/t.avi"),
    "avdeepfake1m": ("train/x/s.mp4", "train/deep/er/t.mp4"),
    "lavdf": ("train/s.mp4", "dev/t.mp4"),
}
"""Files that no list names, by adapter; a folder of frames has no ending."""
VIDEOS = ("dfdc", "dfdcp", "ffpp")
LISTS_ALONE = {"aiface", "deepfakebench", "fairface-parquet"}
"""The source is the list, which names files anywhere below its folder: what else lies there is other
datasets'.
"""
ARCHIVES = {"webdataset"}
"""See test_webdataset_adapter."""


def stray(path):
    if path.suffix == "":
        put(path / "0.png")
    elif path.suffix in (".mp4", ".avi"):
        put_clip(path)
    else:
        put(path)


def key_of(name, path):
    """What `skipped.csv` calls a file: a video, and the folder of its frames, by where the video is, without
    its ending.
    """
    if name not in VIDEOS:
        return path
    videos = "/videos/" if name == "ffpp" else "/"
    return path.removesuffix(".mp4").replace("/frames/", videos)


def test_every_adapter_is_of_one_kind():
    kinds = [set(LISTS) - {"folder"}, set(STRAYS), LISTS_ALONE, ARCHIVES]
    assert set().union(*kinds) == set(ADAPTERS.names())
    assert sum(map(len, kinds)) == len(ADAPTERS.names())


@pytest.mark.parametrize("name", STRAYS)
def test_files_that_no_list_names_are_in_skipped_csv(name, tmp_path):
    case, out = CASES[name][0], tmp_path / "out"
    root = tmp_path / "source"
    case.write(root, ROWS)
    for path in STRAYS[name]:
        stray(root / path)
    params = {key: value for key, value in case.given(root).items() if key != "taxonomy"}
    result = import_images(name, root, out, case.taxonomy, params)
    assert result.n_images >= len(ROWS)
    assert set(skipped(out)) == {key_of(name, path) for path in STRAYS[name]}
    assert all("is not named by" in why for why in skipped(out).values())
    again = import_images(name, root, tmp_path / "again", case.taxonomy, params)
    assert again.manifest.read_bytes() == result.manifest.read_bytes()


@pytest.mark.parametrize("name", STRAYS)
def test_what_nobody_can_read_is_in_skipped_csv_too(name, tmp_path):
    case, root = CASES[name][0], tmp_path / "source"
    case.write(root, ROWS)
    folder = (root / STRAYS[name][0]).parent
    folder.mkdir(parents=True, exist_ok=True)
    ending = (root / STRAYS[name][0]).suffix
    (folder / f"broken{ending}").symlink_to(tmp_path / "nowhere")
    (folder / f"bad{os.fsdecode(bytes([233]))}{ending}").write_bytes(b"x")
    reasons = {item.key.rpartition("/")[2]: item.problem for item in case.read(root) if item.problem}
    assert reasons == {
        f"broken{ending}": "is a broken link",
        rf"bad\xe9{ending}": "its name is not UTF-8: rename it",
    }


@pytest.mark.parametrize("name", ["folder", "purdue"])
def test_beside_a_list_that_is_itself_the_source_nothing_is_looked_at(name, tmp_path):
    (case,) = CASES[name]
    case.write(tmp_path, ROWS)
    put(tmp_path / "x/s.png")
    items = ADAPTERS.create(name, {"taxonomy": case.taxonomy}).read(tmp_path / case.lists[0])
    assert [item.problem for item in items] == [None] * len(ROWS)


def test_a_row_that_cannot_be_used_names_its_file_all_the_same(tmp_path):
    for k, name in enumerate("abc"):
        put(tmp_path / f"{name}.png", k)
    table(
        tmp_path / "labels.csv", ("path", "label"), [("a.png", "0"), ("./b.png", "maybe"), ("../c.png", "1")]
    )
    reasons = {item.key: item.problem for item in ADAPTERS.create("folder").read(tmp_path) if item.problem}
    assert set(reasons) == {"./b.png", "../c.png", "c.png"}
    assert reasons["c.png"] == "is not named by labels.csv"


def test_masks_and_links_beside_named_pictures(tmp_path):
    """A mask that a list names is a picture; a folder that a list goes through by a link is read."""
    elsewhere = tmp_path / "elsewhere"
    for k, path in enumerate(("in/a.png", "in/a.mask.png", "in/b.png", "in/b.mask.png")):
        put(tmp_path / path, k)
    put(elsewhere / "c.png", 9)
    for name in ("linked", "unused"):
        (tmp_path / "in" / name).symlink_to(elsewhere)
    table(
        tmp_path / "in/labels.csv",
        ("path", "label"),
        [(name, "0") for name in ("a.png", "b.png", "b.mask.png", "linked/c.png")],
    )
    assert import_images("folder", tmp_path / "in", tmp_path / "out").n_images == 4
    assert skipped(tmp_path / "out") == {
        "a.mask.png": "is the mask of a.png",
        "unused": "is a link to a folder, which is not followed",
    }


def test_what_the_import_writes_into_the_source_is_none_of_it(tmp_path):
    case = CASES["folder"][0]
    case.write(tmp_path, ROWS)
    put(tmp_path / "s.png")
    for out in (tmp_path / "m", tmp_path / "m"):
        assert import_images("folder", tmp_path, out).n_skipped == 1
        assert set(skipped(out)) == {"s.png"}


def test_hundreds_of_files_beside_a_short_list_are_one_warning(tmp_path):
    case = CASES["folder"][0]
    case.write(tmp_path / "in", ROWS)
    for k in range(300):
        (tmp_path / "in" / f"s{k}.png").write_bytes(b"")
    result = import_images("folder", tmp_path / "in", tmp_path / "out")
    assert result.n_skipped == 300
    assert len(result.warnings) <= 4
    assert any("is not named by labels.csv" in line for line in result.warnings)
