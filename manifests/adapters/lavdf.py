"""Adapter `lavdf`: LAV-DF (Cai et al., DICTA 2022), whose fakes are short parts of a clip.

`metadata.json` lists the clips of `train/`, `dev/` (here `val`) and `test/`; some files have no entry and are
left out with that reason. Who speaks is not published: a clip and the fakes made of it count as one person.
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
from manifests.values import BadValue, integer_of, label_of, relative_path, split_word, text_of

LIST = "metadata.json"
FOLDERS = ("train", "dev", "test")
METHODS = {(1, 0): ("video", "reenact"), (0, 1): ("audio", "synthesis"), (1, 1): ("video+audio", "reenact")}
"""(picture changed, sound changed): method and family."""


@ADAPTERS.register(
    "lavdf",
    family="clips",
    params=ClipParams,
    licence="LAV-DF terms",
    paper="Cai et al., DICTA 2022 (arXiv 2204.06228)",
    taxonomy="fairface4",
    media="video",
)
class LAVDF(ClipAdapter):
    """LAV-DF: metadata.json with the periods that are fake."""

    dataset = "lavdf"

    def check(self, source: Path) -> list[Finding]:
        return (
            []
            if (source / LIST).is_file()
            else [Finding("layout", f"{LIST} is missing: it is in the LAV-DF archive")]
        )

    def clips(self, source: Path) -> Iterator[SourceImage]:
        named = Named()
        for number, value in enumerate(read_json(source / LIST, list)):
            place = f"{LIST} entry {number}"
            try:
                entry = entry_of(value)
                named.add(entry.get("file"))
                name = relative_path(entry.get("file"), "file")
                yield self._clip(source, name, entry, place)
            except BadValue as error:
                yield SourceImage(key=place, problem=str(error))
        yield from unlisted(source, (source / folder for folder in FOLDERS), named.paths, LIST, CLIP_SUFFIXES)

    def _clip(self, source: Path, name: str, entry: dict[str, Any], place: str) -> SourceImage:
        changed = tuple(label_of(entry.get(key), key) for key in ("modify_video", "modify_audio"))
        label = int(any(changed))
        if (integer_of(entry.get("n_fakes"), "n_fakes", 0) > 0) != bool(label):
            raise BadValue("n_fakes contradicts modify_video and modify_audio", entry.get("n_fakes"))
        method, family = METHODS.get((changed[0], changed[1]), ("none", "none"))
        first = text_of(entry.get("original"), "original") or name
        split = text_of(entry.get("split"), "split")
        return self.item(
            name,
            inside(source, name, links=True),
            label,
            method,
            family,
            place,
            split="val" if split == "dev" else split_word(split),
            identity_id=f"lavdf:{first}",
            pair_id=f"lavdf:{first}",
            fake_segments=segments_of(entry.get("fake_periods"), "fake_periods") if label else None,
        )
