"""`fairforge av features`: what a model of sound and picture reads, one file per clip, and a table of all
clips with reasons.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from detector.audio_visual.feature_files import read_features, write_features
from detector.audio_visual.filterbanks import stacked_filterbanks
from manifests.atomic import digest_file, write_json
from manifests.clips.facts import clip_facts
from manifests.clips.reading import FPS, PER_FRAME, clip_sound, frames_at, notes_of, sound_of
from manifests.clips.silence import frames_of_silence, leading_silence, without_start
from manifests.containment import inside
from manifests.errors import DataError, MissingError, UsageError
from manifests.locks import writing_alone
from manifests.store import read_table, write_table
from manifests.text_files import read_json
from manifests.watching import watch_by, watched
from pipeline.commands.audio_visual.sources import KNOWN, NamedClip, clips_of, file_digest, published_clips
from pipeline.engine.progress import Reporter

VERSION = 1
TABLE, ABOUT = "features.parquet", "features.json"
SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("path", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("notes", pa.string()),
        ("file", pa.string()),
        ("digest", pa.string()),
        ("frames", pa.int32()),
        ("silence", pa.float32()),
        ("found", pa.float32()),
        ("label", pa.int8()),
        *((name, pa.string()) for name in KNOWN if name != "label"),
    ]
)
"""Of the table. file: below its folder or, of published features, below theirs. silence: seconds at the
start. found: share of frames with a face.
"""


@dataclass
class ClipReader:
    """Reads clips into arrays. mouths: a `MouthReader`. trim: without the frames of leading silence."""

    mouths: Any
    trim: bool = False

    def arrays(self, clip: NamedClip) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays of a clip, and what is noted of it (`notes`, `silence`, `found`, `frames`).

        Raises:
            MissingError, DataError: no clip, no sound, no face, or nothing left after trimming.
        """
        if not clip.path.is_file():
            raise MissingError(clip.key, "is not there", "check the path")
        facts = clip_facts(clip.path)
        if clip.audio is None and facts.sound is None:
            raise DataError(clip.key, "has no sound", "leave it out, or give its sound as a file")
        silence = leading_silence(sound_of(clip.audio or clip.path))
        sound = clip_sound(clip.path, clip.audio, facts)
        notes = notes_of(facts, sound)
        read = self.mouths.read(frames_at(clip.path), clip.key)
        first = frames_of_silence(silence) if self.trim else 0
        mouths, lips, sound = read.mouths[first:], read.lips[first:], without_start(sound, first)
        if len(mouths) < 2 or len(sound) < 2 * PER_FRAME:
            raise DataError(clip.key, f"has less than {2 / FPS:g} s of sound and picture", "leave it out")
        if read.found < 1:
            notes.append(
                f"a face in {read.found:.0%} of its frames: the others repeat the one nearest in time"
            )
        banks = stacked_filterbanks(sound)
        length = min(len(mouths), len(banks))
        arrays = {"mouths": mouths[:length], "lips": lips[:length], "banks": banks[:length]}
        return arrays, {"notes": "; ".join(notes), "silence": silence, "found": read.found, "frames": length}


def mouth_reader(device: str) -> Any:
    """The reader with the embedded face models. Errors as `pipeline.engine.models`."""
    from attribute_models import load_face_detector
    from pipeline.commands.audio_visual.mouths import MouthReader
    from pipeline.engine import models
    from pipeline.faces.frame_crops import WHOLE_FRAME

    return MouthReader(
        load_face_detector("mtcnn", device=device, **WHOLE_FRAME),
        models.landmarker("fairforge-mesh148", device),
    )


def _about(out: Path, about: dict[str, Any]) -> None:
    """Note what the folder's features are, and refuse another kind beside them.

    Raises:
        UsageError: the folder has features made otherwise.
    """
    file = out / ABOUT
    if file.is_file() and read_json(file, dict) != about:
        raise UsageError(str(out), "has features that were made otherwise", "choose another --out")
    write_json(file, about)


def _done(file: Path) -> dict[str, Any] | None:
    """What was noted of a clip whose features are there."""
    side = file.with_suffix(".json")
    if not (file.is_file() and side.is_file()):
        return None
    noted = read_json(side, dict)
    return noted["noted"] if noted.get("sha256") == digest_file(file) else None


def _own_row(clip: NamedClip, reader: ClipReader, out: Path) -> dict[str, Any]:
    """The row of a clip whose features are made, or were before."""
    digest = file_digest(clip)
    file = inside(out, f"clips/{digest[:2]}/{digest}.npz")
    noted = _done(file)
    if noted is None:
        arrays, noted = reader.arrays(clip)
        write_features(file, arrays)
        write_json(file.with_suffix(".json"), {"noted": noted, "sha256": digest_file(file)})
    return {**noted, "file": file.relative_to(out).as_posix(), "digest": digest_file(file)}


def _published_row(clip: NamedClip, root: Path) -> dict[str, Any]:
    """The row of published features, which stay where they are."""
    _, arrays = read_features(clip.path)
    return {
        "file": clip.path.relative_to(root).as_posix(),
        "digest": digest_file(clip.path),
        "notes": "",
        "frames": min(map(len, arrays.values())),
    }


def _rows(clips: Sequence[NamedClip], make: Any) -> list[dict[str, Any]]:
    """A row per clip: what `make` says of it, or why there is nothing."""
    out = []
    for clip in watched(clips, "features", "clips"):
        row = {"clip_id": clip.key, "path": str(clip.path), "status": "ok", "reason": None, **clip.facts}
        try:
            if clip.problem is not None:
                raise DataError(clip.key, clip.problem, "mend its row")
            row |= make(clip)
        except (MissingError, DataError) as error:
            row |= {"status": "failed", "reason": error.why}
        out.append({name: row.get(name) for name in SCHEMA.names})
    return out


def make_table(clips: Sequence[NamedClip], out: Path, about: dict[str, Any], make: Any) -> pa.Table:
    """Make what is missing of the features of clips, and write `features.parquet`; see `make_features`."""
    _about(out, about)
    table = pa.Table.from_pylist(_rows(clips, make), schema=SCHEMA)
    write_table(table, out / TABLE)
    return table


def own_features(
    clips: Sequence[NamedClip], out: Path, *, trim: bool = False, device: str = "cpu", reader: Any = None
) -> pa.Table:
    """Features that our own encoder reads, of clips; what is there already is kept.

    Args:
        clips: of `clips_of`. out: folder. trim: without leading silence, as published. device: of the face
            models.
        reader: a `MouthReader`; None: the embedded models.

    Raises:
        UsageError: `out` has features that were made otherwise.
    """
    read = ClipReader(reader or mouth_reader(device), trim)
    return make_table(
        clips, out, {"version": VERSION, "kind": "own", "trim": trim}, lambda clip: _own_row(clip, read, out)
    )


def read_table_of(folder: Path) -> pa.Table:
    """The table of a folder of features.

    Raises:
        MissingError: there is none. DataError: it cannot be read.
    """
    file = folder / TABLE if folder.is_dir() else folder
    if not file.is_file():
        raise MissingError(str(file), "is not there", "make it with `fairforge av features`")
    return read_table(file, needed=list(SCHEMA.names))


def root_of(folder: Path) -> Path:
    """The folder that `file` of a table of features is relative to: its own, or that of published features.

    Args:
        folder: of the table, or the table.

    Raises:
        DataError: `features.json` is damaged.
    """
    home = folder if folder.is_dir() else folder.parent
    about = read_json(home / ABOUT, dict) if (home / ABOUT).is_file() else {}
    root = about.get("root", "")
    if not isinstance(root, str):
        raise DataError(str(home / ABOUT), "its root is no text", "make the features again")
    return Path(root) if root else home


def feature_file(root: Path, row: Mapping[str, Any]) -> Path:
    """The file of features of a row, below `root` (see `root_of`).

    Raises:
        DataError: its name leaves the folder.
    """
    return inside(root, row["file"], links=True)


def _summary(table: pa.Table, out: Path) -> tuple[dict[str, Any], str]:
    rows = table.to_pylist()
    failed = [row for row in rows if row["status"] != "ok"]
    value = {
        "features": str(out / TABLE),
        "clips": len(rows),
        "failed": len(failed),
        "reasons": [{"clip": row["clip_id"], "reason": row["reason"]} for row in failed],
    }
    lines = [f"failed  {row['clip_id']}: {row['reason']}" for row in failed[:20]]
    return value, "\n".join(
        [*lines, f"{out / TABLE} ({len(rows) - len(failed)} clips, {len(failed)} failed)"]
    )


def features_command(
    paths: Sequence[Path],
    out: Path,
    *,
    published: Path | None,
    trim: bool,
    device: str,
    quiet: bool,
) -> tuple[dict[str, Any], str, bool]:
    """Features of clips, or with `published` a check and a table of those that a list names; whether any clip
    can be used.

    Raises:
        UsageError: `--published` with more than one list, or with `--trim`. MissingError, DataError: as
            `clips_of`.
    """
    reporter = Reporter(quiet=quiet)
    with writing_alone(out), watch_by(reporter.watch("features")):
        if published is None:
            from pipeline.engine.executors import one_thread

            one_thread()
            table = own_features(clips_of(paths), out, trim=trim, device=device)
        else:
            if len(paths) != 1:
                fix = "for example: fairforge av features train.csv --published DIR"
                raise UsageError("--published", "needs one list of clips", fix)
            about = {
                "version": VERSION,
                "kind": "published",
                "trim": False,
                "root": os.path.realpath(published),
            }
            clips = published_clips(paths[0], published)
            table = make_table(clips, out, about, lambda clip: _published_row(clip, published))
    value, text = _summary(table, out)
    return value, text, any(status == "ok" for status in table["status"].to_pylist())
