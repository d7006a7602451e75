"""What a training is called, what it leaves behind, and how its validation is put into figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector.metrics.rates import auc
from detector.models.starting_weights import start_digests
from detector.training.data import SplitData
from detector.training.settings import TrainSettings
from manifests.atomic import digest_file, digest_value
from manifests.containment import inside
from manifests.errors import DataError, MissingError
from manifests.picture_shards import is_there, picture_digest
from manifests.store import manifest_file, read_images
from manifests.text_files import parse_json, read_json, read_text
from nn.precision import possible

FORMAT = 1


@dataclass(frozen=True)
class TrainResult:
    """What a training made: the checkpoint and the figures of each epoch (`epoch`, `loss`, `val_auc`,
    ...).
    """

    checkpoint: Path
    metrics: list[dict[str, Any]]


def run_keys(
    settings: TrainSettings, manifest: Path, forge: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a training is: the digest of its settings, of the manifest's file, of the weights it starts from
    and of masks it uses.

    One per precision that it may compute in, by that precision: `auto` is another training where it comes to
    another one.

    Args:
        settings: of the training.
        manifest: trained on.
        forge: digests of the weights that fakes are drawn with, where they are drawn anew.

    Raises:
        MissingError: no manifest.
    """
    file = manifest_file(manifest)
    if not file.is_file():
        raise MissingError(str(file), "is not there", "make it with `fairforge pair`, or check the path")
    masks = {"masks": _masks_digest(file)} if settings.mask_decoder else {}
    drawn = {"forge": dict(forge)} if forge else {}
    same = {"format": FORMAT, "manifest": digest_file(file), **start_digests(settings), **masks, **drawn}
    values = settings.model_dump(mode="json")
    return {
        used: digest_value({**same, "settings": {**values, "precision": used}})
        for used in possible(settings.precision)
    }


def _masks_digest(manifest: Path) -> str:
    """Of the forgery masks of the training rows: a manifest has the digests of its images alone."""
    rows = read_images(manifest).select(["mask_path", "split"]).to_pylist()
    names = sorted(row["mask_path"] for row in rows if row["split"] == "train" and row["mask_path"])
    files = ((name, inside(manifest.parent, name)) for name in names)
    return digest_value([[name, picture_digest(file)] for name, file in files if is_there(file)])


def finished(out: Path, keys: Collection[str]) -> TrainResult | None:
    """The result that a training of one of these keys left in `out`, if it is whole."""
    facts_file, checkpoint, metrics = (
        out / n for n in ("training.json", "checkpoint.safetensors", "metrics.jsonl")
    )
    if not (facts_file.is_file() and checkpoint.is_file() and metrics.is_file()):
        return None
    try:
        facts = read_json(facts_file, dict)
        lines = [parse_json(line.encode(), str(metrics), dict) for line in read_text(metrics).splitlines()]
    except DataError:
        return None
    sums = facts.get("sha256")
    whole = isinstance(sums, dict) and sums.get("checkpoint") == digest_file(checkpoint)
    return TrainResult(checkpoint, lines) if whole and facts.get("key") in keys else None


def validation_figures(scores: dict[str, np.ndarray], data: SplitData) -> dict[str, Any]:
    """`val_auc`, `val_accuracy` (threshold 0.5), and the accuracy of each head where the truth is known (else
    None).
    """
    called = scores["fake"] >= 0.5
    figures: dict[str, Any] = {
        "val_auc": float(auc(data.labels, scores["fake"])),
        "val_accuracy": float(np.mean(called == (data.labels == 1))),
    }
    for name in sorted(set(scores) - {"fake"}):
        known = data.groups[name] >= 0
        right = scores[name].argmax(1)[known] == data.groups[name][known]
        figures[f"val_{name}_accuracy"] = float(right.mean()) if known.any() else None
    return figures
