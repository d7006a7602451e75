"""Training a detector: balanced batches, SAM, EMA, selection on the validation split, exact resume, several
processes.

A run is a function of (settings, manifest): every draw is seeded by what it is for, the state is saved after
each epoch, and a run that was killed and goes on ends in the same bytes (same machine, `threads` and number
of processes). What stands before the first step is in `detector.models.starting_weights`, what is written in
the end in `detector.training.files`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from detector.inference.checkpoints import ANEW, STATE, save_checkpoint
from detector.inference.prediction import probabilities
from detector.losses import Given, build_loss
from detector.models.batch_norm import share_statistics
from detector.models.network import build_network, normalise
from detector.models.starting_weights import check_input, load_start, start_digests
from detector.models.tuning import freeze
from detector.training.augmentation import AugmentParams
from detector.training.batch_loading import Feeder
from detector.training.batch_maker import BatchMaker, Ready
from detector.training.batches import batch_targets, network_inputs
from detector.training.data import (
    GROUPS,
    Indices,
    SplitData,
    check_rows,
    class_counts,
    load_masks,
    open_manifest,
    read_split,
)
from detector.training.files import TrainResult, finished, run_keys, validation_figures
from detector.training.gradients import BatchGradient
from detector.training.online import (
    BuildForge,
    OnlineData,
    judged_split,
    online_counts,
    online_split,
    with_families,
)
from detector.training.optimizers import build_optimizer, rate_at
from detector.training.preparation import check_shares, network_config
from detector.training.qualities import parse_qualities
from detector.training.sampler import balanced_epoch, shuffled_epoch
from detector.training.settings import TrainSettings
from detector.training.weight_perturbation import perturbed
from manifests.atomic import canonical_json, digest_file, write_json, write_text
from manifests.contents import Digests
from manifests.errors import UsageError
from manifests.seeding import seed_of
from manifests.store import manifest_file
from nn.averaging import average_into, warming_decay
from nn.devices import torch_threads
from nn.precision import Choice, choose
from nn.processes import World, join_world
from nn.tracking import log_figures
from nn.training_loop import OtherTraining, StateFile, Steps, run_steps

__all__ = ["TrainResult", "TrainSettings", "train"]

BLOCK = 1024
NUMBERED = ("pairs", "tuples")
"""Fields of the truth whose numbers tell rows of one process apart."""
Report = Callable[[dict[str, Any]], None]


class _Run:
    """One training: data, network, optimizer, and where it stands."""

    def __init__(
        self,
        settings: TrainSettings,
        keys: Mapping[str, str],
        choice: Choice,
        manifest: Path,
        out: Path,
        report: Report,
        world: World,
        workers: int,
        build_forge: BuildForge | None,
        digests: Digests,
    ) -> None:
        self.settings, self.out, self.world, self.digests = settings, out, world, digests
        self.keys, self.key, self.choice = keys, keys[choice.used], choice
        self.report, self.device = report if world.rank == 0 else (lambda line: None), world.device
        self.loss = build_loss(settings.loss, settings.loss_params)
        self.augmentation = AugmentParams.model_validate(settings.augment_params)
        self.qualities = parse_qualities(settings.qualities)
        check_shares(settings, world, self.loss)
        table, folder, self.classes = open_manifest(manifest)
        online = build_forge is not None
        check_rows(
            table, str(manifest), self.classes, settings.heads, "cell" in self.loss.needs.counts, online
        )
        if build_forge is not None:
            self.classes = with_families(self.classes, build_forge([]).families.values())
        counts = class_counts(table, self.classes)
        self.loss.prepare(
            Given(
                settings.heads,
                online_counts(counts) if online else counts,
                max(len(self.qualities), 1),
                settings.mask_decoder,
                settings.head_mode,
            )
        )
        self.manifest_sha256 = digest_file(manifest_file(manifest))
        self.config = network_config(settings, self.classes, self.loss)
        self.network = build_network(self.config, seed_of(settings.own_seed, "weights"))
        load_start(self.network, settings, self.classes)
        freeze(self.network, self.network.encoders, settings.tune, settings.residual_input)
        check_input(self.network)
        self.network.to(self.device)
        self.data = self._split(table, folder, "train", build_forge)
        self.val = self._split(table, folder, "val", build_forge)
        if settings.mask_decoder and not online:
            load_masks(self.data, str(manifest))
        self.maker = BatchMaker(
            self.data,
            settings.own_seed,
            self.augmentation if settings.augment else None,
            tuple(self.qualities),
            settings.pairs,
            settings.mask_decoder,
        )
        self.steps = len(self.batches(0))
        if self.steps == 0:
            raise UsageError(
                f"batch = {settings.batch}",
                f"is larger than one epoch of the {len(self.data)} training images",
                "choose a smaller batch, or make more data",
            )
        self.average = build_network(self.config, seed_of(settings.own_seed, "weights"))
        self.average.to(self.device).eval()
        self.average.load_state_dict(self.network.state_dict())
        if world.size > 1:
            share_statistics(self.network)
        self.optimizer = build_optimizer(
            settings, self.network, world.sum_gradients if world.size > 1 else None
        )
        self.feeder = Feeder(self.maker, workers, online)
        self.waited = 0.0
        self.metrics: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.state = StateFile(out / "state.pt", self.key, STATE, ANEW, keys=keys)
        self.rows: list[Indices] = []
        self.source: Iterator[Ready] = iter(())
        self.refused, self.begun = 0, 0.0

    def _split(self, table: pa.Table, folder: Path, split: str, build_forge: BuildForge | None) -> SplitData:
        """A split with its stored fakes or, where fakes are drawn anew, those; validation keeps its stored
        ones if it has any.
        """
        if build_forge is None:
            return read_split(table, folder, split, self.classes, self.config.input_size, self.digests)
        read = online_split if split == "train" else judged_split
        data, left_out = read(
            table,
            folder,
            split,
            self.classes,
            self.config.input_size,
            build_forge,
            self.settings.own_seed,
            self.digests,
        )
        if left_out:
            self.report({"event": "left out", "split": split, "faces": len(left_out), "first": left_out[0]})
        return data

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.metrics)

    def best_epoch(self) -> int:
        """The epoch (from 1) with the highest validation AUC, the earliest of several; 0 before the first."""
        return 1 + max(range(self.epoch), key=lambda k: self.metrics[k]["val_auc"], default=-1)

    def batches(self, epoch: int) -> list[Indices]:
        """Rows of each batch of an epoch (from 0), `epoch_batches` at most."""
        return self._all_batches(epoch)[: self.settings.epoch_batches or None]

    def _all_batches(self, epoch: int) -> list[Indices]:
        settings, data = self.settings, self.data
        if settings.sampling == "shuffle":
            return shuffled_epoch(len(data), settings.batch, settings.own_seed, epoch)
        return balanced_epoch(
            data.labels,
            data.groups["cell"],
            data.pair_ids,
            settings.batch,
            settings.own_seed,
            epoch,
            pairs=settings.pairs,
            methods=data.methods if settings.sampling == "stratified" else None,
        )

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
            self.metrics, self.best = [dict(line) for line in state["metrics"]], dict(state["best"])

    def save(self) -> None:
        """Write the state, then the figures so far; all processes have the same, the first one writes."""
        if self.world.rank > 0:
            return
        self.state.write(
            {
                "metrics": self.metrics,
                "best": self.best,
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
        own = batch_targets(self.data, rows, images, qualities=max(len(self.qualities), 1), masks=masks)
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
        self.rows = [rows[share] for rows in self.batches(epoch)]
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
        """Validate, keep the best weights, save, report. losses: of the epoch's steps."""
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
        if self.best_epoch() == self.epoch:
            self.best = {k: v.detach().cpu().clone() for k, v in self.average.state_dict().items()}
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

    def finish(self) -> TrainResult:
        """Write the checkpoint of the best epoch, then `training.json`, which says that all is done."""
        checkpoint, best = self.out / "checkpoint.safetensors", self.best_epoch()
        facts = {
            "taxonomy": self.classes.taxonomy,
            "best_epoch": best,
            "val_auc": self.metrics[best - 1]["val_auc"],
        }
        if self.world.rank > 0:
            self.world.barrier()
            return TrainResult(checkpoint, self.metrics)
        save_checkpoint(checkpoint, self.config, self.best, facts)
        self.write_metrics()
        write_json(
            self.out / "training.json",
            {
                "key": self.key,
                "settings": self.settings.model_dump(mode="json"),
                "precision": self.choice.used,
                **facts,
                "val": self.metrics[best - 1],
                "parameters": sum(p.numel() for p in self.network.parameters()),
                "classes": {name: getattr(self.classes, name) for name in GROUPS},
                "untrained_heads": [head for head in self.settings.heads if head not in self.loss.trains],
                "images": {"train": len(self.data), "val": len(self.val)},
                "sha256": {
                    "manifest": self.manifest_sha256,
                    "checkpoint": digest_file(checkpoint),
                    **start_digests(self.settings),
                },
                **({"processes": self.world.size} if self.world.size > 1 else {}),
            },
        )
        (self.out / "state.pt").unlink(missing_ok=True)
        self.world.barrier()
        return TrainResult(checkpoint, self.metrics)


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

    Writes `checkpoint.safetensors` (averaged weights of the best epoch), `training.json`, `metrics.jsonl`
    and, while it runs, `state.pt`. Run again after a kill it goes on from the last whole epoch; byte-equal
    results are promised on the CPU of one machine. A saved state of other settings, of another manifest, or
    computed in another precision is left aside. A finished training is not done again where `auto` would now
    come to another precision: it stays what was asked for.

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
        run = _Run(
            settings, keys, choice, Path(manifest), Path(out), report, world, workers, build_forge, digests
        )
        run.report({"event": "precision", "precision": choice.used, "text": choice.text})
        run.resume()
        world.barrier()
        run.train()
        return run.finish()
