"""The catalogue of weights: `weights.toml` in each package's `weights/` folder, and finding a weight by name
or path.

Each entry has name, file, sha256, kind, licence, data (what it was trained on), recipe (how to make it again)
and measured (figures). Users' own weights live in `$FAIRFORGE_WEIGHTS` (default
`~/.local/share/fairforge/weights`) with a `weights.toml` of the same form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from manifests.atomic import digest_file
from manifests.containment import inside
from manifests.environment import environment
from manifests.errors import DataError, MissingError
from manifests.registry import nearest
from manifests.text_files import read_toml

CATALOGUE = "weights.toml"
PACKAGES = ("generators", "attribute_models", "detector")


@dataclass(frozen=True)
class Weight:
    """One weight file and what is known of it."""

    name: str
    path: Path
    sha256: str
    kind: str
    licence: str = "unknown"
    data: str = ""
    recipe: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest8(self) -> str:
        return self.sha256[:8]


def user_folder() -> Path:
    """Where imported weights live."""
    return environment().weights


def _read(file: Path) -> list[Weight]:
    table = read_toml(file)
    for name, entry in table.items():
        if not isinstance(entry, dict) or not all(
            isinstance(entry.get(key), str) for key in ("file", "sha256", "kind")
        ):
            raise DataError(
                str(file), f"entry {name!r} lacks file, sha256 or kind", "mend or remove the entry"
            )
    return [
        Weight(
            name,
            inside(file.parent, entry["file"], links=True),
            entry["sha256"],
            entry["kind"],
            entry.get("licence", "unknown"),
            entry.get("data", ""),
            entry.get("recipe", ""),
            entry.get("measured", {}),
        )
        for name, entry in table.items()
    ]


def catalogue(kind: str | None = None) -> dict[str, Weight]:
    """All known weights by name, embedded first; `kind`: `generator`, `cells`, `attributes`, `landmarks`,
    `detector` or `autoencoder`.
    """
    found: dict[str, Weight] = {}
    places = [Path(str(files(package))) / "weights" / CATALOGUE for package in PACKAGES]
    for place in [*places, user_folder() / CATALOGUE]:
        if place.is_file():
            for weight in _read(place):
                found.setdefault(weight.name, weight)
    return {name: w for name, w in found.items() if kind in (None, w.kind)}


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    return digest_file(path)


def find_weight(name_or_path: str | Path, kind: str) -> Weight:
    """A catalogued weight by name, its sha256 verified, or a file by path.

    Raises:
        MissingError: neither a known name nor a file. DataError: the file is not the one catalogued.
    """
    known = catalogue(kind)
    name = str(name_or_path)
    weight = known.get(name)
    path = weight.path if weight else Path(name)
    if not path.is_file():
        what = f"weight {name!r} ({kind})"
        if weight:
            raise MissingError(what, f"its file {path} is not there", weight.recipe or "import it again")
        raise MissingError(
            what,
            f"is neither a file nor a known name{nearest(name, list(known))}",
            f"known: {', '.join(known) or 'none'}; or give a path, or `fairforge weights import FILE`",
        )
    stat = path.stat()
    digest = _digest(path, stat.st_size, stat.st_mtime_ns)
    if weight is None:
        return Weight(path.stem, path, digest, kind)
    if digest != weight.sha256:
        raise DataError(
            str(path),
            f"has sha256 {digest[:12]}..., the catalogue says {weight.sha256[:12]}...",
            "the file was changed or truncated: check it out or import it again",
        )
    return weight
