"""`SHA256SUMS`: every file of a release, in the form that `sha256sum -c` reads."""

from __future__ import annotations

from pathlib import Path

from manifests.atomic import digest_file, write_text
from manifests.errors import DataError

NAME = "SHA256SUMS"


def files_below(folder: Path) -> list[str]:
    """Relative POSIX paths of all files but the checksum file, sorted."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / NAME
    )


def links_below(folder: Path) -> list[str]:
    """Relative POSIX paths of all links, to files or folders, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink())


def write_checksums(folder: Path) -> dict[str, str]:
    """Write `SHA256SUMS`; returns sha256 by relative path."""
    digests = {name: digest_file(folder / name) for name in files_below(folder)}
    write_text(folder / NAME, "\n".join(f"{sha}  {name}" for name, sha in digests.items()))
    return digests


def read_checksums(folder: Path) -> dict[str, str]:
    """sha256 by relative path.

    Raises:
        DataError: a line is not `<64 hex>  <path>`.
    """
    return parse_checksums((folder / NAME).read_bytes(), str(folder / NAME))


def parse_checksums(data: bytes, where: str) -> dict[str, str]:
    """The same from the bytes of such a file, which is called `where` in messages."""
    out = {}
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(where, f"is not text ({error})", "fetch the release again") from error
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        sha, gap, name = line[:64], line[64:66], line[66:]
        if gap != "  " or len(sha) != 64 or not name:
            raise DataError(f"{where} line {number}", "is not `<sha256>  <path>`", "fetch the release again")
        out[name] = sha
    return out
