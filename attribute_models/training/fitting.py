"""The training loop of the face networks: AdamW, one-cycle schedule, EMA, growing input size, exact resume.

A run is a function of (data, seed, settings): each step's batch and augmentation come from a generator seeded
by the step, so a killed run that goes on from its checkpoint ends in the same weights (same machine, same
thread count).
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attribute_models.training.augmentation import erase, photometric, random_affine
from attribute_models.training.face_data import FaceData
from manifests.atomic import digest_arrays, digest_value, drop_temporaries, write_text
from manifests.errors import UsageError
from manifests.seeding import rng_of, seed_of
from nn.averaging import average_into, warming_decay
from nn.precision import autocast, choose
from nn.tensor_files import restore_optimizer
from nn.tracking import log_figures
from nn.training_loop import Figures, StateFile, Steps, run_steps

FILES = ("checkpoint.pt", "metrics.jsonl", "attributes.safetensors", "landmarks.safetensors", "measured.json")
"""What trainings write into their folders."""
FORMAT = 2
"""Of the key of a resumable training."""
ANEW = "remove it to start again"
STATE: dict[str, type] = {"epoch": int, "network": dict, "average": dict, "optimizer": dict}
"""What `checkpoint.pt` holds beside its key."""
CLOCK = "seconds"
"""The figure of an epoch that no two runs share."""
Loss = Callable[[nn.Module, Tensor, Tensor, FaceData], Tensor]


@dataclass(frozen=True)
class FitSettings:
    """How to train.

    precision: `float32`, `bfloat16` by autocast, or `auto`: bfloat16 where the CPU computes it natively
    (`nn.precision`). sizes: (input side in pixels, epochs) one after another. balance: see
    `attribute_training.cell_weights`.
    """

    sizes: tuple[tuple[int, int], ...] = ((64, 14),)
    batch: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    ema: float = 0.998
    balance: float = 0.0
    seed: int = 1
    threads: int = 2
    precision: str = "auto"

    @property
    def epochs(self) -> int:
        return sum(epochs for _, epochs in self.sizes)

    def size_at(self, epoch: int) -> int:
        """Input side of an epoch (from 0)."""
        for size, epochs in self.sizes:
            if epoch < epochs:
                return size
            epoch -= epochs
        return self.sizes[-1][0]


def one_cycle(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over `warmup` of the steps, then half a cosine to zero: a factor in [0, 1]."""
    at = (step + 1) / steps
    return at / warmup if at < warmup else 0.5 * (1 + math.cos(math.pi * (at - warmup) / (1 - warmup)))


def batch_of(
    data: FaceData,
    index: np.ndarray,
    size: int,
    seed: int,
    jitter: Mapping[str, float] | None = None,
) -> tuple[Tensor, Tensor, FaceData]:
    """Augmented images float32 [N, 3, size, size] in [-1, 1], theta of `random_affine`, and the rows' labels.

    jitter: `rotate`, `scale`, `shift` of `random_affine` where they differ from its defaults.
    """
    rows = data.subset(index)
    generator = torch.Generator().manual_seed(seed)
    images = torch.from_numpy(rows.images).permute(0, 3, 1, 2).float() / 255
    images, theta = random_affine(images, size, generator, **dict[str, Any](jitter or {}))
    images = erase(photometric(images, generator), generator)
    return images * 2 - 1, theta, rows


def untimed(line: str) -> str:
    """A line of figures without that of the clock, which is no part of the state: the same training has the
    same state.
    """
    try:
        figures = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return json.dumps({k: v for k, v in figures.items() if k != CLOCK}) if isinstance(figures, dict) else line


class Fit:
    """One training run in a folder: `checkpoint.pt` (resumable), `metrics.jsonl` (a line per epoch)."""

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        data: FaceData,
        settings: FitSettings,
        out: Path,
        *,
        jitter: Mapping[str, float] | None = None,
    ) -> None:
        torch.set_num_threads(settings.threads)
        self.choice = choose(settings.precision, "cpu")
        settings = replace(settings, precision=self.choice.used)
        self.jitter = jitter
        self.network, self.loss, self.data, self.settings, self.out = network, loss, data, settings, out
        network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(network).eval()
        decayed = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.lr,
        )
        self.steps_per_epoch = len(data) // settings.batch
        self.epoch = 0
        self.metrics: list[str] = []
        self.key = digest_value(
            {
                "format": FORMAT,
                "settings": asdict(settings),
                "jitter": dict(jitter or {}),
                "data": data.digest(),
                "network": digest_arrays(
                    {name: value.numpy() for name, value in network.state_dict().items()}
                ),
            }
        )
        if self.steps_per_epoch == 0:
            raise UsageError(
                f"batch = {settings.batch}",
                f"is larger than the {len(data)} training faces",
                "choose a smaller batch, or give more data",
            )
        drop_temporaries(out, FILES)
        unlike = "other settings, other data or in another precision"
        self.state = StateFile(out / "checkpoint.pt", self.key, STATE, ANEW, unlike)
        self._resume()

    def _resume(self) -> None:
        state = self.state.read()
        if state is None:
            return
        with self.state.restoring():
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            restore_optimizer(self.optimizer, state["optimizer"])
            self.epoch = int(state["epoch"])
        logged = self._logged()
        lines = (
            state["metrics"] if isinstance(state.get("metrics"), list) else logged
        )  # an earlier version kept none
        timed = {untimed(line): line for line in logged}
        self.metrics = [timed.get(untimed(str(line)), str(line)) for line in lines[: self.epoch]]

    def _logged(self) -> list[str]:
        """The lines of `metrics.jsonl`."""
        path = self.out / "metrics.jsonl"
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []

    def _save(self) -> None:
        """Write the state, then the figures so far: one line per epoch, whenever it was killed."""
        self.state.write(
            {
                "epoch": self.epoch,
                "network": self.network.state_dict(),
                "metrics": [untimed(line) for line in self.metrics],
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        )
        self._write_metrics()

    def _write_metrics(self) -> None:
        write_text(self.out / "metrics.jsonl", "\n".join(self.metrics))

    def _step(self, step: int, index: np.ndarray, size: int) -> float:
        settings = self.settings
        rate = settings.lr * one_cycle(step, self.steps_per_epoch * settings.epochs, settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images, theta, rows = batch_of(
            self.data, index, size, seed_of(settings.seed, "augment", step), self.jitter
        )
        torch.manual_seed(seed_of(settings.seed, "dropout", step))
        images = images.to(memory_format=torch.channels_last)
        with autocast("cpu", settings.precision):
            loss = self.loss(self.network, images, theta, rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        average_into(self.average, self.network, warming_decay(settings.ema, step))
        return float(loss.detach())

    def run(
        self, evaluate: Callable[[nn.Module, int], dict[str, float]], report: Callable[[str], None]
    ) -> nn.Module:
        """Train what is left; returns the averaged network.

        Args:
            evaluate: gives an epoch's figures by name, of the averaged network at an input side in pixels.
            report: gets a line on the precision, and one for each epoch.

        Raises:
            UsageError: the loss is no number any more.
            PartialError: the disk is full.
        """
        settings, each = self.settings, self.steps_per_epoch
        report(self.choice.text)
        if self.metrics:
            self._write_metrics()
        started, order = time.monotonic(), np.zeros(0, np.int64)

        def one(step: int) -> dict[str, float]:
            nonlocal started, order
            epoch, k = divmod(step, each)
            if k == 0:
                started = time.monotonic()
                order = rng_of(settings.seed, "order", epoch).permutation(len(self.data))
                self.network.train()
            index = order[k * settings.batch : (k + 1) * settings.batch]
            return {"loss": self._step(step, index, settings.size_at(epoch))}

        def save(done: int, figures: Figures) -> None:
            size = settings.size_at(self.epoch)
            measured = {"loss": float(np.mean(figures["loss"])), **evaluate(self.average, size)}
            self.epoch += 1
            line = {"epoch": self.epoch, "size": size, **measured, CLOCK: time.monotonic() - started}
            self.metrics.append(json.dumps({k: round(v, 5) for k, v in line.items()}))
            self._save()
            log_figures(self.epoch, line)
            report(" ".join(f"{k}={v:.4g}" for k, v in line.items()))

        steps = Steps(
            settings.epochs * each, self.epoch * each, place=lambda k: f"epoch {k // each}", advice="lower lr"
        )
        run_steps(one, steps, due=lambda done: done % each == 0, save=save)
        return self.average
