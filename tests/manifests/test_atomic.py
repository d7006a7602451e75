"""Files are whole or not there: a full disk, an interrupted write, a refused permission."""

import errno
import hashlib
import json
import os

import pytest

from manifests import atomic
from manifests.errors import PartialError, UsageError


def no_space(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def only(folder, *names):
    return sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_write_replaces_the_old_file(tmp_path):
    path = tmp_path / "deep" / "a.bin"
    atomic.write_bytes(path, b"old")
    atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert only(path.parent, "a.bin")
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_at_fsync_keeps_the_old_file(tmp_path, monkeypatch, code):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(_fd):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic, "_fsync", full)
    with pytest.raises(PartialError) as caught:
        atomic.write_bytes(path, b"new")
    assert caught.value.exit_code == 5
    assert "disk is full" in caught.value.why
    assert path.read_bytes() == b"old"
    assert only(tmp_path, "a.bin")


def test_full_disk_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def half_written():
        with atomic.atomic_path(path) as temporary:
            temporary.write_bytes(b"ne")
            no_space()

    with pytest.raises(PartialError):
        half_written()
    assert path.read_bytes() == b"old"
    assert only(tmp_path, "a.bin")


def test_full_disk_when_the_temporary_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.tempfile, "mkstemp", no_space)
    with pytest.raises(PartialError):
        atomic.write_bytes(tmp_path / "a.bin", b"new")
    assert only(tmp_path)


def test_full_disk_at_rename(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.os, "replace", no_space)
    with pytest.raises(PartialError):
        atomic.write_bytes(tmp_path / "a.bin", b"new")
    assert only(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_nothing(tmp_path, error):
    path = tmp_path / "a.bin"

    def interrupted():
        with atomic.atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert only(tmp_path)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_refused_folder_is_a_usage_error(tmp_path, monkeypatch, code):
    def refused(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic.tempfile, "mkstemp", refused)
    with pytest.raises(UsageError, match="cannot be written"):
        atomic.write_bytes(tmp_path / "a.bin", b"new")


def test_other_os_errors_stay_what_they_are(tmp_path, monkeypatch):
    def broken(_fd):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(atomic, "_fsync", broken)
    with pytest.raises(OSError, match="input/output"):
        atomic.write_bytes(tmp_path / "a.bin", b"new")


def test_the_folder_in_the_way_of_a_file(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(UsageError, match="is no place for it"):
        atomic.write_bytes(tmp_path / "a", b"new")
    assert only(tmp_path, "a")


def test_json_is_sorted_and_refuses_nan(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_json(path, {"b": [1, None], "a": "é"})
    assert path.read_text(encoding="utf-8") == '{\n "a": "é",\n "b": [\n  1,\n  null\n ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8"))["b"] == [1, None]


def test_digests_equal_hashlib(tmp_path):
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    assert atomic.digest_file(tmp_path / "a") == atomic.digest_bytes(data) == hashlib.sha256(data).hexdigest()
    assert atomic.digest_value({"b": 1, "a": 2}) == atomic.digest_value({"a": 2, "b": 1})
    assert atomic.digest_value({"a": 1}) != atomic.digest_value({"a": "1"})
