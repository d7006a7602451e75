"""`skipped.csv`: what was left out of a set of pictures, one line each with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from manifests.atomic import write_text
from manifests.escaping import csv_text, printable


def write_skipped(path: Path, skipped: Iterable[tuple[str, str]]) -> None:
    """Write (key, reason) of every item that gave no picture as CSV with a head, atomically.

    Characters that no terminal or UTF-8 file can hold are escaped.
    """
    rows = ((printable(key), printable(reason)) for key, reason in skipped)
    write_text(path, csv_text([("key", "reason"), *rows]))
