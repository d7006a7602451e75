"""`fairforge docs`: build the site where it is missing or older than its sources, and show it in a
browser.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from manifests.atomic import make_folder
from manifests.errors import DataError, MissingError, UsageError
from manifests.escaping import one_line
from pipeline.engine.shipped_files import ROOT, shipped_root

NEEDS = ("mkdocs", "material", "mkdocstrings")
HOOKS = ROOT / "pipeline" / "cli" / "site_hooks.py"
"""What mkdocs runs, by its path, while it builds: it knows the commands, which lie a floor above this."""
MARK = "sitemap.xml"
"""A file that every built site has: what lies in the way of a site may be replaced only by another."""


def _sources() -> Iterator[Path]:
    yield from (file for file in (shipped_root() / "docs").rglob("*") if file.is_file())
    yield from (*shipped_root().glob("*.md"), shipped_root() / "mkdocs.yml")
    for package in ("manifests", "generators", "attribute_models", "detector", "nn", "pipeline"):
        yield from (file for file in (ROOT / package).rglob("*.py"))


def is_current(out: Path) -> bool:
    """Whether `out` holds a site that is newer than everything it is made of."""
    mark = out / MARK
    return mark.is_file() and mark.stat().st_mtime >= max(file.stat().st_mtime for file in _sources())


class _Warnings(logging.Handler):
    """Keeps what mkdocs and its plugins warn of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def build_site(out: Path) -> Path:
    """Build the site into `out` and return its first page. What mkdocs warns of is an error, such as a link
    without goal.

    Raises:
        MissingError: mkdocs is not installed. UsageError: `out` holds something that is no site.
        DataError: a document has an error; all are listed.
    """
    if any(find_spec(name) is None for name in NEEDS):
        raise MissingError("fairforge docs", "mkdocs is not installed", "pip install 'fairforge[docs]'")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UsageError(
            str(out), "holds something that is no site", "choose an empty or a new folder as --out"
        )
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config
    from mkdocs.exceptions import Abort, ConfigurationError

    make_folder(out)
    warned = _Warnings()
    logger = logging.getLogger("mkdocs")
    logger.addHandler(warned)
    try:
        config: Any = load_config(
            str(shipped_root() / "mkdocs.yml"), site_dir=os.path.abspath(out), hooks=[str(HOOKS)]
        )
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    except (Abort, ConfigurationError) as error:
        warned.said.append(str(error))
    finally:
        logger.removeHandler(warned)
    if warned.said:
        (out / MARK).unlink(missing_ok=True)
        shutil.rmtree(out)
        raise DataError(
            str(shipped_root() / "docs"), "\n  " + "\n  ".join(warned.said), "mend these documents"
        )
    return out / "index.html"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def server_of(site: Path) -> ThreadingHTTPServer:
    """A server of the site for this machine alone, at a free port; the site's search needs one (no browser
    searches `file:`).
    """
    return ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))


def docs(out: Path, fresh: bool = False, show: bool = True) -> Path:
    """The site's first page, built where needed; with `show`, served and opened until Ctrl-C.

    Args:
        out: the site's folder.
        fresh: build it although it is there.
        show: serve it and open a browser.

    Raises:
        MissingError, UsageError, DataError: see `build_site`.
    """
    if fresh or not is_current(out):
        build_site(out)
    if show:
        import sys
        import webbrowser

        with server_of(out) as server:
            address = f"http://127.0.0.1:{server.server_address[1]}/"
            print(one_line(f"{address} until Ctrl-C"), file=sys.stderr)
            webbrowser.open(address)
            server.serve_forever()
    return out / "index.html"
