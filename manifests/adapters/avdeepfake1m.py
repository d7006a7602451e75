"""Adapter `avdeepfake1m`: AV-Deepfake1M and AV-Deepfake1M++ (Cai et al., ACM MM 2024), with the forged parts
of each clip.

`{train,val}_metadata.json` list the clips; the test part has no labels and is not read. The label is
`modify_type`'s, never the file name's. A person is the first folder of a path (VoxCeleb2's speaker), a pair
the clip's own folder. A clip that no list names is left out with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.adapters.clips import CLIP_SUFFIXES, ClipAdapter, ClipParams, entry_of, segments_of
from manifests.adapters.unlisted import Named, unlisted
from manifests.containment import inside
from manifests.schema import Finding
from manifests.text_files import read_json
from manifests.values import BadValue, relative_path, text_of

LISTS = {"train": "train_metadata.json", "val": "val_metadata.json"}
TEST = "test/"
"""Where the clips without labels are."""
TYPES = {
    "real": "none",
    "visual_modified": "reenact",
    "audio_modified": "synthesis",
    "both_modified": "reenact",
}
"""`modify_type` and its family."""


def _segments(entry: dict[str, Any]) -> list[float]:
    if entry.get("fake_segments") is not None:
        return segments_of(entry["fake_segments"], "fake_segments")
    parts = [entry.get(name) or [] for name in ("visual_fake_segments", "audio_fake_segments")]
    if not all(isinstance(part, list) for part in parts):
        raise BadValue("a list of fake segments is none", parts)
    return segments_of([*parts[0], *parts[1]], "fake segments")


@ADAPTERS.register(
    "avdeepfake1m",
    family="clips",
    params=ClipParams,
    licence="AV-Deepfake1M terms",
    paper="Cai et al., ACM MM 2024 (arXiv 2311.15308)",
    taxonomy="fairface4",
    media="video",
)
class AVDeepfake1M(ClipAdapter):
    """AV-Deepfake1M and ++: train_metadata.json and val_metadata.json, segments in seconds."""

    dataset = "av-deepfake1m"

    def check(self, source: Path) -> list[Finding]:
        if any((source / name).is_file() for name in LISTS.values()):
            return []
        return [
            Finding(
                "layout",
                f"{source} has neither {' nor '.join(LISTS.values())}: they are in the set's archive",
            )
        ]

    def clips(self, source: Path) -> Iterator[SourceImage]:
        lists = {split: name for split, name in LISTS.items() if (source / name).is_file()}
        named, flat = Named(), not any((source / split).is_dir() for split in lists)
        for split, name in lists.items():
            below = f"{split}/" if (source / split).is_dir() else ""
            for number, value in enumerate(read_json(source / name, list)):
                place = f"{name} entry {number}"
                try:
                    entry = entry_of(value)
                    named.add(entry.get("file"), below)
                    yield self._clip(source, below, split, entry, place)
                except BadValue as error:
                    yield SourceImage(key=place, problem=str(error))
        folders = [source] if flat else [source / split for split in lists]
        for item in unlisted(source, folders, named.paths, " or ".join(lists.values()), CLIP_SUFFIXES):
            if not item.key.startswith(TEST):
                yield item

    def _clip(self, source: Path, below: str, split: str, entry: dict[str, Any], place: str) -> SourceImage:
        name = relative_path(entry.get("file"), "file")
        kind = text_of(entry.get("modify_type"), "modify_type")
        if kind not in TYPES:
            raise BadValue(f"modify_type is not one of {', '.join(TYPES)}", kind)
        below = f"{below}{name}"
        folder, label = name.rpartition("/")[0] or name, int(kind != "real")
        return self.item(
            below,
            inside(source, below, links=True),
            label,
            kind,
            TYPES[kind],
            place,
            split=split,
            identity_id=f"av-deepfake1m:{name.split('/')[0]}",
            pair_id=f"av-deepfake1m:{folder}",
            fake_segments=_segments(entry) if label else None,
        )
