"""`fairforge upload` and `download`: folders to and from object stores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from manifests.escaping import one_line
from manifests.release.remote import Sent, download, upload


def _told(what: str, sent: Sent, place: str) -> tuple[dict[str, Any], str]:
    text = f"{place}: {sent.files} files, {sent.sent} {what} now ({sent.size / 1e6:.1f} MB)"
    return {**asdict(sent), "place": place}, one_line(text)


def upload_folder(folder: Path, url: str) -> tuple[dict[str, Any], str]:
    """Send a folder to a URL; errors as `manifests.release.remote.upload`."""
    return _told("sent", upload(folder, url), url)


def download_folder(url: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Fetch a folder from a URL; errors as `manifests.release.remote.download`."""
    return _told("fetched", download(url, folder), str(folder))
