"""Fitted cells, and latent directions, kept between runs: where `FAIRFORGE_CACHE` names a folder, a fit with
the same key is taken from there.

The key is that of the stage: generator, attribute model, taxonomy, cells, how they are fitted, seed, and this
package's version.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from manifests.atomic import canonical_json, digest_bytes, digest_value, make_folder, write_bytes
from manifests.environment import environment
from manifests.errors import UsageError, UserError, disk_errors
from pipeline.engine.run_directory import read_json


def _folder(key: str, kind: str) -> Path | None:
    from importlib.metadata import version

    root = environment().cache
    if root is None:
        return None
    return root.expanduser() / kind / digest_value({"stage": key, "fairforge": version("fairforge")})


def take(key: str, files: Sequence[Path], kind: str, check: Callable[[], object]) -> bool:
    """Write `files` from the cache; False where it has not all of them whole, or what it has is refused.

    Args:
        key: of the fit.
        files: to write; they have the same names in the cache.
        kind: of fit.
        check: reads the files once they are written; raises a `UserError` where they cannot be used.

    Raises:
        UsageError: the cache is no folder, or cannot be written: said before anything is fitted.
    """
    folder = _folder(key, kind)
    if folder is None:
        return False
    try:
        make_folder(folder.parent)
    except UsageError as error:
        raise UsageError(
            error.what, error.why, "set FAIRFORGE_CACHE to a folder that can be written, or unset it"
        ) from error
    digests = read_json(folder / "digests.json")
    if not digests:
        return False
    contents = []
    for path in files:
        try:
            contents.append((folder / path.name).read_bytes())
        except OSError:
            return False
        if digest_bytes(contents[-1]) != digests.get(path.name):
            return False
    for path, content in zip(files, contents, strict=True):
        write_bytes(path, content)
    try:
        check()
    except UserError:
        for path in files:
            path.unlink(missing_ok=True)
        return False
    return True


def keep(key: str, files: Sequence[Path], kind: str) -> None:
    """Put `files` into the cache in the place of what is there, their digests last.

    Raises:
        UsageError: the folder cannot be written. PartialError: the disk is full.
    """
    folder = _folder(key, kind)
    if folder is None:
        return
    digests = {}
    with disk_errors(folder):
        for name in ("digests.json", *(path.name for path in files)):
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
    for path in files:
        content = path.read_bytes()
        digests[path.name] = digest_bytes(content)
        write_bytes(folder / path.name, content)
    write_bytes(folder / "digests.json", canonical_json(digests).encode())
