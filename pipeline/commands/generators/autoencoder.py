"""`train-autoencoder`: the network that `blend-neural` draws faces with, on a folder, a zip, or parquet."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manifests.atomic import canonical_json, digest_file, drop_temporaries
from manifests.locks import writing_alone
from manifests.watching import watch_by
from nn.tracking import tracked_by
from pipeline.commands.generators.training import prepared_images
from pipeline.engine.progress import Reporter

WORD = "train-autoencoder"


def train_autoencoder(
    data: Path,
    out: Path,
    values: dict[str, Any],
    *,
    size: int,
    keep: list[str],
    data_note: str,
    quiet: bool,
    track: Sequence[str] = (),
) -> tuple[dict[str, Any], str]:
    """Train, or go on from the state in `out`.

    Args:
        data: folder of images, official dataset zip, or parquet.
        out: folder to write into.
        values: of `AutoencoderSettings`, those that were given.
        size: side of the pictures that it learns from, in pixels.
        keep: conditions on parquet columns.
        data_note: name and licence of the data, for the weights' header.
        quiet: no progress on stderr.
        track: who gets the figures, each `NAME:FOLDER`.

    Raises:
        UserError: as `prepared_images` and `AutoencoderTraining`.
    """
    from generators.autoencoder.training import FILES, OUTPUT, AutoencoderSettings, AutoencoderTraining
    from generators.training.images import open_images

    settings = AutoencoderSettings(**values)
    with writing_alone(out):
        import torch

        torch.set_num_threads(settings.threads)
        folder, reporter = out / "data", Reporter(quiet=quiet, stream=sys.stderr)
        drop_temporaries(folder)
        drop_temporaries(out, FILES)
        info = prepared_images(data, folder, size, keep, None, False, None, reporter.line)
        reporter.line(f"{info['count']} images of {size} px; left out: {info['skipped'] or 'none'}")
        metadata = {
            "data": data_note or data.name,
            "data_sha256": str(info["sha256"]),
            "images": str(info["count"]),
            "settings": canonical_json(settings.model_dump(mode="json")),
        }
        run = AutoencoderTraining(
            open_images(folder, size, None), settings, out, str(info["sha256"]), metadata
        )
        told = {"data": metadata["data"], **settings.model_dump(mode="json")}
        with watch_by(reporter.watch(WORD)), tracked_by(track, told):
            figures = run.run(reporter.line)
    path = out / OUTPUT
    value = {"autoencoder": str(path), "sha256": digest_file(path), **figures}
    return value, f"{path}\nsha256 {value['sha256']}\n{json.dumps(figures)}"
