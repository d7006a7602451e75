"""What the environment says, as one typed object: every variable that the program heeds is read here alone.

| variable | meaning |
|---|---|
| `FAIRFORGE_DATA` | folder of data; its `fairface128/dev.parquet` has the second dataset's photographs |
| `FAIRFORGE_CACHE` | folder in which fits are kept between runs; none where it is not set |
| `FAIRFORGE_WEIGHTS` | folder of imported weights; default `~/.local/share/fairforge/weights` |
| `WORLD_SIZE`, `RANK` | of torchrun: how many processes train together, and which one this is |
| `SLURM_JOB_ID` | of Slurm: the job that this process is in |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import UsageError

WEIGHTS = Path(".local") / "share" / "fairforge" / "weights"
"""Below the home folder."""


@dataclass(frozen=True)
class Environment:
    """What the variables say. processes, rank: None and 0 where torchrun started nothing.
    slurm_job: None outside of one.
    """

    data: Path | None
    cache: Path | None
    weights: Path
    processes: int | None
    rank: int
    slurm_job: str | None = None

    @property
    def photographs(self) -> Path | None:
        """The annotated photographs in `data`; None where there are none."""
        path = self.data / "fairface128" / "dev.parquet" if self.data is not None else None
        return path if path is not None and path.is_file() else None

    @property
    def leads(self) -> bool:
        """Whether this process is the one that speaks and writes."""
        return self.rank == 0


def _folder(variables: Mapping[str, str], name: str) -> Path | None:
    value = variables.get(name, "")
    return Path(value) if value else None


def _number(variables: Mapping[str, str], name: str) -> int | None:
    value = variables.get(name, "")
    if value and not value.isdecimal():
        raise UsageError(name, f"is {value!r:.40}, no number", "unset it, or start the program with torchrun")
    return int(value) if value else None


def environment(variables: Mapping[str, str] | None = None) -> Environment:
    """What the environment says now. variables: in its place, for tests.

    Raises:
        UsageError: a number of torchrun's that is none.
    """
    found = os.environ if variables is None else variables
    return Environment(
        data=_folder(found, "FAIRFORGE_DATA"),
        cache=_folder(found, "FAIRFORGE_CACHE"),
        weights=_folder(found, "FAIRFORGE_WEIGHTS") or Path.home() / WEIGHTS,
        processes=_number(found, "WORLD_SIZE"),
        rank=_number(found, "RANK") or 0,
        slurm_job=found.get("SLURM_JOB_ID") or None,
    )
