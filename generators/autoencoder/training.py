"""Training the autoencoder: epochs are permutations of the pictures; a killed training goes on to the same
bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from generators.autoencoder.files import save_autoencoder
from generators.autoencoder.network import Autoencoder, AutoencoderConfig
from generators.training.images import TrainingImages, batch_rows
from manifests.atomic import digest_value, write_text
from manifests.seeding import rng_of
from nn.precision import Choice, autocast, choose
from nn.tensor_files import restore_optimizer
from nn.tracking import log_figures
from nn.training_loop import Figures, StateFile, Steps, run_steps

STATE, OUTPUT, METRICS = "state.pt", "autoencoder.safetensors", "metrics.jsonl"
FILES = (STATE, OUTPUT, METRICS)
"""What a training writes into its folder."""
ENTRIES: dict[str, type] = {"step": int, "network": dict, "optimizer": dict, "metrics": list}
"""What the state holds beside its key."""
ANEW = "remove it to start again"
FINE = 2.0
"""What the finest detail weighs in the loss, beside 1 for the whole picture."""


class AutoencoderSettings(BaseModel):
    """How an autoencoder is trained. least: channels of the bottleneck that no drawn number is below."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(3000, ge=1, le=10**7)
    batch: int = Field(16, ge=1, le=4096)
    lr: float = Field(2e-3, gt=0, le=1)
    least: int = Field(4, ge=1)
    seed: int = Field(0, ge=0, lt=2**63)
    threads: int = Field(1, ge=1, le=1024)
    precision: str = "auto"
    save_every: int = Field(200, ge=1)


def loss_of(made: Tensor, images: Tensor) -> Tensor:
    """Mean absolute error of the picture, and of its two finest bands of detail: a scalar. Both float32 [N,
    3, H, W].
    """
    total, a, b = F.l1_loss(made, images), made, images
    for weight in (FINE, FINE / 2):
        low_a, low_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        fine_a = a - F.interpolate(low_a, scale_factor=2.0, mode="bilinear")
        fine_b = b - F.interpolate(low_b, scale_factor=2.0, mode="bilinear")
        total = total + weight * F.l1_loss(fine_a, fine_b)
        a, b = low_a, low_b
    return total


class AutoencoderTraining:
    """One training in `out`: the state, the weights and a line of figures for every `save_every` steps.

    Args:
        images: what is learned from; sides are multiples of 8.
        settings: of the training.
        out: folder that is there.
        data: digest of the images, for the key of the state.
        metadata: strings for the weights' header.
        config: of the network.

    Raises:
        UsageError: the state in `out` is of another training. DataError: it is damaged.
    """

    def __init__(
        self,
        images: TrainingImages,
        settings: AutoencoderSettings,
        out: Path,
        data: str,
        metadata: dict[str, str],
        config: AutoencoderConfig | None = None,
    ) -> None:
        self.images, self.settings, self.out, self.metadata = images, settings, out, metadata
        self.choice: Choice = choose(settings.precision, "cpu")
        torch.manual_seed(settings.seed)
        self.network = Autoencoder(config).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.lr, betas=(0.9, 0.99))
        self.key = digest_value(
            {
                "settings": settings.model_dump(exclude={"precision", "save_every"}),
                "used": self.choice.used,
                "data": data,
                "network": self.network.config.model_dump(mode="json"),
            }
        )
        self.step = 0
        self.metrics: list[str] = []
        self.state = StateFile(out / STATE, self.key, ENTRIES, ANEW, "other settings or data")
        self._resume()

    def _resume(self) -> None:
        state = self.state.read()
        if state is None:
            return
        with self.state.restoring():
            self.network.load_state_dict(state["network"])
            restore_optimizer(self.optimizer, state["optimizer"])
            self.step, self.metrics = int(state["step"]), [str(line) for line in state["metrics"]]

    def _save(self, done: int, figures: Figures) -> None:
        self.step, loss = done, sum(figures["loss"]) / len(figures["loss"])
        self.metrics.append(json.dumps({"step": done, "loss": round(loss, 5)}))
        log_figures(done, {"loss": loss})
        self.state.write(
            {
                "step": done,
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "metrics": self.metrics,
            }
        )

    def _one(self, step: int) -> dict[str, float]:
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        rows, mirrored = batch_rows(self.images.order, step, settings.batch, settings.seed, mirror=True)
        pixels = torch.from_numpy(self.images.pixels[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
        x = torch.where(torch.from_numpy(mirrored)[:, None, None, None], pixels.flip(3), pixels)
        x = x.contiguous(memory_format=torch.channels_last)
        rng = rng_of(settings.seed, "kept", step)
        latent = self.network.config.latent
        kept = torch.from_numpy(rng.integers(min(settings.least, latent), latent + 1, settings.batch))
        with autocast("cpu", self.choice.used):
            made = self.network(x, kept)
        loss = loss_of(made.float(), x)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return {"loss": float(loss.detach())}

    def run(self, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
        """Train what is left, and write the weights; returns the figures.

        Args:
            report: gets a line on the precision.

        Raises:
            UsageError: the loss is no number any more.
            PartialError: the disk is full.
        """
        settings = self.settings
        report(self.choice.text)
        steps = Steps(settings.steps, self.step, advice="lower lr")
        run_steps(self._one, steps, due=lambda done: done % settings.save_every == 0, save=self._save)
        write_text(self.out / METRICS, "\n".join(self.metrics) + "\n")
        save_autoencoder(self.out / OUTPUT, self.network, self.metadata)
        return {"steps": settings.steps, "images": len(self.images), **json.loads(self.metrics[-1])}
