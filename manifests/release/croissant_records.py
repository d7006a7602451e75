"""Records of a release through `mlcroissant`, compared with the rows of its manifest: the only proof that
croissant.json works.

Nothing is fetched: `check_croissant` has made sure that every file object is a file of the release.
`mlcroissant` is optional.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from manifests.schema import Finding
from manifests.store import read_table

MOST = 1000
"""Records that are made and compared."""
PREFIX = "images/"
READER_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    OSError,
)
"""What `mlcroissant` and what it stands on (pandas, rdflib) raise on a document that they cannot use, by
their bases.
"""


def records_reason() -> str | None:
    """Why records cannot be made here, and what to install; None where they can."""
    if importlib.util.find_spec("mlcroissant") is None:
        return "mlcroissant is not installed; pip install 'fairforge[release]'"
    return None


@contextmanager
def _without_advice() -> Iterator[None]:
    """No lines of `mlcroissant` about properties that it recommends: a release without a date has none on
    purpose.
    """
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def plain(value: Any) -> Any:
    """A value of a record as the manifest has it: text instead of bytes, null instead of NaN."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if isinstance(value, float) and math.isnan(value) else value


def records_of(folder: Path, most: int = MOST) -> list[dict[str, Any]]:
    """The first records of the record set `images`, by column of the manifest.

    Args:
        folder: of a release.
        most: records, at most.

    Raises:
        Exception: one of `READER_ERRORS`, or what `mlcroissant` derives from `Exception` itself.
    """
    with warnings.catch_warnings(), _without_advice():
        warnings.simplefilter("ignore")
        import mlcroissant

        dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
        found = list(islice(iter(dataset.records("images")), most))
    return [{name.removeprefix(PREFIX): plain(value) for name, value in record.items()} for record in found]


def check_records(folder: Path) -> list[Finding]:
    """Do the records that `mlcroissant` makes equal the rows? No finding where it is not installed."""
    if records_reason() is not None:
        return []
    from mlcroissant import GenerationError, ValidationError

    try:
        records = records_of(folder)
    except (*READER_ERRORS, GenerationError, ValidationError) as error:
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return [Finding("croissant-records", f"mlcroissant makes no records of it ({str(cause)[:300]})")]
    rows = read_table(folder / "manifest.parquet").slice(0, MOST).to_pylist()
    if len(records) != len(rows):
        return [Finding("croissant-records", f"mlcroissant makes {len(records)} records of {len(rows)} rows")]
    wrong = [
        row["image_id"]
        for record, row in zip(records, rows, strict=True)
        if any(plain(row.get(name)) != value for name, value in record.items())
    ]
    message = "a record that mlcroissant makes differs from its row"
    return [Finding("croissant-records", message, len(wrong), tuple(wrong[:5]))] if wrong else []
