"""What the giver says of a release, and what building one gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator

from manifests.dates import iso_date
from manifests.release.withdrawal import Withdrawn


class ReleaseInfo(BaseModel):
    """Name, version, ISO date, creators, licence, description, citation, url, contact, withdrawn.

    contact: where one asks to have an image taken out. withdrawn: entries `ID` or `ID: why`; see
    `manifests.release.withdrawal`. date: of publication. It is given, never the clock's nor made up: where it
    is empty, no file of the release says one.
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
    contact: str = ""
    withdrawn: Withdrawn = ()

    _iso = field_validator("date")(iso_date)

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
