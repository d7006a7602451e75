"""Names from outside stay below their folder, whatever they are made of and wherever links lead."""

from pathlib import Path

import pytest

from manifests.containment import bad_name, inside
from manifests.errors import DataError

LEAVING = [
    "../a",
    "a/../../b",
    "/etc/passwd",
    "",
    ".",
    "..",
    "./",
    "a\\b",
    "..\\a",
    "a\0b",
    "a/" + "x" * 256,
    "\ud800",
    "a/..",
    "//a",
]


@pytest.mark.parametrize("name", LEAVING)
@pytest.mark.parametrize("links", [False, True])
def test_a_name_that_leaves_is_refused(tmp_path: Path, name: str, links: bool):
    with pytest.raises(DataError, match="is no plain path below") as caught:
        inside(tmp_path, name, links=links)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["a.jpg", "images/a b.jpg", "images/..a.jpg", "x/y/z.png", "é.png", "12:30/a.png", "caf\udce9"]
)
def test_a_plain_name_is_joined(tmp_path: Path, name: str):
    assert inside(tmp_path, name) == tmp_path / name


def test_links_are_followed_inside_and_refused_outside(tmp_path: Path):
    folder, outside = tmp_path / "m", tmp_path / "outside"
    (folder / "images").mkdir(parents=True)
    outside.mkdir()
    (outside / "a.jpg").touch()
    (folder / "images" / "own.jpg").touch()
    (folder / "images" / "within.jpg").symlink_to("own.jpg")
    (folder / "images" / "file.jpg").symlink_to("../../outside/a.jpg")
    (folder / "images" / "none.jpg").symlink_to("../../outside/none.jpg")
    (folder / "images" / "loop.jpg").symlink_to("loop.jpg")
    (folder / "away").symlink_to(outside)
    (folder / "around").symlink_to(Path("..") / "m" / "images")
    for name in ("images/within.jpg", "around/own.jpg"):
        assert inside(folder, name).exists()
    for name in ("images/file.jpg", "images/none.jpg", "away/a.jpg", "away/new/deeper.jpg"):
        with pytest.raises(DataError, match="is a link that leads out of"):
            inside(folder, name)
        assert inside(folder, name, links=True) == folder / name
    assert not inside(folder, "images/loop.jpg").is_file()


def test_a_folder_that_is_a_link_itself_is_trusted(tmp_path: Path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.jpg").touch()
    (tmp_path / "m").symlink_to("disk")
    assert inside(tmp_path / "m", "a.jpg").is_file()


def test_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").symlink_to("/")
    assert inside(Path(), "a/b") == Path("a/b")
    with pytest.raises(DataError, match="leads out"):
        inside(Path(), "x/etc")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "...",
        "a/b",
        "a\\b",
        "a\0",
        "a\n",
        "\x1b[2J",
        "a\x9b",
        "\ud800",
        "x" * 256,
        "é" * 128,
    ],
)
def test_no_name_of_a_file(name: str):
    assert bad_name(name)


@pytest.mark.parametrize("name", ["a", "0f3a", "a b", "é", "a..b", "..a", ".a", "x" * 255, "video:3", "人"])
def test_a_name_of_a_file(name: str):
    assert not bad_name(name)
