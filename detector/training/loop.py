"""Training a detector: balanced batches, SAM, EMA, selection on the validation split, exact resume, several
processes.

A run is a function of (settings, manifest): every draw is seeded by what it is for, the state is saved after
each epoch, and a run that was killed and goes on ends in the same bytes (same machine, `threads` and number
of processes).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from detector.training.files import TrainResult, finished, run_keys
from detector.training.material import Material, Report
from detector.training.online import BuildForge
from detector.training.run import Run
from detector.training.settings import TrainSettings
from manifests.contents import Digests
from manifests.errors import UsageError
from nn.devices import torch_threads
from nn.precision import choose
from nn.processes import join_world

__all__ = ["TrainResult", "TrainSettings", "train"]


def _silent(line: dict[str, Any]) -> None:
    """What other processes than the first report."""


def train(
    settings: TrainSettings,
    manifest: Path,
    out: Path,
    report: Report,
    *,
    device: str = "cpu",
    workers: int = 2,
    build_forge: BuildForge | None = None,
    digests: Digests = "whole",
) -> TrainResult:
    """Train a detector on the `train` rows of a manifest, select on its `val` rows, never read its `test`
    rows.

    Writes `checkpoint.safetensors` (averaged weights of the epoch that `keep` says), `training.json`,
    `metrics.jsonl` and, while it runs, `state.pt`. Run again after a kill it goes on from the last whole
    epoch; byte-equal results are promised on the CPU of one machine. A saved state of other settings, of
    another manifest, or computed in another precision is left aside. A finished training is not done again
    where `auto` would now come to another precision: it stays what was asked for.

    Args:
        settings: see `TrainSettings`.
        manifest: its file, or the folder with `manifest.parquet`.
        out: made if needed.
        report: gets `{"event": "precision", "precision", "text"}` first, then `{"event": "epoch", "epoch":
            1.., "epochs", "loss", "val_auc", ...}` after each epoch.
        device: torch device.
        workers: threads that make batches ahead; the result does not depend on it. With fakes drawn anew they
            are processes.
        build_forge: makes the maker of fakes that `settings.online` asks for
            (`pipeline.stages.train.online`).
        digests: which images are compared with the digests of their rows.

    Under torchrun every process calls this with the same arguments: `batch` is then that of all together, and
    the result is that of one process within rounding (dropout and `ascent = "process"` excepted: these draw
    and ascend per process).

    Raises:
        DataError: rows that cannot be trained on, unreadable images, or weights to start from that do not
            fit; before the
        first step. UsageError: unknown backbone or loss, a batch larger than the set or not to be split, a
        detector of another taxonomy to start from; later, a loss that is not finite.
        MissingError: no manifest, or no weights to start from. PartialError: the disk is full; the saved
            state is kept.
    """
    settings = settings.seeded()
    if bool(settings.online) != (build_forge is not None):
        raise UsageError(
            "train.online",
            "and build_forge go together",
            "train by `fairforge train`, or give both or neither",
        )
    keys = run_keys(settings, Path(manifest), build_forge([]).digests() if build_forge is not None else None)
    done = finished(Path(out), keys.values())
    if done is not None:
        return done
    with torch_threads(settings.threads), torch.random.fork_rng(devices=[]), join_world(device) as world:
        choice = choose(settings.precision, str(world.device), lambda native: all(world.collect(native)))
        own_report = report if world.rank == 0 else _silent
        material = Material(settings, Path(manifest), world, build_forge, digests, own_report)
        run = Run(settings, keys, choice, material, Path(out), world, workers)
        run.report({"event": "precision", "precision": choice.used, "text": choice.text})
        run.resume()
        world.barrier()
        run.train()
        return run.finish()
