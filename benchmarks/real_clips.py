"""A model of sound and picture on real clips: `python -m benchmarks.real_clips MANIFEST --checkpoint D [--out
DIR]`.

Of each real clip of a manifest ten are made: in step; with another clip's sound; with its own sound .2, .3,
.4 and .5 s early or late. All ten have one and the same encoded picture, of the frames with half a second
before and after them, and sound for all of its length, written alike, so that nothing but the sound's time
and origin can tell them apart. `--whole` shows all frames: in step and with another's sound alone. Nothing is
learnt or chosen here.

JSON: for each scorer the AUC of each kind of fake against the clips in step, with its interval by clip (or
speaker: `--cluster`), and the shares of clips in step and of each kind of fake that it calls real: `chance`
by the clip's own lags, the others by the model's threshold.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import shutil
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector.metrics.rate_intervals import rate_interval
from manifests.atomic import digest_file, write_bytes
from manifests.clip_columns import clip_rows
from manifests.clips.encoding import encode_clip
from manifests.clips.files import clip_file
from manifests.clips.reading import FPS, PER_FRAME, RATE, Sound, clip_sound, frames_at
from manifests.containment import inside
from manifests.errors import DataError, MissingError
from manifests.records import ImageRecord
from manifests.seeding import rng_of
from manifests.store import manifest_file, read_manifest, table_of, write_manifest
from pipeline.commands.audio_visual.evaluation import WHOLE, Request, evaluate_clips
from pipeline.commands.audio_visual.features import own_features
from pipeline.commands.audio_visual.sources import clips_of
from pipeline.stages.evaluate.measuring import Measure

SHIFTS = (-0.5, -0.4, -0.3, -0.2, 0.2, 0.3, 0.4, 0.5)
"""Seconds; above 0 the sound is heard so much early."""
MARGIN = 13
"""Frames before and after those that are shown: .52 s."""
LEAST = 25
"""Frames that a clip must show."""


def method_of(shift: float) -> str:
    """The name of a shift among the methods of the set."""
    return f"sound-{'early' if shift > 0 else 'late'}-{abs(shift):g}"


def sound_at(sound: Sound, frames: int, shift: float, margin: int = MARGIN) -> Sound:
    """The sound of the frames that are shown, moved: float32 [640 x frames].

    Args:
        sound: of the whole clip, float32 [N] at 16 kHz.
        frames: that are shown.
        shift: seconds.
        margin: frames before the first one that is shown.

    Raises:
        DataError: it ends before they do.
    """
    start = margin * PER_FRAME + round(shift * RATE)
    piece = sound[start : start + frames * PER_FRAME]
    if start < 0 or len(piece) < frames * PER_FRAME:
        raise DataError("clip", f"has {len(sound) / RATE:.2f} s of sound, too little", "leave it out")
    return piece


def sounds_of(own: Sound, other: Sound, frames: int, margin: int = MARGIN) -> Iterator[tuple[str, Sound]]:
    """(method, sound) of the clip in step and of its fakes; another's sound begins again where it is too
    short; without a margin none is shifted.
    """
    yield "none", sound_at(own, frames, 0, margin)
    yield "foreign-sound", sound_at(np.resize(other, len(own)), frames, 0, margin)
    for shift in SHIFTS if margin else ():
        yield method_of(shift), sound_at(own, frames, shift)


@dataclass(frozen=True)
class Source:
    """A real clip that can be used. frames: that it shows. person: of whom. margin: frames before those."""

    path: Path
    sound: Sound
    frames: int
    person: str | None
    margin: int


def source_of(row: dict[str, Any], folder: Path, margin: int) -> Source:
    """The clip of a manifest's row.

    Raises:
        MissingError, DataError: it cannot be read, or is too short.
    """
    path = clip_file(folder, row["path"], row["sha256"])
    beside = clip_file(folder, row["audio_path"], row["audio_sha256"]) if row["audio_path"] else None
    sound = clip_sound(path, beside)
    frames = min(sum(1 for _ in frames_at(path)), len(sound) // PER_FRAME) - 2 * margin
    if frames < LEAST:
        why = f"shows {frames} frames between margins, {LEAST} are needed"
        raise DataError("clip", why, "leave it out")
    return Source(path, sound, frames, row["identity_id"], margin)


def write_sound(path: Path, sound: Sound) -> None:
    """A WAV of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    write_bytes(path, buffer.getvalue())


def make_set(
    manifest: Path,
    out: Path,
    cluster: str,
    seed: int,
    limit: int | None = None,
    split: str | None = None,
    whole: bool = False,
) -> tuple[Path, list[str]]:
    """Clips in step and their fakes below `out`; the folder, and why clips were left out.

    Args:
        manifest: with real clips.
        out: folder.
        cluster: `clip` or `speaker`, what `identity_id` is to be.
        seed: of who gets whose sound.
        limit: of clips.
        split: only this one.
        whole: all frames are shown, and nothing is shifted.

    Raises:
        DataError: fewer than two clips can be used.
    """
    file = manifest_file(manifest)
    found: list[Source] = []
    left: list[str] = []
    known = clip_rows(read_manifest(file)).to_pylist()
    for row in [row for row in known if row["label"] == 0 and split in (None, row["split"])][:limit]:
        try:
            found.append(source_of(row, file.parent, 0 if whole else MARGIN))
        except (MissingError, DataError) as error:
            left.append(f"{row['image_id']}: {error.why}")
    if len(found) < 2:
        why = f"has fewer than two real clips that can be used ({left[0] if left else 'no other'})"
        raise DataError(str(file), why, "give more")
    order = rng_of(seed, "foreign").permutation(len(found))
    partner = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    rows = []
    for number, source in enumerate(found):
        name = f"{number:05d}"
        person = name if cluster == "clip" else source.person
        rows += _written(out, name, source, found[partner[number]].sound, person)
    write_manifest(table_of(rows, taxonomy="fairface4"), out / "manifest.parquet")
    return out, left


def _written(out: Path, name: str, source: Source, other: Sound, person: str | None) -> Iterator[ImageRecord]:
    """Write a picture once and its ten sounds; their rows."""
    pictures = list(frames_at(source.path))[source.margin : source.margin + source.frames]
    picture = inside(out, f"clips/{name}.mp4")
    encode_clip(picture, pictures, None)
    height, width = (side + side % 2 for side in pictures[0].shape[:2])
    common = {"path": f"clips/{name}.mp4", "sha256": digest_file(picture), "width": width, "height": height}
    for method, heard in sounds_of(source.sound, other, source.frames, source.margin):
        file = inside(out, f"sounds/{name}-{method}.wav")
        write_sound(file, heard)
        yield ImageRecord(
            **common,
            image_id=f"{name}-{method}",
            audio_path=f"sounds/{file.name}",
            audio_sha256=digest_file(file),
            label=int(method != "none"),
            method=method,
            family="none" if method == "none" else "reenact",
            media="video",
            frames=source.frames,
            fps=FPS,
            duration=source.frames / FPS,
            identity_id=person,
            pair_id=name,
            video_id=f"{name}-{method}",
            split="test",
        )


def _called_real(utility: dict[str, Any]) -> dict[str, Any]:
    """The share of clips in step that are called real, with its interval by clip."""
    clips, rate = int(utility["n_real"]), 1 - float(utility["FPR"])
    interval = list(rate_interval(rate, clips, math.inf))
    return {"clips": clips, "called_real": rate, "called_real_interval": interval}


def figures(value: dict[str, Any]) -> dict[str, Any]:
    """What is printed of one model's `results.json`."""
    way = value["ways"][WHOLE]
    return {
        "clips": way["clips"],
        "left_out": way["left_out"],
        "scorers": {
            name: {"in step": _called_real(report["utility"]), "methods": report["methods"]}
            for name, report in way["scorers"].items()
        },
    }


def study(
    manifest: Path,
    checkpoints: Sequence[Path],
    out: Path,
    *,
    cluster: str = "clip",
    seed: int = 2026,
    limit: int | None = None,
    split: str | None = None,
    whole: bool = False,
    workers: int = 1,
    reader: Any = None,
) -> dict[str, Any]:
    """Make the set once and score it by each model.

    Args:
        manifest: with real clips.
        checkpoints: models of sound and picture.
        out: folder of what is made.
        cluster: `clip` or `speaker`.
        seed: of who gets whose sound.
        limit: of clips.
        split: of the manifest, only this one.
        whole: all frames are shown, and nothing is shifted.
        workers: processes that read clips.
        reader: of mouths; None: the embedded face models.
    """
    made, left = make_set(manifest, out / "set", cluster, seed, limit, split, whole)
    own_features(clips_of([made]), out / "features", reader=reader, workers=workers)
    found: dict[str, Any] = {"cluster": cluster, "not used": left, "models": {}}
    for number, checkpoint in enumerate(checkpoints):
        asked = Request(checkpoint, out / f"figures-{number}", features=out / "features")
        value, _ = evaluate_clips(asked, Measure(min_n=1), quiet=True)
        found["models"][str(checkpoint)] = figures(value)
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True, action="append", help="repeatable")
    parser.add_argument("--cluster", choices=("clip", "speaker"), default="clip")
    parser.add_argument("--split", help="of the manifest, only this one")
    parser.add_argument("--limit", type=int, help="of clips")
    parser.add_argument("--whole", action="store_true", help="all frames, in step and foreign sound alone")
    parser.add_argument("--workers", type=int, default=1, help="processes that read clips")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, help="keep clips, features and scores here")
    args = parser.parse_args()
    out = args.out or Path(tempfile.mkdtemp())
    how = {name: getattr(args, name) for name in ("cluster", "seed", "limit", "split", "whole", "workers")}
    try:
        print(json.dumps(study(args.manifest, args.checkpoint, out, **how), indent=1))
    finally:
        if args.out is None:
            shutil.rmtree(out)


if __name__ == "__main__":
    main()
