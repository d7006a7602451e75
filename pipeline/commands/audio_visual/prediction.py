"""`fairforge av predict`: scores of clips, one per clip and one per frame, and a picture of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detector.audio_visual.feature_files import OWN
from detector.audio_visual.model import TALKING, AudioVisualModel, load_model
from manifests.clips.reading import FPS
from manifests.errors import DataError, MissingError, UsageError
from manifests.escaping import printable
from manifests.release.exporting import slug
from pipeline.commands.audio_visual.clip_reader import ClipReader, mouth_reader
from pipeline.commands.audio_visual.sources import NamedClip, clips_of, file_digest

SCORER = "avh-mean"
"""What decides whether a clip is called fake: clips to predict have all lengths."""


def _row(
    clip: NamedClip,
    reader: ClipReader,
    model: AudioVisualModel,
    limit: float | None,
    plots: Path | None,
    number: int,
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "path": clip.key,
        "status": "ok",
        "reason": None,
        "notes": "",
        "fake": None,
        "scores": None,
        "frames": None,
    }
    try:
        if clip.problem is not None:
            raise DataError(clip.key, clip.problem, "rename it")
        file_digest(clip)
        arrays, noted = reader.arrays(clip)
        found = model.score(OWN, arrays)
    except (MissingError, DataError) as error:
        return {**row, "status": "failed", "reason": error.why}
    row |= {
        "notes": noted["notes"],
        "silence": round(noted["silence"], 5),
        "scores": {k: round(v, 6) for k, v in found.clip.items()},
        "fake": None if limit is None else found.clip[SCORER] >= limit,
        "frames": [
            {"second": k / FPS, "score": round(float(value), 5)} for k, value in enumerate(found.frames)
        ],
    }
    if plots is not None:
        from manifests.atomic import write_bytes
        from pipeline.commands.audio_visual.plot import clip_plot

        file = plots / f"{number:05d}-{slug(clip.path.stem)}.png"
        write_bytes(file, clip_plot(arrays["mouths"], arrays["banks"], found.frames))
        row["plot"] = str(file)
    return row


def predict_clips(
    paths: Sequence[Path],
    checkpoint: Path,
    *,
    trim: bool = False,
    plots: Path | None = None,
    device: str = "cpu",
    mouths: Any = None,
) -> list[dict[str, Any]]:
    """A row per clip: `status`, `reason`, `notes`, `scores` by scorer, `fake` (against 5 % of real clips;
    None from the embedded model, which gives scores alone), `frames`.

    Args:
        paths: clips, folders of them, or manifests. checkpoint: a model of `fairforge av train`, or its
            folder. trim: without leading silence. plots: folder for a picture of each clip. device: of the
            face models. mouths: a `MouthReader`.

    Raises:
        MissingError, DataError: no clip at all; no model. UsageError: a model of published features, which no
            clip has.
    """
    model = load_model(checkpoint)
    if model.encoder is None:
        raise UsageError(
            f"--checkpoint {checkpoint}",
            "was trained on published features, which a clip does not have",
            "give a model of our own features, or score theirs with `fairforge av evaluate --features`",
        )
    clips = clips_of(paths)
    reader = ClipReader(mouths or mouth_reader(device), trim)
    # The embedded model's threshold is of synthetic clips: it would call every real person's clip fake.
    limit = None if str(checkpoint) == TALKING else model.thresholds().get(SCORER)
    return [_row(clip, reader, model, limit, plots, number) for number, clip in enumerate(clips)]


def predict_command(
    paths: Sequence[Path],
    checkpoint: Path,
    *,
    trim: bool,
    plots: Path | None,
    device: str,
) -> tuple[list[dict[str, Any]], str, bool]:
    """`predict_clips` as values and as text, and whether any clip was scored."""
    from pipeline.engine.executors import one_thread

    one_thread()
    rows = predict_clips(paths, checkpoint, trim=trim, plots=plots, device=device)
    lines = []
    for row in rows:
        if row["status"] != "ok":
            lines.append(f"failed  {printable(row['path'])}: {row['reason']}")
            continue
        called = {True: "fake", False: "real", None: "-"}[row["fake"]]
        noted = f"  ({row['notes']})" if row["notes"] else ""
        lines.append(f"{row['scores'][SCORER]:8.3f}  {called:<4}  {printable(row['path'])}{noted}")
    return rows, "\n".join(lines), any(row["status"] == "ok" for row in rows)
