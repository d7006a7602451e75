"""Silence planted in fakes, found by the audit, and what it does to detectors.

`python -m benchmarks.planted_silence [--set DIR] [--out DIR]`. A copy of a set of clips gets 25 to 30 ms of
silence at the start of its fakes alone, as two published sets have it (Smeu et al., CVPR 2025). Three
findings, as JSON: the audit `clip-shortcut` of the set as made and of the copy; AUC, over all and by kind of
fake, with intervals by person, of the model that learns from the copy's real clips alone, and of its
supervised twin on the same frozen encoder, on people who were not trained on, with the silence and with it
trimmed as published.

With `--set`, the set is that of `fairforge talk`, or any with splits whose clips are all in one codec.
Without, it is made here, with no person and no face model: a bar opens and closes, not exactly (`--jitter`),
as the tone of a noisy sound rises and falls, so that picture and sound of a real clip are in step; a fake has
the sound of another clip. That shows what the code does, not how good it is on faces. How plainly picture and
sound are in step decides what the twin learns: where single frames tell it, the twin learns that, too, and
does not fall when the silence is trimmed. So say jitter and noise beside a result, and try several seeds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detector.audio_visual.settings import AlignmentSettings
from manifests.adapters.clip_import import linked
from manifests.atomic import digest_file
from manifests.audit import audit_manifest
from manifests.clips.encoding import encode_clip
from manifests.clips.reading import FPS, PER_FRAME, RATE
from manifests.clips.rewriting import Rewrite, rewrite
from manifests.containment import inside
from manifests.images import Image
from manifests.records import ImageRecord
from manifests.seeding import rng_of
from manifests.store import read_manifest, table_of, write_manifest
from pipeline.commands.audio_visual.evaluation import Request, evaluate_clips
from pipeline.commands.audio_visual.features import own_features
from pipeline.commands.audio_visual.mouths import Mouths
from pipeline.commands.audio_visual.sources import clips_of
from pipeline.commands.audio_visual.training import settings_of, train_command
from pipeline.stages.evaluate.measuring import Measure

SIDE = 64
SPLITS = ("train", "train", "train", "val", "test", "test")
"""Of people in turn."""
PLANTED = (0.025, 0.03)
Floats = npt.NDArray[np.float32]


def openings(seed: int, clip: str, frames: int) -> Floats:
    """How open the mouth is in each frame: float32 [frames] in [0, 1]."""
    drawn = rng_of(seed, "openings", clip).uniform(0, 1, frames + 2)
    return np.convolve(drawn, np.ones(3) / 3, "valid").astype(np.float32)


def sound_of_openings(seed: int, clip: str, level: Floats, noise: float) -> Floats:
    """A tone that is the higher the wider the mouth, with noise: float32 [640 x frames], no silence
    anywhere.
    """
    pitch = np.repeat(300 + 2000 * level.astype(np.float64), PER_FRAME)
    hiss = rng_of(seed, "noise", clip).standard_normal(len(pitch))
    tone = 0.3 * np.cos(2 * np.pi * np.cumsum(pitch) / RATE)
    return np.clip(tone + noise * hiss, -1, 1).astype(np.float32)


def picture(level: float) -> Image:
    """A grey frame with a bar that is as high as the mouth is open: uint8 [SIDE, SIDE, 3]."""
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    half = round(level * SIDE / 2.5)
    image[SIDE // 2 - half : SIDE // 2 + half + 1, SIDE // 5 : 4 * SIDE // 5] = 230
    return image


def make_set(folder: Path, people: int, frames: int, seed: int, jitter: float, noise: float) -> Path:
    """A real clip and a fake one of each person, below `folder`; returns it.

    jitter: spread of the bar about what the tone says, of a range of 1. noise: beside a tone of amplitude
    0.3.
    """
    rows = []
    for person in range(people):
        for label in (0, 1):
            name = f"{person:04d}-{label}"
            level = openings(seed, name, frames)
            shown = np.clip(level + rng_of(seed, "jitter", name).normal(0, jitter, frames), 0, 1)
            heard = level if label == 0 else openings(seed, f"{name} foreign", frames)
            path = folder / f"clips/{name}.mp4"
            encode_clip(path, map(picture, shown), sound_of_openings(seed, name, heard, noise), lossless=True)
            rows.append(
                ImageRecord(
                    image_id=name,
                    path=f"clips/{name}.mp4",
                    sha256=digest_file(path),
                    width=SIDE,
                    height=SIDE,
                    label=label,
                    method="foreign-sound" if label else "none",
                    family="reenact" if label else "none",
                    media="video",
                    frames=frames,
                    fps=FPS,
                    duration=frames / FPS,
                    identity_id=f"p{person}",
                    pair_id=f"p{person}",
                    video_id=name,
                    split=SPLITS[person % len(SPLITS)],
                )
            )
    write_manifest(table_of(rows, taxonomy="fairface4"), folder / "manifest.parquet")
    return folder


def only(folder: Path, out: Path, methods: Sequence[str]) -> Path:
    """The real clips of a set and some kinds of its fakes, linked or copied below `out`; returns it."""
    table = read_manifest(folder)
    kept = table.filter(pc.is_in(table["method"], pa.array(["none", *methods])))
    for name in kept["path"].to_pylist():
        linked(inside(folder, name), inside(out, name))
    write_manifest(kept, out / "manifest.parquet")
    return out


class BarReader:
    """In place of the face models, which see no face in a bar."""

    def read(self, frames: Iterable[Image], name: str = "clip") -> Mouths:
        """The frames at half their size, and as lip points the ends of the bar."""
        mouths = np.stack([frame[::2, ::2, 0] for frame in frames])
        level = (mouths[:, :, 16] > 160).mean(1, dtype=np.float32)
        lips = np.zeros((len(mouths), 40, 2), np.float32)
        lips[:, :, 1] = level[:, None] * np.linspace(-1, 1, 40, dtype=np.float32)
        return Mouths(mouths, lips, 1.0)


def audited(folder: Path) -> dict[str, Any]:
    """Whether the audit passes, and what its question on sound says."""
    report = audit_manifest(folder / "manifest.parquet", ["clip-shortcut"], {})["audits"]["clip-shortcut"]
    figure = report["figures"]["questions"]["real or fake (sound)"]
    return {
        "passed": report["passed"],
        "auc": figure["auc"],
        "interval": [figure["low"], figure["high"]],
        "feature": figure["feature"],
        "feature_auc": figure["feature_auc"],
    }


def scored(model: Path, features: Path, out: Path, replicates: int) -> dict[str, Any]:
    """AUC and its interval for each way of looking and each scorer, on the split test."""
    measure = Measure(replicates=replicates, min_n=1)
    asked = Request(model, out, features=features, split="test", trim=True)
    value, _ = evaluate_clips(asked, measure, quiet=True)
    return {
        way: {
            scorer: {
                "auc": one["utility"]["AUC"],
                "interval": one["utility"]["intervals"]["AUC"],
                "methods": {name: [part["AUC"], *part["interval"]] for name, part in one["methods"].items()},
            }
            for scorer, one in found["scorers"].items()
        }
        for way, found in value["ways"].items()
    }


def study(
    clean: Path,
    out: Path,
    settings: AlignmentSettings,
    replicates: int,
    reader: Any = None,
    encoder: Path | None = None,
    workers: int = 1,
    methods: Sequence[str] = (),
) -> dict[str, Any]:
    """All three findings; what is made on the way lies below `out`.

    Args:
        clean: folder of a set of clips with a split test, real and fake in one codec.
        out: folder.
        settings: of the model of real clips alone; the twin has the same.
        replicates: of the bootstrap.
        reader: of mouths; None: the embedded face models.
        encoder: a model whose encoder both take; None: it is learnt from the copy's real clips.
        workers: processes that read clips.
        methods: kinds of fakes that take part; none: all.
    """
    clean = only(clean, out / "only", methods) if methods else clean
    how = Rewrite(plant=PLANTED, lossless=True, seed=settings.seed)
    planted = rewrite(clean, out / "planted", how).manifest.parent
    found: dict[str, Any] = {
        "seed": settings.seed,
        "audit": {"as made": audited(clean), "planted": audited(planted)},
    }
    features = out / "features"
    own_features(clips_of([planted]), features, reader=reader, workers=workers)
    train_command(features, out / "real-only", settings, encoder=encoder, fresh=False, quiet=True)
    twin = settings.model_copy(update={"kind": "supervised"})
    train_command(features, out / "supervised", twin, encoder=out / "real-only", fresh=False, quiet=True)
    for name in ("real-only", "supervised"):
        found[name] = scored(out / name, features, out / f"{name}-figures", replicates)
    return found


def study_of_bars(
    out: Path,
    people: int,
    frames: int,
    settings: AlignmentSettings,
    replicates: int,
    jitter: float,
    noise: float,
) -> dict[str, Any]:
    """The findings on a set that is made here."""
    clean = make_set(out / "clean", people, frames, settings.seed, jitter, noise)
    facts = {"clips": 2 * people, "jitter": jitter, "noise": noise}
    return {**facts, **study(clean, out, settings, replicates, BarReader())}


def main() -> None:
    """Print the findings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", type=Path, help="a set of clips, instead of bars: its manifest's folder")
    parser.add_argument("--method", action="append", default=[], help="with --set, this fake (repeatable)")
    parser.add_argument("--encoder", type=Path, help="a model whose encoder both take")
    parser.add_argument("--workers", type=int, default=1, help="processes that read the clips of a set")
    parser.add_argument("--people", type=int, default=72)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--encoder-steps", type=int, help="default: 80 of bars, 1500 of a set")
    parser.add_argument("--steps", type=int, help="default: 60 of bars, 600 of a set")
    parser.add_argument(
        "--setting", action="append", default=[], help="key=value, as `av train --set` has them"
    )
    parser.add_argument("--jitter", type=float, default=0.15)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="keep clips, features and models here")
    args = parser.parse_args()
    common = {"seed": args.seed, "threads": args.threads}
    given = {"encoder_steps": args.encoder_steps, "steps": args.steps}
    small = {"encoder_steps": 80, "steps": 60, "encoder_clips": 4, "batch": 250, "hidden": 32}
    out = args.out or Path(tempfile.mkdtemp())
    start = time.process_time()
    try:
        said = {name: value for name, value in given.items() if value is not None}
        if args.set is not None:
            settings = settings_of(args.setting, **common, **said)
            found = study(
                args.set, out, settings, args.replicates, None, args.encoder, args.workers, args.method
            )
        else:
            settings = AlignmentSettings(**{**small, "longest": args.frames, **common, **said})
            found = study_of_bars(
                out, args.people, args.frames, settings, args.replicates, args.jitter, args.noise
            )
    finally:
        if args.out is None:
            shutil.rmtree(out)
    print(json.dumps({**found, "cpu_seconds": round(time.process_time() - start)}, indent=1))


if __name__ == "__main__":
    main()
