"""Folders to and from object stores: resumed by digest, nothing sent twice, nothing taken that leads out;
on S3 too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manifests.errors import DataError, MissingError, PartialError, UsageError
from manifests.release import remote
from manifests.release.checksums import NAME, write_checksums

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A release of 150 small files."""
    out = tmp_path / "release"
    for k in range(150):
        path = out / "images" / f"{k % 7}" / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"picture {k}".encode())
    write_checksums(out)
    return out


@pytest.fixture
def url() -> Iterator[str]:
    system = fsspec.filesystem("memory")
    yield "memory://bucket/set"
    if system.exists("/bucket"):
        system.rm("/bucket", recursive=True)


def _tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_there_and_back_and_nothing_is_sent_twice(folder: Path, url: str, tmp_path: Path) -> None:
    assert remote.upload(folder, url).sent == 150
    assert remote.upload(folder, url).sent == 0
    assert remote.download(url, tmp_path / "back").sent == 150
    assert _tree(tmp_path / "back") == _tree(folder)
    (tmp_path / "back" / "images" / "0" / "0.jpg").write_bytes(b"changed")
    assert remote.download(url, tmp_path / "back").sent == 1
    assert _tree(tmp_path / "back") == _tree(folder)


def test_an_upload_that_breaks_off_goes_on(
    folder: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, arrived = remote._put, []

    def breaking(system: object, path: Path, place: str) -> None:
        if len(arrived) == 100:
            raise ConnectionResetError("the other side is gone")
        arrived.append(place)
        put(system, path, place)

    monkeypatch.setattr(remote, "_put", breaking)
    with pytest.raises(PartialError, match="the other side is gone"):
        remote.upload(folder, url)
    with pytest.raises(MissingError, match="has no SHA256SUMS"):
        remote.download(url, tmp_path / "back")
    monkeypatch.setattr(remote, "_put", put)
    assert remote.upload(folder, url).sent == 150 - remote.BATCH  # whole lists of what arrived are gone by
    system = fsspec.filesystem("memory")
    assert not [name for name in system.find("/bucket") if "/.upload" in name]
    remote.download(url, tmp_path / "back")
    assert _tree(tmp_path / "back") == _tree(folder)


def test_a_new_version_sends_what_changed(folder: Path, url: str) -> None:
    remote.upload(folder, url)
    (folder / "images" / "1" / "1.jpg").write_bytes(b"picture X")  # as long as before
    write_checksums(folder)
    assert remote.upload(folder, url).sent == 1


def test_what_is_not_as_named_is_refused(folder: Path, url: str, tmp_path: Path) -> None:
    (folder / "images" / "2" / "2.jpg").write_bytes(b"another")
    with pytest.raises(DataError, match="is not the file that SHA256SUMS names"):
        remote.upload(folder, url)
    write_checksums(folder)
    remote.upload(folder, url)
    system = fsspec.filesystem("memory")
    system.pipe_file("/bucket/set/images/3/3.jpg", b"swapped")
    with pytest.raises(DataError, match="is not the file that SHA256SUMS names"):
        remote.download(url, tmp_path / "back")
    system.pipe_file(f"/bucket/set/{NAME}", f"{'0' * 64}  ../out.txt\n".encode())
    with pytest.raises(DataError, match="no plain path"):
        remote.download(url, tmp_path / "back")
    assert not (tmp_path / "out.txt").exists()


def test_odd_places_are_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no URL"):
        remote.upload(folder, str(tmp_path))
    with pytest.raises(UsageError, match="no known kind"):
        remote.upload(folder, "nobody://x/y")
    with pytest.raises(MissingError, match="not a folder"):
        remote.upload(tmp_path / "none", "memory://x/y")


def test_s3(folder: Path, tmp_path: Path) -> None:
    """The program as a user runs it, on a server that speaks S3."""
    pytest.importorskip("s3fs")
    code = (
        "import boto3, sys, time\nfrom moto.server import ThreadedMotoServer\n"
        "server = ThreadedMotoServer(ip_address='127.0.0.1', port=0)\nserver.start()\n"
        "host, port = server.get_host_and_port()\nurl = f'http://127.0.0.1:{port}'\n"
        "boto3.client('s3', endpoint_url=url, region_name='us-east-1').create_bucket(Bucket='faces')\n"
        "print(url, flush=True)\nsys.stdin.read()\n"
    )
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    environment = {**os.environ, **keys}
    server = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        environment["AWS_ENDPOINT_URL"] = next(line.strip() for line in lines if line.startswith("http://"))

        def program(*arguments: str) -> dict[str, object]:
            command = [sys.executable, "-m", "pipeline", *arguments, "--json"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return dict(json.loads(done.stdout))

        assert program("upload", str(folder), "s3://faces/set")["sent"] == 150
        assert program("upload", str(folder), "s3://faces/set")["sent"] == 0
        assert program("download", "s3://faces/set", str(tmp_path / "back"))["sent"] == 150
        assert _tree(tmp_path / "back") == _tree(folder)
    finally:
        server.communicate("", timeout=20)
