"""Training a detector: balanced batches, SAM, EMA, selection on the validation split, exact resume.

A run is a function of (settings, manifest): every draw is seeded by what it is for, the state is saved after each
epoch, and a run that was killed and goes on ends in the same bytes (same machine, same `threads`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from detector.augmentation import AugmentParams, augment_row
from detector.batches import batch_targets, mask_batch, network_inputs
from detector.checkpoints import read_state, save_checkpoint, save_state
from detector.data import GROUPS, Classes, Indices, SplitData, check_rows, class_counts, load_masks, open_manifest, read_split
from detector.losses import Given, TotalLoss, build_loss
from detector.metrics import auc
from detector.network import NetworkConfig, build_network, normalise
from detector.optimizers import average_into, build_optimizer, rate_at
from detector.prediction import probabilities
from detector.qualities import parse_qualities, quality_tuples
from detector.sampler import balanced_epoch, shuffled_epoch
from detector.settings import TrainSettings
from detector.weight_perturbation import perturbed
from manifests.atomic import canonical_json, digest_file, digest_value, write_json, write_text
from manifests.errors import MissingError, UsageError
from manifests.seeding import seed_of
from manifests.store import manifest_file

__all__ = ["TrainResult", "TrainSettings", "train"]

FORMAT = 1
Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrainResult:
    """What a training made: the checkpoint and the figures of each epoch (`epoch`, `loss`, `val_auc`, ...)."""

    checkpoint: Path
    metrics: list[dict[str, Any]]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Inside, torch uses `count` CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _augment_params(settings: TrainSettings) -> AugmentParams:
    try:
        return AugmentParams.model_validate(settings.augment_params)
    except ValidationError as error:
        raise UsageError(
            "augment_params", "; ".join(f"{e['loc'][0]}: {e['msg']} (given {e['input']!r})" for e in error.errors()),
            f"its parameters are: {', '.join(AugmentParams.model_fields)}",
        ) from error


class _Run:
    """One training: data, network, optimizer, and where it stands."""

    def __init__(
        self, settings: TrainSettings, key: str, manifest: Path, out: Path, report: Report, device: str
    ) -> None:
        self.settings, self.key, self.out, self.report, self.device = settings, key, out, report, device
        self.loss, self.augmentation = build_loss(settings.loss, settings.loss_params), _augment_params(settings)
        self.qualities = parse_qualities(settings.qualities)
        table, folder, self.classes = open_manifest(manifest)
        check_rows(table, str(manifest), self.classes, settings.heads, "cell" in self.loss.needs.counts)
        self.loss.prepare(Given(
            settings.heads, class_counts(table, self.classes), max(len(self.qualities), 1), settings.mask_decoder,
            settings.head_mode,
        ))
        self.manifest_sha256 = digest_file(manifest_file(manifest))
        self.config = _network_config(settings, self.classes, self.loss)
        self.network = build_network(self.config, seed_of(settings.seed, "weights")).to(device)
        self.data, self.val = (
            read_split(table, folder, split, self.classes, settings.input_size) for split in ("train", "val")
        )
        if settings.mask_decoder:
            load_masks(self.data, str(manifest))
        self.steps = len(self.batches(0))
        if self.steps == 0:
            raise UsageError(
                f"batch = {settings.batch}", f"is larger than one epoch of the {len(self.data)} training images",
                "choose a smaller batch, or make more data",
            )
        self.average = build_network(self.config, seed_of(settings.seed, "weights")).to(device).eval()
        self.optimizer = build_optimizer(settings, self.network)
        self.metrics: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.metrics)

    def best_epoch(self) -> int:
        """The epoch (from 1) with the highest validation AUC, the earliest of several; 0 before the first."""
        return 1 + max(range(self.epoch), key=lambda k: self.metrics[k]["val_auc"], default=-1)

    def batches(self, epoch: int) -> list[Indices]:
        """Rows of each batch of an epoch (from 0)."""
        settings, data = self.settings, self.data
        if settings.sampling == "shuffle":
            return shuffled_epoch(len(data), settings.batch, settings.seed, epoch)
        return balanced_epoch(
            data.labels, data.groups["cell"], data.pair_ids, settings.batch, settings.seed, epoch, pairs=settings.pairs
        )

    def resume(self) -> None:
        """Go on from the state in `out`, if there is one of the same settings and manifest; its key is checked."""
        path = self.out / "state.pt"
        if not path.is_file():
            return
        state = read_state(path)
        if state.get("key") != self.key:
            self.report({"event": "restart", "reason": "the saved state is of other settings or another manifest"})
            return
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.metrics, self.best = state["metrics"], state["best"]

    def save(self) -> None:
        """Write the state, then the figures so far."""
        save_state(self.out / "state.pt", {
            "key": self.key, "metrics": self.metrics, "best": self.best, "network": self.network.state_dict(),
            "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
        })
        self.write_metrics()

    def write_metrics(self) -> None:
        """Write `metrics.jsonl`: one line per epoch."""
        write_text(self.out / "metrics.jsonl", "\n".join(map(canonical_json, self.metrics)))

    def augment_key(self, row: int) -> str:
        """What this row's augmentation is drawn for: its pair where pairs are kept together, else itself."""
        pair = self.data.pair_ids[row] if self.settings.pairs else None
        return self.data.ids[row] if pair is None else f"pair {pair}"

    def augment_keys(self, rows: Indices) -> list[str]:
        """`augment_key` of each row."""
        return [self.augment_key(row) for row in rows.tolist()]

    def inputs(self, rows: Indices, epoch: int) -> Tensor:
        """Normalised, augmented images of a batch."""
        images = self.data.batch(rows)
        if self.settings.augment:
            images = np.stack([
                augment_row(image, self.settings.seed, epoch, key, self.augmentation)
                for image, key in zip(images, self.augment_keys(rows), strict=True)
            ])
        if self.qualities:
            images = quality_tuples(images, self.augment_keys(rows), self.qualities, self.settings.seed, epoch)
        return normalise(torch.from_numpy(images).to(self.device), self.config)

    def masks(self, rows: Indices, epoch: int) -> Tensor | None:
        """Forgery masks of a batch, where there is a decoder to train."""
        if not self.settings.mask_decoder:
            return None
        augmentation = self.augmentation if self.settings.augment else None
        return mask_batch(self.data, rows, self.augment_keys(rows), self.settings.seed, epoch, augmentation)

    def step(self, rows: Indices, epoch: int, k: int) -> float:
        """One optimizer step on the rows; returns the loss before it."""
        settings, step = self.settings, epoch * self.steps + k
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * rate_at(step, self.steps * settings.epochs, settings.warmup)
        targets = batch_targets(
            self.data, rows, self.inputs(rows, epoch), qualities=max(len(self.qualities), 1), masks=self.masks(rows, epoch)
        )
        inputs = network_inputs(self.config, targets)
        self.network.progress = step / (self.steps * settings.epochs)

        def forward() -> Tensor:
            with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=settings.bf16):
                outputs = self.network(*inputs)
            return self.loss(outputs, targets, settings.label_smoothing)

        def closure() -> Tensor:
            push = self.loss.perturbation
            gamma = push.gamma if push is not None and epoch >= push.after else 0.0
            with perturbed(self.network, forward, gamma):
                loss = forward()
                loss.backward()
            return loss

        torch.manual_seed(seed_of(settings.seed, "step", epoch, k))
        loss = float(self.optimizer.step(closure))
        if not math.isfinite(loss):
            raise UsageError(
                "training", f"the loss became {loss} in epoch {epoch + 1}, step {k + 1} of {self.steps}",
                "lower lr or rho, or set bf16 = false; then start again with the new settings",
            )
        average_into(self.average, self.network, settings.ema, step)
        return loss

    def run_epoch(self) -> dict[str, Any]:
        """Train one epoch and validate; the epoch's figures."""
        epoch = self.epoch
        self.network.train()
        losses = [self.step(rows, epoch, k) for k, rows in enumerate(self.batches(epoch))]
        return {"epoch": epoch + 1, "steps": len(losses), "loss": float(np.mean(losses)), **self.validate()}

    def validate(self) -> dict[str, Any]:
        """Figures of the averaged network on the validation split."""
        parts = [
            probabilities(self.average, self.val.batch(range(start, min(start + 1024, len(self.val)))), self.device)
            for start in range(0, len(self.val), 1024)
        ]
        scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if not np.isfinite(scores["fake"]).all():
            raise UsageError(
                "training", f"validation scores of epoch {self.epoch + 1} are not finite", "lower lr or rho",
            )
        return validation_figures(scores, self.val)

    def train(self) -> None:
        """Train the epochs that are left; the state is saved before each report."""
        while self.epoch < self.settings.epochs:
            figures = self.run_epoch()
            self.metrics.append(figures)
            if self.best_epoch() == self.epoch:
                self.best = {k: v.detach().cpu().clone() for k, v in self.average.state_dict().items()}
            self.save()
            self.report({"event": "epoch", "epochs": self.settings.epochs, **figures})

    def finish(self) -> TrainResult:
        """Write the checkpoint of the best epoch, then `training.json`, which says that all is done."""
        checkpoint, best = self.out / "checkpoint.safetensors", self.best_epoch()
        facts = {"taxonomy": self.classes.taxonomy, "best_epoch": best, "val_auc": self.metrics[best - 1]["val_auc"]}
        save_checkpoint(checkpoint, self.config, self.best, facts)
        self.write_metrics()
        write_json(self.out / "training.json", {
            "key": self.key, "settings": self.settings.model_dump(mode="json"), **facts,
            "val": self.metrics[best - 1], "parameters": sum(p.numel() for p in self.network.parameters()),
            "classes": {name: getattr(self.classes, name) for name in GROUPS},
            "untrained_heads": [head for head in self.settings.heads if head not in self.loss.trains],
            "images": {"train": len(self.data), "val": len(self.val)},
            "sha256": {"manifest": self.manifest_sha256, "checkpoint": digest_file(checkpoint)},
        })
        (self.out / "state.pt").unlink(missing_ok=True)
        return TrainResult(checkpoint, self.metrics)


def run_key(settings: TrainSettings, manifest: Path) -> str:
    """What a training is: the digest of its settings and of the manifest's file.

    Raises:
        MissingError: no manifest.
    """
    file = manifest_file(manifest)
    if not file.is_file():
        raise MissingError(str(file), "is not there", "make it with `fairforge pair`, or check the path")
    return digest_value(
        {"format": FORMAT, "settings": settings.model_dump(mode="json"), "manifest": digest_file(file)}
    )


def finished(out: Path, key: str) -> TrainResult | None:
    """The result that a training of this key left in `out`, if it is whole."""
    facts_file, checkpoint, metrics = (out / n for n in ("training.json", "checkpoint.safetensors", "metrics.jsonl"))
    if not (facts_file.is_file() and checkpoint.is_file() and metrics.is_file()):
        return None
    facts = json.loads(facts_file.read_text(encoding="utf-8"))
    if facts.get("key") != key or facts["sha256"]["checkpoint"] != digest_file(checkpoint):
        return None
    return TrainResult(checkpoint, [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()])


def _network_config(settings: TrainSettings, classes: Classes, loss: TotalLoss) -> NetworkConfig:
    architecture = "pg-fdd" if loss.needs.network == "pg-fdd" else "single"
    cosine = {head: scale for head, scale in loss.needs.cosine.items() if head in ("fake", *settings.heads)}
    return NetworkConfig(
        backbone=settings.backbone, input_size=settings.input_size, stem_stride=settings.stem_stride,
        residual_input=settings.residual_input, dropout=settings.dropout,
        mirror=settings.mirror,
        heads={name: getattr(classes, name) for name in settings.heads},
        architecture=architecture, cosine=cosine, head_mode=settings.head_mode, reversal=settings.reversal,
        mask_decoder=settings.mask_decoder, layers=loss.needs.layers,
    )


def validation_figures(scores: dict[str, np.ndarray], data: SplitData) -> dict[str, Any]:
    """`val_auc`, `val_accuracy` (threshold 0.5), and the accuracy of each head where the truth is known (else None)."""
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


def train(
    settings: TrainSettings, manifest: Path, out: Path, report: Report, *, device: str = "cpu",
) -> TrainResult:
    """Train a detector on the `train` rows of a manifest, select on its `val` rows, never read its `test` rows.

    Writes `checkpoint.safetensors` (averaged weights of the best epoch), `training.json`, `metrics.jsonl` and, while it
    runs, `state.pt`. Run again after a kill it goes on from the last whole epoch; byte-equal results are promised
    on the CPU of one machine. A saved state of other settings or of another manifest is left aside.

    Args:
        settings: see `TrainSettings`. manifest: its file, or the folder with `manifest.parquet`. out: made if needed.
        report: gets `{"event": "epoch", "epoch": 1.., "epochs", "loss", "val_auc", ...}` after each epoch.
        device: torch device.

    Raises:
        DataError: rows that cannot be trained on, or unreadable images; before the first step.
        UsageError: unknown backbone or loss, a batch larger than the set; later, a loss that is not finite.
        MissingError: no manifest. PartialError: the disk is full; the saved state is kept.
    """
    key = run_key(settings, Path(manifest))
    done = finished(Path(out), key)
    if done is not None:
        return done
    with torch_threads(settings.threads), torch.random.fork_rng(devices=[]):
        run = _Run(settings, key, Path(manifest), Path(out), report, device)
        run.resume()
        run.train()
        return run.finish()
