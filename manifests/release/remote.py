"""Folders to and from where `fsspec` reaches (S3, GCS, Azure, SFTP, ...): sent file by file, resumed by
digest.

What is there with the digest that `SHA256SUMS` names is not sent again. While an upload is on its way, what
has arrived stands in small lists below `.upload/`, one for each `BATCH` of files, so that the same command
goes on where it was; `SHA256SUMS` comes last, and says that all is there. A folder without that file gets
one from its content. Names that come back from there are joined as any other from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.atomic import atomic_path, digest_bytes, digest_file, write_text
from manifests.containment import inside
from manifests.errors import DataError, MissingError, PartialError, UsageError
from manifests.escaping import printable
from manifests.release.checksums import NAME, files_below, parse_checksums, read_checksums
from manifests.watching import watched

JOURNAL = ".upload"
BATCH = 64
EXTRA = "pip install 'fairforge[remote]'"


@dataclass(frozen=True)
class Sent:
    """files: of the folder. sent: how many of them went over now. size: their bytes."""

    files: int
    sent: int
    size: int


def _client_errors() -> tuple[type[Exception], ...]:
    """What a client raises: OSError, and botocore's own."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return (OSError,)
    return OSError, BotoCoreError, ClientError


@contextmanager
def _reached(url: str) -> Iterator[None]:
    """Errors of the other side become a PartialError: what has arrived is kept."""
    errors = _client_errors()
    try:
        yield
    except errors as error:
        why = f"cannot be reached or written ({type(error).__name__}: {printable(str(error))[:200]})"
        raise PartialError(
            printable(url), why, "check address and rights, then run the same command again: it goes on"
        ) from error


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL such as `s3://bucket/set`, and the path in it.

    Raises: MissingError: `fsspec`, or its package for this kind of URL, is not installed. UsageError: not a
    URL, or of a kind that nobody knows.
    """
    if "://" not in url:
        raise UsageError(
            printable(url), "is no URL", "give one such as s3://bucket/name; a folder can be copied"
        )
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingError("fsspec", "is not installed, and URLs need it", EXTRA) from error
    try:
        found, path = url_to_fs(url)
    except ImportError as error:
        raise MissingError(
            printable(url), f"needs a package ({printable(str(error))[:200]})", EXTRA
        ) from error
    except ValueError as error:
        why = f"is of no known kind ({printable(str(error))[:200]})"
        raise UsageError(printable(url), why, "give one such as s3://bucket/name") from error
    return found, str(path).rstrip("/")


def _sizes(system: Any, root: str) -> dict[str, int]:
    """Bytes of every file below `root`, by its name there."""
    try:
        found: Mapping[str, Mapping[str, Any]] = system.find(root, detail=True)
    except FileNotFoundError:
        return {}
    above = root.rstrip("/") + "/"
    return {
        name.removeprefix(above): int(facts.get("size") or 0)
        for name, facts in found.items()
        if name.startswith(above)
    }


def _known(system: Any, root: str, sizes: Mapping[str, int]) -> dict[str, str]:
    """Digests of what is there, by the lists that are there."""
    lists = sorted(name for name in sizes if name == NAME or name.startswith(f"{JOURNAL}/"))
    known: dict[str, str] = {}
    for name in lists:
        known |= parse_checksums(system.cat_file(f"{root}/{name}"), f"{root}/{name}")
    return known


def _text(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{sha}  {name}\n" for name, sha in digests.items()).encode()


def upload(folder: Path, url: str) -> Sent:
    """Send a folder, a release or a dataset, to a URL; what is there already is not sent again.

    Raises: MissingError: no such folder, or a package. UsageError: not a URL. DataError: a file is not the
    one that its `SHA256SUMS` names. PartialError: the other side cannot be reached; the same command goes
    on.
    """
    if not folder.is_dir():
        raise MissingError(printable(str(folder)), "is not a folder", "name a release, or another folder")
    system, root = file_system(url)
    named = (folder / NAME).is_file()
    digests = (
        read_checksums(folder)
        if named
        else {name: digest_file(folder / name) for name in files_below(folder)}
    )
    sent, size = 0, 0
    with _reached(url):
        sizes = _sizes(system, root)
        known = _known(system, root, sizes)
        batch: dict[str, str] = {}
        for name, sha in watched(digests.items(), "uploading", "files", total=len(digests)):
            path = inside(folder, name)
            if not path.is_file():
                raise DataError(
                    printable(str(path)), f"is not there, and {NAME} names it", "make the folder again"
                )
            if known.get(name) == sha and sizes.get(name) == path.stat().st_size:
                continue
            if named and digest_file(path) != sha:
                raise DataError(
                    printable(str(path)), f"is not the file that {NAME} names", "make the folder again"
                )
            _put(system, path, f"{root}/{name}")
            sent, size = sent + 1, size + path.stat().st_size
            batch[name] = sha
            if len(batch) == BATCH:
                _note(system, root, batch)
                batch = {}
        if batch:
            _note(system, root, batch)
        if sent or sizes.get(NAME) is None:
            system.pipe_file(f"{root}/{NAME}", _text(digests))
        if system.exists(f"{root}/{JOURNAL}"):
            system.rm(f"{root}/{JOURNAL}", recursive=True)
    return Sent(len(digests), sent, size)


def _put(system: Any, path: Path, place: str) -> None:
    system.mkdirs(place.rpartition("/")[0], exist_ok=True)
    system.put_file(str(path), place)


def _note(system: Any, root: str, batch: Mapping[str, str]) -> None:
    """Write down what has arrived."""
    text = _text(batch)
    system.mkdirs(f"{root}/{JOURNAL}", exist_ok=True)
    system.pipe_file(f"{root}/{JOURNAL}/{digest_bytes(text)[:16]}", text)


def download(url: str, folder: Path) -> Sent:
    """Fetch what was uploaded; files that are there with their digest are not fetched again.

    Raises: MissingError: there is no `SHA256SUMS` at the URL (the upload has not ended), or a package is
    not installed. UsageError: not a URL. DataError: a file that came is another one, or a name leads out of
    the folder. PartialError: the other side cannot be reached, or the disk is full; the same command goes
    on.
    """
    system, root = file_system(url)
    fetched, size = 0, 0
    with _reached(url):
        if not system.exists(f"{root}/{NAME}"):
            raise MissingError(
                printable(url), f"has no {NAME}", "end its upload first: fairforge upload FOLDER URL"
            )
        digests = parse_checksums(system.cat_file(f"{root}/{NAME}"), f"{url}/{NAME}")
        for name, sha in watched(digests.items(), "downloading", "files", total=len(digests)):
            path = inside(folder, name)
            if path.is_file() and digest_file(path) == sha:
                continue
            with atomic_path(path) as temporary:
                system.get_file(f"{root}/{name}", str(temporary))
                if digest_file(temporary) != sha:
                    raise DataError(
                        printable(f"{url}/{name}"), f"is not the file that {NAME} names", "upload it again"
                    )
                size += temporary.stat().st_size
            fetched += 1
        write_text(folder / NAME, _text(digests).decode())
    return Sent(len(digests), fetched, size)
