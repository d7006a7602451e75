"""`fairforge train --manifest`: a detector on any manifest, outside a run; in one process or in several by
torchrun.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from detector.training.settings import TrainSettings
from manifests.atomic import drop_temporaries
from manifests.contents import Digests
from manifests.environment import environment
from manifests.errors import UsageError
from manifests.locks import writing_alone
from manifests.watching import watch_by
from nn.tracking import tracked_by
from pipeline.engine.executors import check_device
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import read_json

FILES = ("checkpoint.safetensors", "training.json", "metrics.jsonl", "state.pt")
"""What a training writes; the last while it runs."""


def _discard(out: Path) -> None:
    """Remove what an earlier training left in `out`.

    Raises:
        UsageError: several processes, which would remove each other's.
    """
    if (environment().processes or 1) > 1:
        raise UsageError(
            "--fresh", "is for a training in one process", f"remove {', '.join(FILES)} in {out} yourself"
        )
    for name in FILES:
        (out / name).unlink(missing_ok=True)


def event_text(event: Mapping[str, Any]) -> str:
    """What `detector.training.loop` reports, in one line."""
    if "text" in event:
        return str(event["text"])
    return " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in event.items())


def train_detector(
    manifest: Path,
    out: Path,
    settings: TrainSettings,
    *,
    device: str,
    workers: int,
    track: Sequence[str] = (),
    fresh: bool,
    quiet: bool,
    digests: Digests = "whole",
) -> tuple[dict[str, Any], str]:
    """Train, or go on from the state in `out`; the checkpoint and the figures of its epoch.

    track: `NAME:FOLDER` of trackers (`nn.tracking`). fresh: discard what an earlier training left in `out`.
    digests: which images are compared with the digests of their rows.

    Raises:
        UserError: as `detector.training.loop.train`.
    """
    from detector.training.loop import train
    from pipeline.stages.train.online import forge_of

    check_device(device)
    first = environment().leads
    reporter = Reporter(quiet=quiet or not first, stream=sys.stderr)

    def report(line: dict[str, Any]) -> None:
        reporter.line(f"train: {event_text(line)}")

    with (
        writing_alone(out) if first else nullcontext(),
        watch_by(reporter.watch("train")),
        tracked_by(track if first else (), {"manifest": manifest, **settings.model_dump(mode="json")}),
    ):
        if environment().processes is None:
            drop_temporaries(out, FILES)
        if fresh:
            _discard(out)
        result = train(
            settings,
            manifest,
            out,
            report,
            device=device,
            workers=workers,
            build_forge=forge_of(settings.model_dump()),
            digests=digests,
        )
    best = max(result.metrics, key=lambda line: float(line["val_auc"]))
    reporter.line(f"made {result.checkpoint}; next: fairforge predict FILE --checkpoint {out}")
    return {"checkpoint": str(result.checkpoint), "epochs": len(result.metrics), "best": best}, str(
        result.checkpoint
    )


def _state(out: Path, keys: Collection[str], fresh: bool) -> tuple[str, str]:
    """What training with one of these keys would find in `out`: a plan's state, and why."""
    from detector.inference.checkpoints import read_state
    from detector.training.files import finished

    there = [name for name in FILES if (out / name).is_file()]
    if not there:
        return "missing", "not started"
    if fresh:
        return "stale", "asked for by --fresh"
    if finished(out, keys):
        return "done", "trained with these settings on this manifest already"
    state = read_state(out / "state.pt") if (out / "state.pt").is_file() else {}
    if state.get("key") in keys:
        return "partial", f"{len(state.get('metrics', []))} epochs are done"
    other = read_json(out / "training.json").get("key", state.get("key"))
    changed = (
        "other settings or another manifest"
        if other not in keys
        else "its checkpoint is missing or was changed"
    )
    return "stale", changed


def plan_training(
    manifest: Path,
    out: Path,
    settings: TrainSettings,
    *,
    device: str,
    fresh: bool,
) -> tuple[list[dict[str, Any]], str]:
    """What `train_detector` would do, as a plan of one stage; nothing is written.

    Raises:
        UserError: what would stop it before its first step, except for unreadable images and weights.
    """
    from detector.losses import build_loss
    from detector.models.network import build_network
    from detector.training.data import check_rows, open_manifest
    from detector.training.files import run_keys
    from detector.training.preparation import check_shares, network_config
    from nn.processes import World, process_count
    from pipeline.stages.train.online import forge_of

    check_device(device)
    loss = build_loss(settings.loss, settings.loss_params)
    check_shares(settings, World(size=process_count()), loss)
    table, _, classes = open_manifest(manifest)
    build_forge = forge_of(settings.model_dump())
    check_rows(
        table, str(manifest), classes, settings.heads, "cell" in loss.needs.counts, build_forge is not None
    )
    build_network(network_config(settings, classes, loss), settings.own_seed)
    splits = table["split"].to_pylist()
    drawn = build_forge([]).digests() if build_forge is not None else None
    state, why = _state(out, run_keys(settings.seeded(), manifest, drawn).values(), fresh)
    images = {"train": splits.count("train"), "val": splits.count("val")}
    facts = {
        "stage": "train",
        "state": state,
        "why": why,
        "manifest": str(manifest),
        "out": str(out),
        "epochs": settings.epochs,
        "images": images,
        "device": device,
        "files": [str(out / name) for name in FILES],
    }
    text = (
        f"train     {state:<8} {why}; {settings.epochs} epochs of {images['train']} images of {manifest}, "
        f"{images['val']} for validation, on {device}; into {out}: {', '.join(FILES)}"
    )
    return [facts], text
