"""`skipped.csv`: what was left out of a set of pictures, one line each with its reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from manifests.atomic import write_text
from manifests.listing import printable


def write_skipped(path: Path, skipped: Iterable[tuple[str, str]]) -> None:
    """Write (key, reason) of every item that gave no picture as CSV with a head, atomically.

    Characters that no terminal or UTF-8 file can hold are escaped.
    """
    text = io.StringIO()
    rows = ((printable(key), printable(reason)) for key, reason in skipped)
    csv.writer(text, lineterminator="\n").writerows([("key", "reason"), *rows])
    write_text(path, text.getvalue())
