"""`train-attributes` and `train-landmarks`: the embedded face models, trained from labelled aligned faces."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from manifests.errors import MissingError, UsageError
from manifests.locks import writing_alone
from manifests.watching import watch_by
from nn.tracking import tracked_by
from pipeline.engine.progress import Reporter


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """`64x12,96x6` as ((64, 12), (96, 6)).

    Raises:
        UsageError: not of that form.
    """
    try:
        pairs = [tuple(map(int, part.split("x"))) for part in text.split(",")]
    except ValueError:
        pairs = []
    if not pairs or any(len(p) != 2 or min(p) < 1 for p in pairs):
        raise UsageError(
            f"--sizes {text}", "is not of the form SIDExEPOCHS,...", "for example --sizes 64x12,96x6"
        )
    return tuple((p[0], p[1]) for p in pairs)


def train_face_model(
    kind: str,
    data: Path,
    out: Path,
    sizes: str | None,
    seed: int | None,
    threads: int,
    precision: str,
    quiet: bool,
    trunk: str | None = None,
    track: Sequence[str] = (),
) -> tuple[dict[str, Any], str]:
    """Train on `data/train-*.parquet`, measure on `data/dev.parquet`; goes on from a checkpoint in `out`.

    track: `NAME:FOLDER` of trackers (`nn.tracking`).

    Raises:
        MissingError: no training files, or no dev file. UserError: as the trainers; an unknown precision.
    """
    from attribute_models.training import attributes as attribute_training
    from attribute_models.training import landmarks as landmark_training

    train = sorted(data.glob("train-*.parquet"))
    if not train:
        raise MissingError(
            f"{data}/train-*.parquet", "is not there", "give --data a folder of labelled aligned faces"
        )
    trainer, base = {
        "attributes": (attribute_training.train_attributes, attribute_training.SETTINGS),
        "landmarks": (landmark_training.train_landmarks, landmark_training.SETTINGS),
    }[kind]
    settings = replace(
        base,
        sizes=base.sizes if sizes is None else parse_sizes(sizes),
        seed=base.seed if seed is None else seed,
        threads=threads,
        precision=precision,
    )
    more = {} if trunk is None else {"trunk": trunk}
    reporter = Reporter(quiet=quiet, stream=sys.stderr)
    asked = {"data": data, **asdict(settings), **more}
    with writing_alone(out), watch_by(reporter.watch(f"train-{kind}")), tracked_by(track, asked):
        measured = trainer(train, data / "dev.parquet", out, settings, report=reporter.line, **more)
    return dict(measured), json.dumps(measured, indent=1, sort_keys=True)
