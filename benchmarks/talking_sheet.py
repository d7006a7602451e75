"""Frames of talking faces, side by side: one real clip of each cell, then forgeries of the first one.

python -m benchmarks.talking_sheet runs/talk/dataset docs/images/talking.jpg [--frames 9] [--side 112]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from manifests.atomic import write_bytes
from manifests.clip_columns import clip_rows
from manifests.clips.reading import frames_at
from manifests.containment import inside
from manifests.images import Image, encode, resize
from manifests.store import manifest_file, read_manifest
from manifests.taxonomy import TAXONOMIES

QUALITY = 85
METHODS = ("av-face-swap", "av-redrive")
"""The forgeries that change the picture."""


def strip(file: Path, frames: int, side: int) -> Image:
    """Frames of a clip at equal distances: uint8 [side, frames * side, 3]."""
    shown = list(frames_at(file))
    at = np.linspace(0, len(shown) - 1, frames).round().astype(int)
    return np.concatenate([resize(shown[k], side) for k in at], 1)


def sheet(manifest: Path, frames: int, side: int) -> Image:
    """All strips, one below another: a real clip of each cell, then fakes of the first of them."""
    table = clip_rows(read_manifest(manifest))
    rows = table.to_pylist()
    order = [cell for one in TAXONOMIES.values() for cell in one.cells]
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["label"] == 0:
            first.setdefault(row["cell"], row)
    chosen = sorted(first.values(), key=lambda row: order.index(row["cell"]))
    changed = [row for row in rows if row["pair_id"] == chosen[0]["pair_id"] and row["method"] in METHODS]
    chosen += sorted(changed, key=lambda row: str(row["method"]))
    folder = manifest_file(manifest).parent
    return np.concatenate([strip(inside(folder, row["path"]), frames, side) for row in chosen])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--side", type=int, default=112)
    given = parser.parse_args()
    write_bytes(given.out, encode(sheet(given.manifest, given.frames, given.side), "jpeg", QUALITY))


if __name__ == "__main__":
    main()
