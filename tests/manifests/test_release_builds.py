"""Releases: interrupted and impossible builds leave what was there."""

import errno
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from manifests.errors import DataError, PartialError, UsageError
from manifests.release import ReleaseInfo, build, build_release, check_release
from tests.manifests.release_fixture import INFO, bytes_below


class Stop(Exception):
    """Something that no code expects."""


@pytest.mark.parametrize("where", ["card", "write_checksums", "croissant", "image_bytes"])
def test_an_interrupted_build_leaves_the_older_release_and_no_half_folder(
    dataset, release, monkeypatch, where
):
    before = bytes_below(release.parent)

    def stop(*args, **kwargs):
        raise Stop

    monkeypatch.setattr(build, where, stop)
    with pytest.raises(Stop):
        build_release(dataset, release, INFO.model_copy(update={"version": "2.0.0"}))
    assert bytes_below(release.parent) == before
    assert [p.name for p in release.parent.iterdir()] == ["release"]
    assert check_release(release) == []


@pytest.mark.parametrize("exists", [True, False], ids=["over an older one", "new"])
def test_full_disk(dataset, finished, tmp_path, monkeypatch, exists):
    place, done = tmp_path / "place", []
    place.mkdir()
    if exists:
        shutil.copytree(finished, place / "r")
    before, write = bytes_below(place), Path.write_bytes

    def fill_up(target, data):
        done.append(target)
        if len(done) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(target, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(PartialError) as caught:
        build_release(dataset, place / "r", INFO)
    assert "disk is full" in caught.value.why
    assert caught.value.exit_code == 5
    assert len(done) == 21
    assert bytes_below(place) == before
    assert {p.name for p in place.iterdir()} == ({"r"} if exists else set())


def test_older_release_is_back_when_the_rename_fails(dataset, release, monkeypatch):
    before, rename = bytes_below(release), type(release).rename

    def refuse(path, target):
        if path.name.endswith(".building"):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(type(release), "rename", refuse)
    with pytest.raises(UsageError, match="cannot be written"):
        build_release(dataset, release, INFO.model_copy(update={"version": "2.0.0"}))
    assert bytes_below(release) == before


def test_kill_between_the_two_renames_is_mended_by_the_next_build(dataset, release, monkeypatch):
    before = bytes_below(release)
    release.rename(release.with_name(".release.old"))
    monkeypatch.setattr(build, "card", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_release(dataset, release, INFO)
    assert bytes_below(release) == before


def test_newer_release_replaces_the_older_wholly(dataset, release):
    (release / "images" / "left-over.jpg").write_text("of the older one")
    build_release(dataset, release, INFO.model_copy(update={"version": "2.0.0"}))
    assert check_release(release) == []
    assert "Version 2.0.0" in (release / "README.md").read_text()
    assert [p.name for p in release.parent.iterdir()] == ["release"]


def test_what_is_not_a_release_is_not_replaced(dataset, tmp_path):
    (tmp_path / "home" / "thesis").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    for name in ("home", "file"):
        with pytest.raises(UsageError, match="is not a release"):
            build_release(dataset, tmp_path / name, INFO)
    assert (tmp_path / "home" / "thesis").is_dir()
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert build_release(dataset, tmp_path / "empty", INFO).n_images == 48


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_dataset_that_lacks_a_file(dataset, tmp_path, kind):
    shutil.copytree(dataset, tmp_path / "d")
    gone = next(p for p in sorted((tmp_path / "d" / kind).rglob("*")) if p.is_file())
    gone.unlink()
    with pytest.raises(DataError, match=gone.name):
        build_release(tmp_path / "d", tmp_path / "r", INFO)
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_dataset_whose_image_was_changed_is_not_given_away(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "d")
    a, b = sorted((tmp_path / "d" / "images").rglob("*.jpg"))[:2]
    shutil.copyfile(a, b)
    with pytest.raises(DataError, match="sha256 differs"):
        build_release(tmp_path / "d", tmp_path / "r", INFO)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("date", ["31.01.2026", "2026-1-1", "2026-02-30", "yesterday"])
def test_date_must_be_a_day_of_the_calendar(date):
    with pytest.raises(ValidationError, match=r"YYYY-MM-DD|out of range"):
        ReleaseInfo(**{**INFO.model_dump(), "date": date})
