"""`fairforge av train`: the encoder and the alignment, on a folder of features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detector.audio_visual.encoder import Encoder
from detector.audio_visual.model import FILE, load_model
from detector.audio_visual.settings import AlignmentSettings
from detector.audio_visual.training import FeatureClip, train_alignment
from manifests.atomic import write_json
from manifests.errors import DataError, UsageError
from manifests.locks import writing_alone
from manifests.watching import watch_by
from pipeline.commands.audio_visual.features import feature_file, read_table_of, root_of
from pipeline.engine.config_file import parse_set
from pipeline.engine.progress import Reporter

STATES = (FILE, "encoder.state", "alignment.state", "training.json")


def settings_of(sets: Sequence[str], **flags: Any) -> AlignmentSettings:
    """Settings of `key=value` texts and of the flags that are given.

    Raises:
        UsageError: an unknown key or a value that is refused.
    """
    values = {".".join(path): value for path, value in map(parse_set, sets)}
    values |= {name: value for name, value in flags.items() if value is not None}
    try:
        return AlignmentSettings.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (given {e['input']!r})" for e in error.errors()]
        raise UsageError(
            "settings", "; ".join(lines), f"keys are: {', '.join(AlignmentSettings.model_fields)}"
        ) from error


def feature_clips(folder: Path) -> list[FeatureClip]:
    """The usable clips of a folder of features; one without a label counts as real.

    Raises:
        MissingError, DataError: no table, or no usable clip.
    """
    root = root_of(folder)
    rows = [row for row in read_table_of(folder).to_pylist() if row["status"] == "ok"]
    if not rows:
        raise DataError(str(folder), "has no usable clip", "see the reasons in features.parquet")
    return [
        FeatureClip(
            row["clip_id"],
            feature_file(root, row),
            row["digest"],
            int(row["label"] or 0),
            row["split"],
            row["identity_id"] or row["video_id"] or row["clip_id"],
        )
        for row in rows
    ]


def train_command(
    features: Path,
    out: Path,
    settings: AlignmentSettings,
    *,
    encoder: Path | None,
    fresh: bool,
    quiet: bool,
) -> tuple[dict[str, Any], str]:
    """Train a model into `out`; killed and called again it goes on.

    Args:
        features: folder of `fairforge av features`. out: folder. settings: how. encoder: a model whose
            encoder is taken as it is.
        fresh: begin again. quiet: no progress.

    Raises:
        MissingError, DataError, UsageError: as `detector.audio_visual.training.train_alignment`; a model
            without an encoder.
    """
    frozen: Encoder | None = None
    if encoder is not None:
        frozen = load_model(encoder).encoder
        if frozen is None:
            raise UsageError(
                f"--encoder {encoder}",
                "has no encoder: it was trained on published features",
                "give another model",
            )
    clips = feature_clips(features)
    with writing_alone(out):
        if fresh:
            for name in STATES:
                (out / name).unlink(missing_ok=True)
        reporter = Reporter(quiet=quiet)
        with watch_by(reporter.watch("av train")):
            file, facts = train_alignment(clips, out, settings, frozen)
        write_json(out / "training.json", facts)
    limits = ", ".join(f"{name} {value:.3f}" for name, value in facts["thresholds"].items())
    text = (
        f"{file}: {facts['train_clips']} clips, {facts['held_out']} held out; 5 % of those are above {limits}"
    )
    return {"model": str(file), **facts}, text
