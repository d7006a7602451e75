"""Days as text."""

from __future__ import annotations

import datetime
import re


def iso_date(value: str) -> str:
    """A day as YYYY-MM-DD, or empty; as pydantic wants the check of a field.

    Raises:
        ValueError: of another form, or a day that no calendar has.
    """
    if value:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            raise ValueError("the date must be of the form YYYY-MM-DD")
        datetime.date.fromisoformat(value)
    return value
