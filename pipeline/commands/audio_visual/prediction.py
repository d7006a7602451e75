"""`fairforge av predict`: scores of clips, one per clip and one per frame, and a picture of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detector.audio_visual.chance import ALPHA
from detector.audio_visual.feature_files import OWN
from detector.audio_visual.model import TALKING, AudioVisualModel, load_model
from manifests.clips.reading import FPS
from manifests.errors import DataError, MissingError, UsageError
from manifests.escaping import printable
from manifests.release.exporting import slug
from pipeline.commands.audio_visual.clip_reader import ClipReader, mouth_reader
from pipeline.commands.audio_visual.sources import NamedClip, clips_of, file_digest

SCORER = "avh-mean"
"""What decides whether a clip is called fake by a model of clips like it: clips to predict have all
lengths."""
UNTOLD = "cannot be told: too short, or nothing moves or is heard"


def in_step(chance: float) -> bool | None:
    """Whether sound and mouth are in step by the clip's own lags; None where nothing can be told.

    Args:
        chance: of `detector.audio_visual.chance.chance_score`.
    """
    return None if chance == 1 else chance < ALPHA


def words(chance: float) -> str:
    """What `chance` says of a clip, and how sure it is."""
    found = in_step(chance)
    if found is None:
        return UNTOLD
    if found:
        return f"in step: {max(chance, 1e-4):.2g} of unrelated sounds would fit as well"
    if chance > 0.5:
        return "not in step: the sound fits at another lag, or at none; fake, or cannot be told"
    return f"not surely in step: {chance:.2g} of unrelated sounds would fit as well; fake, or cannot be told"


def _row(
    clip: NamedClip,
    reader: ClipReader,
    model: AudioVisualModel,
    limit: float | None,
    own: bool,
    plots: Path | None,
    number: int,
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "path": clip.key,
        "status": "ok",
        "reason": None,
        "notes": "",
        "fake": None,
        "in_step": None,
        "verdict": None,
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
    chance = found.clip["chance"]
    together = in_step(chance)
    if own:
        fake = None if limit is None else found.clip[SCORER] >= limit
    else:
        fake = None if together is None else not together
    row |= {
        "in_step": together,
        "verdict": words(chance),
        "notes": noted["notes"],
        "silence": round(noted["silence"], 5),
        "scores": {k: round(v, 6) for k, v in found.clip.items()},
        "fake": fake,
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
    """A row per clip: `status`, `reason`, `notes`, `scores` by scorer, `in_step` (by the clip's own lags, see
    `detector.audio_visual.chance`), `verdict` (that in words), `fake`, `frames`.

    `fake` is by the threshold that 5 % of held-out real clips exceed; of the embedded model, whose held-out
    clips are synthetic, by `in_step`. None where nothing can be told.

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
    limit, own = model.thresholds().get(SCORER), str(checkpoint) != TALKING
    return [_row(clip, reader, model, limit, own, plots, number) for number, clip in enumerate(clips)]


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
        noted = f"  ({'; '.join(filter(None, (row['verdict'], row['notes'])))})"
        lines.append(f"{row['scores'][SCORER]:8.3f}  {called:<4}  {printable(row['path'])}{noted}")
    return rows, "\n".join(lines), any(row["status"] == "ok" for row in rows)
