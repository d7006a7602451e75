"""What the giver says of a release, and what building one gives back."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator


class ReleaseInfo(BaseModel):
    """Name, version, ISO date, creators, licence, description, citation, url.

    date: of publication. It is given, never the clock's nor made up: where it is empty, no file of the release says one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    date: str = ""
    creators: tuple[str, ...]
    licence: str
    description: str
    citation: str = ""
    url: str = ""

    @field_validator("date")
    @classmethod
    def _iso(cls, value: str) -> str:
        if not value:
            return value
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            raise ValueError("the date must be of the form YYYY-MM-DD")
        datetime.date.fromisoformat(value)  # a ValueError for a day that no calendar has
        return value

    def cite(self) -> str:
        """The citation, or one made of creators, name, version and, where there is a date, year."""
        year = f" ({self.date[:4]})" if self.date else ""
        return self.citation or f"{', '.join(self.creators)}: {self.name}, version {self.version}{year}."


@dataclass(frozen=True)
class ReleaseResult:
    """Where the release is, how many images it holds, sha256 by file name."""

    path: Path
    n_images: int
    digests: Mapping[str, str]
