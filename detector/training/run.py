"""The state of one training of a detector, and its steps.

What it is trained on is in `detector.training.material`, what stands before the first step in
`detector.models.starting_weights`, what is written in the end in `detector.training.files`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detector.inference.checkpoints import ANEW, STATE, save_checkpoint
from detector.inference.prediction import probabilities
from detector.models.batch_norm import share_statistics
from detector.models.network import build_network, normalise
from detector.models.starting_weights import check_input, load_start, start_digests
from detector.models.tuning import freeze
from detector.training.batch_loading import Feeder
from detector.training.batch_maker import Ready
from detector.training.batches import batch_targets, network_inputs
from detector.training.data import GROUPS, Indices
from detector.training.files import TrainResult, validation_figures
from detector.training.gradients import BatchGradient
from detector.training.material import Material
from detector.training.online import OnlineData
from detector.training.optimizers import build_optimizer, rate_at
from detector.training.settings import TrainSettings
from detector.training.stacking import as_text, put_beside, weigh_beside
from detector.training.weight_perturbation import perturbed
from manifests.atomic import canonical_json, digest_file, write_json, write_text
from manifests.errors import UsageError
from manifests.seeding import seed_of
from nn.averaging import average_into, warming_decay
from nn.precision import Choice
from nn.processes import World
from nn.tracking import log_figures
from nn.training_loop import OtherTraining, StateFile, Steps, run_steps

BLOCK = 1024
NUMBERED = ("pairs", "tuples")
"""Fields of the truth whose numbers tell rows of one process apart."""


class Run:
    """One training: network, optimizer, and where it stands.

    Args:
        settings: of the training.
        keys: what it is, by precision (`files.run_keys`).
        choice: the precision it computes in.
        material: what it is trained on; its images are read here, after the weights to start from.
        out: where state, figures and checkpoint go.
        world: this process among all.
        workers: that make batches ahead.

    Raises:
        DataError: weights to start from that do not fit, unreadable images.
        UsageError: a detector of another taxonomy to start from.
    """

    def __init__(
        self,
        settings: TrainSettings,
        keys: Mapping[str, str],
        choice: Choice,
        material: Material,
        out: Path,
        world: World,
        workers: int,
    ) -> None:
        self.settings, self.out, self.world, self.material = settings, out, world, material
        self.keys, self.key, self.choice = keys, keys[choice.used], choice
        self.report, self.device = material.report, world.device
        self.loss, self.config = material.loss, material.config
        self.network = build_network(self.config, seed_of(settings.own_seed, "weights"))
        started = load_start(self.network, settings, material.classes)
        self.started = started if settings.start_share else {}
        freeze(self.network, self.network.encoders, settings.tune, settings.residual_input)
        check_input(self.network)
        if settings.beside:
            put_beside(self.config, settings.beside)  # to hear of what is missing before the first step
        self.network.to(self.device)
        material.read_images()
        self.data, self.val, self.steps = material.train, material.val, material.steps
        self.average = build_network(self.config, seed_of(settings.own_seed, "weights"))
        self.average.to(self.device).eval()
        self.average.load_state_dict(self.network.state_dict())
        if world.size > 1:
            share_statistics(self.network)
        self.optimizer = build_optimizer(
            settings, self.network, world.sum_gradients if world.size > 1 else None
        )
        self.feeder = Feeder(material.maker, workers, material.online)
        self.waited = 0.0
        self.metrics: list[dict[str, Any]] = []
        self.kept: dict[str, Tensor] = {}
        self.state = StateFile(out / "state.pt", self.key, STATE, ANEW, keys=keys)
        self.rows: list[Indices] = []
        self.source: Iterator[Ready] = iter(())
        self.refused, self.begun = 0, 0.0

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.metrics)

    def best_epoch(self) -> int:
        """The epoch (from 1) with the highest validation AUC, the earliest of several; 0 before the first."""
        return 1 + max(range(self.epoch), key=lambda k: self.metrics[k]["val_auc"], default=-1)

    def kept_epoch(self) -> int:
        """The epoch (from 1) whose weights are kept so far; 0 before the first."""
        return self.epoch if self.settings.keep == "last" else self.best_epoch()

    def resume(self) -> None:
        """Go on from the state in `out`, if there is one of the same settings, manifest and precision; its
        key is checked.
        """
        try:
            state = self.state.read()
        except OtherTraining as other:
            used = other.computed_in
            reason = "the saved state is of other settings or another manifest"
            if used is not None:
                reason = f'the saved state was computed in {used}; set precision = "{used}" to go on with it'
            self.report({"event": "restart", "reason": reason})
            return
        if state is None:
            return
        with self.state.restoring():
            if not all(isinstance(line["val_auc"], float) for line in state["metrics"]):
                raise TypeError("figures of epochs that are no numbers")
            self.average.load_state_dict(state["best"])
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.metrics, self.kept = [dict(line) for line in state["metrics"]], dict(state["best"])

    def save(self) -> None:
        """Write the state, then the figures so far; all processes have the same, the first one writes."""
        if self.world.rank > 0:
            return
        self.state.write(
            {
                "metrics": self.metrics,
                "best": self.kept,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        )
        self.write_metrics()

    def write_metrics(self) -> None:
        """Write `metrics.jsonl`: one line per epoch."""
        write_text(self.out / "metrics.jsonl", "\n".join(map(canonical_json, self.metrics)))

    def step(self, rows: Indices, epoch: int, k: int, ready: Ready) -> float:
        """One optimizer step on a global batch, of which `rows` are this process's, made `ready`; the loss
        before it.
        """
        settings, step = self.settings, epoch * self.steps + k
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * rate_at(
                step,
                self.steps * settings.epochs,
                settings.warmup,
                settings.schedule,
                settings.milestones,
                settings.decay,
            )
        images = normalise(torch.from_numpy(ready.pixels).to(self.device), self.config)
        masks = None if ready.masks is None else torch.from_numpy(ready.masks)
        own = batch_targets(
            self.data, rows, images, qualities=max(len(self.material.qualities), 1), masks=masks
        )
        targets = self.world.gather_fields(own, NUMBERED)
        self.network.progress = step / (self.steps * settings.epochs)
        gradient = BatchGradient(
            self.network,
            network_inputs(self.config, own),
            lambda outputs: self.loss(outputs, targets, settings.label_smoothing),
            self.world,
            settings.accumulate,
            self.choice.used,
        )
        push = self.loss.perturbation
        gamma = push.gamma if push is not None and epoch >= push.after else 0.0

        def closure() -> Tensor:
            with perturbed(self.network, gradient.value, gamma, self.world.add_up):
                return gradient()

        ranks = (self.world.rank,) if self.world.size > 1 else ()
        torch.manual_seed(seed_of(settings.own_seed, "step", epoch, k, *ranks))
        loss = float(self.optimizer.step(closure))
        if math.isfinite(loss):  # else the training ends here
            average_into(self.average, self.network, warming_decay(settings.ema, step))
        return loss

    def begin_epoch(self) -> None:
        """Draw the batches of the next epoch, and begin to make them ahead."""
        epoch = self.epoch
        self.network.train()
        share = self.world.share(self.settings.batch)
        self.rows = [rows[share] for rows in self.material.batches(epoch)]
        if isinstance(self.data, OnlineData):
            self.data.begin(epoch)
        self.source = self.feeder.batches(self.rows, epoch)
        self.refused, self.begun, self.waited = 0, time.perf_counter(), 0.0

    def one(self, number: int) -> dict[str, float]:
        """The step of this number in the whole training, on this process's rows."""
        epoch, k = divmod(number, self.steps)
        if k == 0:
            self.begin_epoch()
        asked = time.perf_counter()
        ready = next(self.source)
        self.waited += time.perf_counter() - asked
        self.refused += ready.refused
        return {"loss": self.step(self.rows[k], epoch, k, ready)}

    def end_epoch(self, losses: list[float]) -> None:
        """Validate, keep the weights if they are to be, save, report. losses: of the epoch's steps."""
        waited = self.waited / max(time.perf_counter() - self.begun, 1e-9)
        online = isinstance(self.data, OnlineData)
        figures = {
            "epoch": self.epoch + 1,
            "steps": len(losses),
            "loss": float(np.mean(losses)),
            **({"refused_draws": int(sum(self.world.collect(self.refused)))} if online else {}),
            **self.validate(),
        }
        self.metrics.append(figures)
        if self.kept_epoch() == self.epoch:
            self.kept = {k: v.detach().cpu().clone() for k, v in self.average.state_dict().items()}
        self.save()
        if self.world.rank == 0:
            rate = self.optimizer.param_groups[0]["lr"]
            log_figures(int(figures["epoch"]), {**figures, "learning_rate": rate})
        self.report({"event": "epoch", "epochs": self.settings.epochs, **figures, "waited": round(waited, 3)})

    def validate(self) -> dict[str, Any]:
        """Figures of the averaged network on the validation split; processes take turns at its blocks."""
        blocks = [range(start, min(start + BLOCK, len(self.val))) for start in range(0, len(self.val), BLOCK)]
        world = self.world
        own = [
            probabilities(self.average, self.val.batch(block), self.device)
            for block in blocks[world.rank :: world.size]
        ]
        shared = world.collect(own)
        parts = [shared[k % world.size][k // world.size] for k in range(len(blocks))]
        scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if not np.isfinite(scores["fake"]).all():
            raise UsageError(
                "training",
                f"validation scores of epoch {self.epoch + 1} are not finite",
                "lower lr or rho",
            )
        return validation_figures(scores, self.val)

    def train(self) -> None:
        """Train the epochs that are left, or until `patience` is over; the state is saved before each
        report.
        """
        each = self.steps
        steps = Steps(
            self.settings.epochs * each,
            self.epoch * each,
            place=lambda number: f"epoch {number // each + 1}, step {number % each + 1} of {each}",
            advice='lower lr or rho, or set precision = "float32"; then start again with the new settings',
        )
        with self.feeder:
            run_steps(
                self.one,
                steps,
                due=lambda done: done % each == 0,
                save=lambda done, figures: self.end_epoch(figures["loss"]),
                stop=lambda done: done % each == 0 and self.impatient(),
            )
        if self.epoch < self.settings.epochs:
            self.report({"event": "early stop", "epoch": self.epoch, "best_epoch": self.best_epoch()})

    def impatient(self) -> bool:
        """Whether the validation AUC has not risen for `patience` epochs."""
        return 0 < self.settings.patience <= self.epoch - self.best_epoch()

    def mix_with_start(self) -> dict[str, Any]:
        """Give the weights that training started from their `start_share` in the kept ones (WiSE-FT,
        Wortsman et al., CVPR 2022); the validation figures of the mean, none where it has no share.
        """
        share = self.settings.start_share
        if not share:
            return {}
        self.kept = {
            name: torch.lerp(value, self.started[name].to(value), share)
            if name in self.started and value.is_floating_point()
            else value
            for name, value in self.kept.items()
        }
        self.average.load_state_dict(self.kept)
        return self.validate()

    def finish(self) -> TrainResult:
        """Write the checkpoint of the kept epoch, then `training.json`, which says that all is done."""
        checkpoint, kept = self.out / "checkpoint.safetensors", self.kept_epoch()
        figures = {**self.metrics[kept - 1], **self.mix_with_start()}
        facts = {
            "taxonomy": self.material.classes.taxonomy,
            "kept_epoch": kept,
            "val_auc": figures["val_auc"],
        }
        if self.world.rank > 0:
            self.world.barrier()
            return TrainResult(checkpoint, self.metrics)
        config, state = self.config, self.kept
        stacking: dict[str, Any] = {}
        if self.settings.beside:
            stacked = weigh_beside(config, state, self.settings.beside, self.val, self.device)
            config, state, stacking = stacked.config, stacked.state, {"stacking": stacked.facts}
            self.report({"event": "beside", "text": as_text(stacked.facts)})
        save_checkpoint(checkpoint, config, state, {**facts, **stacking})
        self.write_metrics()
        write_json(
            self.out / "training.json",
            {
                "key": self.key,
                "settings": self.settings.model_dump(mode="json"),
                "precision": self.choice.used,
                **facts,
                **stacking,
                "val": figures,
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "classes": {name: getattr(self.material.classes, name) for name in GROUPS},
                "untrained_heads": [head for head in self.settings.heads if head not in self.loss.trains],
                "images": {"train": len(self.data), "val": len(self.val)},
                "sha256": {
                    "manifest": self.material.manifest_sha256,
                    "checkpoint": digest_file(checkpoint),
                    **start_digests(self.settings),
                },
                **({"processes": self.world.size} if self.world.size > 1 else {}),
            },
        )
        (self.out / "state.pt").unlink(missing_ok=True)
        self.world.barrier()
        return TrainResult(checkpoint, self.metrics)
