"""Where a run's second dataset comes from, if it has one, and whether anything in the run draws from fitted
cells.
"""

from __future__ import annotations

import os
from pathlib import Path

from manifests.environment import environment
from manifests.errors import MissingError
from pipeline.engine.config import Config
from pipeline.engine.stage import group_of


def find_photographs(config: Config) -> Path | None:
    """The photographs that the second dataset is made of, or None.

    Raises:
        MissingError: `cross.photographs` names something that is not there.
    """
    if config.cross.source != "auto":
        return None
    if config.cross.photographs:
        path = Path(config.cross.photographs)
        if not path.exists():
            raise MissingError(str(path), "is not there", "mend cross.photographs, or leave it empty")
        return path
    found = environment().photographs
    if found is None or os.path.realpath(found) in map(os.path.realpath, config.sample.photographs):
        return None
    return found


def origin(config: Config) -> str:
    """`photographs` or `synthetic`."""
    return "photographs" if find_photographs(config) else "synthetic"


def fits_cells(config: Config) -> bool:
    """Whether a run fits cells of its own: its faces or those of its second dataset come from a generator, no
    fit is named.
    """
    if config.sample.cell_model:
        return False
    return config.sample.generates or _draws(config)


def has_cross(config: Config) -> bool:
    """Whether a run has a second dataset."""
    return _named(config) or _draws(config) or find_photographs(config) is not None


def with_cross(needs: tuple[str, ...], config: Config) -> tuple[str, ...]:
    """The names of stages, without those of the second dataset where a run has none."""
    return needs if has_cross(config) else tuple(name for name in needs if group_of(name) != "cross")


def _named(config: Config) -> bool:
    return config.cross.source == "auto" and bool(config.cross.photographs)


def _draws(config: Config) -> bool:
    """Whether the second dataset comes from a generator."""
    if config.cross.source != "auto":
        return config.cross.source == "generator"
    return config.sample.generates and not _named(config) and find_photographs(config) is None
