"""A model of sound and picture on real clips: `python -m benchmarks.real_clips MANIFEST --checkpoint D [--out
DIR]`.

Of each real clip of a manifest ten are made: in step; with another clip's sound; with its own sound .2, .3,
.4 and .5 s early or late. All show the same frames, those with half a second before and after them, have
sound for all of their length and leave through one encoder, so that nothing but the sound's time and origin
can tell them apart. Nothing is learnt or chosen here.

JSON: for each scorer the AUC of each kind of fake against the clips in step, with its interval by clip (or
speaker: `--cluster`), and the share of clips in step that the model's own threshold calls fake.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from manifests.atomic import digest_file
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


def sound_at(sound: Sound, frames: int, shift: float) -> Sound:
    """The sound of the frames that are shown, moved: float32 [640 x frames].

    Args:
        sound: of the whole clip, float32 [N] at 16 kHz. frames: that are shown, from `MARGIN` on. shift:
            seconds.

    Raises:
        DataError: it ends before they do.
    """
    start = MARGIN * PER_FRAME + round(shift * RATE)
    piece = sound[start : start + frames * PER_FRAME]
    if start < 0 or len(piece) < frames * PER_FRAME:
        raise DataError("clip", f"has {len(sound) / RATE:.2f} s of sound, too little", "leave it out")
    return piece


def sounds_of(own: Sound, other: Sound, frames: int) -> Iterator[tuple[str, Sound]]:
    """(method, sound) of the clip in step and of its fakes; another's sound begins again where it is too
    short.
    """
    yield "none", sound_at(own, frames, 0)
    yield "foreign-sound", sound_at(np.resize(other, len(own)), frames, 0)
    for shift in SHIFTS:
        yield method_of(shift), sound_at(own, frames, shift)


def make_set(
    manifest: Path, out: Path, cluster: str, seed: int, limit: int | None = None
) -> tuple[Path, list[str]]:
    """Clips in step and their fakes below `out`; the folder, and why clips were left out.

    Args:
        manifest: with real clips. cluster: `clip` or `speaker`, what `identity_id` is to be. limit: of clips.

    Raises:
        DataError: fewer than two clips can be used.
    """
    file = manifest_file(manifest)
    found, left = [], []
    for row in [row for row in clip_rows(read_manifest(file)).to_pylist() if row["label"] == 0][:limit]:
        try:
            path = clip_file(file.parent, row["path"], row["sha256"])
            heard = (
                clip_file(file.parent, row["audio_path"], row["audio_sha256"]) if row["audio_path"] else None
            )
            sound = clip_sound(path, heard)
            frames = min(sum(1 for _ in frames_at(path)), len(sound) // PER_FRAME) - 2 * MARGIN
            if frames < LEAST:
                raise DataError(
                    "clip", f"shows {frames} frames between margins, {LEAST} are needed", "leave it out"
                )
            found.append((row, path, sound, frames))
        except (MissingError, DataError) as error:
            left.append(f"{row['image_id']}: {error.why}")
    if len(found) < 2:
        raise DataError(
            str(file), "has fewer than two real clips that can be used", left[0] if left else "give more"
        )
    order = rng_of(seed, "foreign").permutation(len(found))
    partner = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    rows = []
    for number, (row, path, sound, frames) in enumerate(found):
        pictures = list(frames_at(path))[MARGIN : MARGIN + frames]
        person = f"{number:05d}" if cluster == "clip" else row["identity_id"]
        for method, heard in sounds_of(sound, found[partner[number]][2], frames):
            name = f"{number:05d}-{method}"
            file = inside(out, f"clips/{name}.mp4")
            encode_clip(file, pictures, heard)
            height, width = pictures[0].shape[:2]
            rows.append(
                ImageRecord(
                    image_id=name,
                    path=f"clips/{file.name}",
                    sha256=digest_file(file),
                    width=width + width % 2,
                    height=height + height % 2,
                    label=int(method != "none"),
                    method=method,
                    family="none" if method == "none" else "reenact",
                    media="video",
                    frames=frames,
                    fps=FPS,
                    duration=frames / FPS,
                    identity_id=person,
                    pair_id=f"{number:05d}",
                    video_id=name,
                    split="test",
                )
            )
    write_manifest(table_of(rows, taxonomy="fairface4"), out / "manifest.parquet")
    return out, left


def figures(value: dict[str, Any]) -> dict[str, Any]:
    """What is printed of `results.json`."""
    way = value["ways"][WHOLE]
    return {
        "clips": way["clips"],
        "left_out": way["left_out"],
        "scorers": {
            name: {"real called fake": report["utility"]["FPR"], "methods": report["methods"]}
            for name, report in way["scorers"].items()
        },
    }


def study(
    manifest: Path, checkpoint: Path, out: Path, cluster: str, seed: int, limit: int | None
) -> dict[str, Any]:
    """Make the set, score it, and what is printed."""
    made, left = make_set(manifest, out / "set", cluster, seed, limit)
    value, _ = evaluate_clips(Request(checkpoint, out / "figures", made), Measure(min_n=1), quiet=True)
    return {"cluster": cluster, "not used": left, **figures(value)}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--cluster", choices=("clip", "speaker"), default="clip")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, help="keep clips, features and scores here")
    args = parser.parse_args()
    out = args.out or Path(tempfile.mkdtemp())
    try:
        print(
            json.dumps(
                study(args.manifest, args.checkpoint, out, args.cluster, args.seed, args.limit), indent=1
            )
        )
    finally:
        if args.out is None:
            shutil.rmtree(out)


if __name__ == "__main__":
    main()
