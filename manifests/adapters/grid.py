"""Adapter `grid`: GRID (Cooke et al., JASA 2006) and folders like it: real clips, one folder per speaker.

Also a flat folder whose names begin with the speaker: `s1_bbaf2n.mpg`. All clips are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests.adapters.base import ADAPTERS, SourceImage, left_out
from manifests.adapters.clips import CLIP_SUFFIXES, ClipAdapter, ClipParams
from manifests.listing import Listing, list_files
from manifests.schema import Finding


def _speaker(path: Path, source: Path) -> str:
    parts = path.relative_to(source).parts
    return parts[0] if len(parts) > 1 else path.stem.split("_")[0]


@ADAPTERS.register(
    "grid",
    family="clips",
    params=ClipParams,
    licence="CC BY 4.0",
    paper="Cooke et al., JASA 120 (2006)",
    taxonomy="fairface4",
    media="video",
)
class Grid(ClipAdapter):
    """Real clips by speaker: GRID's `sN/*.mpg`, or `<speaker>_<name>.mpg` in one folder."""

    dataset = "grid"
    licence = "CC BY 4.0"

    def _listing(self, source: Path) -> Listing:
        return list_files(source, CLIP_SUFFIXES)

    def check(self, source: Path) -> list[Finding]:
        if source.is_dir() and self._listing(source).files:
            return []
        return [Finding("layout", f"{source} holds no clip: GRID has a folder of .mpg files per speaker")]

    def clips(self, source: Path) -> Iterator[SourceImage]:
        listing = self._listing(source)
        splits = self.split_of(_speaker(path, source) for path in listing.files)
        for path in listing.files:
            speaker, key = _speaker(path, source), path.relative_to(source).as_posix()
            yield self.item(
                key, path, 0, "none", "none", key, identity_id=f"grid:{speaker}", split=splits[speaker]
            )
        yield from left_out(listing, "")
