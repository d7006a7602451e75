"""Adapter `avlips`: AVLips (Liu et al., NeurIPS 2024), lip-synchronised fakes beside real clips, their sound
as files.

Who speaks is not published: clips of one number, real and fake, count as one person. Where `wav/` has a
clip's sound, that is its sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests.adapters.base import ADAPTERS, SourceImage, left_out
from manifests.adapters.clips import CLIP_SUFFIXES, ClipAdapter, ClipParams
from manifests.listing import list_files
from manifests.schema import Finding

FOLDERS = {"0_real": 0, "1_fake": 1}


@ADAPTERS.register(
    "avlips",
    family="clips",
    params=ClipParams,
    licence="AVLips terms",
    paper="Liu et al., NeurIPS 2024 (arXiv 2401.15668)",
    taxonomy="fairface4",
    media="video",
)
class AVLips(ClipAdapter):
    """AVLips: 0_real/, 1_fake/ and their sound in wav/."""

    dataset = "avlips"

    def check(self, source: Path) -> list[Finding]:
        return [
            Finding("layout", f"folder {name} is missing: it is in the AVLips archive")
            for name in FOLDERS
            if not (source / name).is_dir()
        ]

    def clips(self, source: Path) -> Iterator[SourceImage]:
        listings = {folder: list_files(source / folder, CLIP_SUFFIXES, below=False) for folder in FOLDERS}
        splits = self.split_of(path.stem for listing in listings.values() for path in listing.files)
        for folder, listing in listings.items():
            for path in listing.files:
                sound = source / "wav" / folder / f"{path.stem}.wav"
                yield self.item(
                    f"{folder}/{path.name}",
                    path,
                    FOLDERS[folder],
                    "lipsync",
                    "reenact",
                    folder,
                    split=splits[path.stem],
                    audio=sound if sound.is_file() else None,
                    identity_id=f"avlips:{path.stem}",
                    pair_id=f"avlips:{path.stem}",
                )
            yield from left_out(listing, f"{folder}/")
