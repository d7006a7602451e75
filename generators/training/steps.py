"""One training step: discriminator, generator, their lazy regularisers, the running average."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generators.stylegan2.generator import Generator
from generators.stylegan2.style_mixing import mix_styles
from generators.training.augmentation import AdaptiveProbability, augment
from generators.training.compiled import compiled, draw_noise, paint
from generators.training.feature_discriminator import hinge_of_generator, hinge_of_real_and_fake
from generators.training.images import TrainingImages, batch_rows
from generators.training.losses import discriminator_loss, generator_loss, path_lengths, r1_penalty
from generators.training.networks import Networks
from generators.training.policy_augmentation import augment_by_policy
from generators.training.settings import TrainSettings
from manifests.seeding import seed_of
from nn.averaging import average_into
from nn.precision import autocast
from nn.processes import World

EMA_START = 0.05
"""The half-life of the running average is at most this share of a training from scratch so far (arXiv
2006.06676).
"""
PATH_DECAY = 0.01


@dataclass(frozen=True)
class Shown:
    """Images that discriminators judge, before augmentation.

    real, fake: float32 [n, 3, H, H] in [-1, 1], RGB. c: float32 [n, classes] one-hot, or None. rng: of the
    draws that follow.
    """

    real: Tensor
    fake: Tensor
    c: Tensor | None
    rng: torch.Generator


class Stepper:
    """Does the steps of one phase. All randomness is a function of (seed, phase, step, rank): a step can be
    done again.

    from_scratch: the generator begins with random weights, which its running average must soon forget.
    """

    def __init__(
        self,
        settings: TrainSettings,
        world: World,
        images: TrainingImages,
        networks: Networks,
        phase: int,
        *,
        from_scratch: bool,
    ) -> None:
        self.from_scratch = from_scratch
        self.settings, self.world, self.images, self.networks, self.phase = (
            settings,
            world,
            images,
            networks,
            phase,
        )
        self.rows = world.share(settings.batch)
        self.ada = AdaptiveProbability(settings.ada_target, settings.ada_kimg)
        self.path_mean = 0.0
        self._drawn: tuple[Tensor, Tensor, torch.Generator] | None = None
        self.gamma = settings.r1_gamma(images.pixels.shape[1])
        self._paint = compiled(paint, use=settings.compile)
        seen = networks.features
        self._judge_compiled = None if seen is None else compiled(seen, use=settings.compile)
        self._discriminate = compiled(networks.discriminator, use=settings.compile)

    def _rng(self, what: str, step: int) -> torch.Generator:
        return torch.Generator().manual_seed(
            seed_of(self.settings.seed, what, self.phase, step, self.world.rank)
        )

    @contextlib.contextmanager
    def _half(self) -> Iterator[None]:
        with autocast(str(self.world.device), self.settings.precision):
            yield

    def _real(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Real images of this rank's share images of a step: float32 [n, 3, H, H] in [-1, 1], and classes."""
        rows, flipped = batch_rows(
            self.images.order, step, self.settings.batch, self.settings.seed, mirror=self.settings.mirror
        )
        rows, flipped = rows[self.rows], flipped[self.rows]
        chosen = [self.images.pixels[row] for row in rows]
        pixels = np.stack(
            [image[:, ::-1] if flip else image for image, flip in zip(chosen, flipped, strict=True)]
        )
        real = torch.from_numpy(pixels).to(self.world.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return real.contiguous(memory_format=torch.channels_last), self._classes(rows)

    def _classes(self, rows: np.ndarray) -> Tensor | None:
        if not self.images.classes:
            return None
        return torch.from_numpy(self.images.one_hot(self.images.labels[rows])).to(self.world.device)

    def styles(self, generator: Generator, count: int, c: Tensor | None, rng: torch.Generator) -> Tensor:
        """Styles of random latents, some of two (style mixing, arXiv 1812.04948): float32 [count, num_ws,
        w_dim].
        """
        z = torch.randn(2, count, generator.z_dim, generator=rng).to(self.world.device)
        mixed = torch.rand(count, generator=rng) < self.settings.style_mixing
        crossover = torch.randint(1, generator.num_ws, (count,), generator=rng)
        crossover = torch.where(mixed, crossover, generator.num_ws)
        return mix_styles(generator.mapping(z[0], c), generator.mapping(z[1], c), crossover)

    def _fake(self, what: str, step: int, c: Tensor | None) -> tuple[Tensor, Tensor, torch.Generator]:
        rng = self._rng(what, step)
        generator = self.networks.generator
        w = self.styles(generator, self.rows.stop - self.rows.start, c, rng)
        with self._half():
            image = self._paint(generator.synthesis, w, draw_noise(generator, len(w), rng, self.world.device))
        return image.float().contiguous(memory_format=torch.channels_last), w, rng

    def _score(self, images: Tensor, c: Tensor | None, rng: torch.Generator) -> Tensor:
        images = augment(images, self.ada.p, rng)
        fading = self.networks.discriminator.faded_rgb is not None  # by another share every step
        discriminate = self.networks.discriminator if fading else self._discriminate
        with self._half():
            return discriminate(images, c).float()

    def _update(self, optimizer: torch.optim.Optimizer, module: torch.nn.Module) -> None:
        for parameter in module.parameters():
            if parameter.grad is not None:
                torch.nan_to_num_(parameter.grad, nan=0.0, posinf=1e5, neginf=-1e5)
        self.world.average_gradients(module.parameters())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def shown(self, step: int) -> Shown:
        """The images that all discriminators of a step judge.

        Args:
            step: of the phase.
        """
        real, c = self._real(step)
        what = "f" if self.settings.features_alone else "d"
        if self.settings.draw_once:
            self._set_learning(step)
            self._drawn = self._fake(what, step, c)
            return Shown(real, self._drawn[0].detach(), c, self._drawn[2])
        with torch.no_grad():
            fake, _, rng = self._fake(what, step, c)
        return Shown(real, fake, c, rng)

    def _set_learning(self, step: int) -> bool:
        """Whether the weights that came with a start learn in this step; they are set so."""
        settings = self.settings
        learn = self.phase != 0 or step * settings.batch >= settings.frozen_kimg * 1000
        for parameter in self.networks.started:
            parameter.requires_grad_(learn)
        return learn

    def discriminator_step(self, step: int, shown: Shown) -> dict[str, float]:
        """One step of D, and R1 every `r1_interval` steps: loss, mean sign on real images, penalty. Nothing
        where frozen features judge alone.
        """
        networks, settings = self.networks, self.settings
        if settings.features_alone:
            return {}
        networks.discriminator.requires_grad_(True)
        real, fake, c, rng = shown.real, shown.fake, shown.c, shown.rng
        real_scores, fake_scores = self._score(real, c, rng), self._score(fake, c, rng)
        loss = discriminator_loss(real_scores, fake_scores)
        loss.backward()
        self._update(networks.optimizer_d, networks.discriminator)
        out = {
            "loss_d": float(loss.detach()),
            "sign": self.world.mean(float(real_scores.detach().sign().mean())),
        }
        if step % settings.r1_interval == 0 and self.gamma > 0:
            penalty = r1_penalty(networks.discriminator, augment(real, self.ada.p, rng), c)
            (penalty * (self.gamma / 2 * settings.r1_interval)).backward()
            self._update(networks.optimizer_d, networks.discriminator)
            out["r1"] = float(penalty.detach())
        self.ada.see(out["sign"], step, settings.batch)
        return out

    def features_step(self, shown: Shown) -> dict[str, float]:
        """One step of the heads on frozen features: their hinge loss; nothing without features."""
        networks = self.networks
        if networks.features is None or networks.optimizer_f is None:
            return {}
        networks.features.heads.requires_grad_(True)
        c, rng, judge = shown.c, shown.rng, self._judge_compiled
        real, fake = self._judge(shown.real, c, rng, judge), self._judge(shown.fake, c, rng, judge)
        loss = hinge_of_real_and_fake(real, fake)
        loss.backward()
        self._update(networks.optimizer_f, networks.features)
        return {"loss_f": float(loss.detach())}

    def _judge(
        self, images: Tensor, c: Tensor | None, rng: torch.Generator, judge: Callable[..., Any] | None
    ) -> list[Tensor]:
        assert judge is not None
        images = augment_by_policy(images, rng, self.settings.feature_augment)
        with self._half():
            return [logits.float() for logits in judge(images, c)]

    def generator_step(self, step: int) -> dict[str, float]:
        """One step of G, path length every `path_interval` steps where it is on, and the running averages."""
        networks, settings = self.networks, self.settings
        networks.discriminator.requires_grad_(False)
        frozen = not self._set_learning(step)
        rows, _ = batch_rows(self.images.order, step, settings.batch, settings.seed, mirror=settings.mirror)
        c = self._classes(rows[self.rows])
        fake, w, rng = self._fake("g", step, c) if self._drawn is None else self._drawn
        self._drawn = None
        loss = self._generator_loss(fake, c, rng)
        if loss.requires_grad:
            loss.backward()
            self._update(networks.optimizer_g, networks.generator)
        if frozen:
            self._average(step)
            return {"loss_g": float(loss.detach())}
        mean_w = w.detach().mean(dim=(0, 1))
        beta = networks.generator.config.mapping_kwargs.w_avg_beta
        networks.generator.mapping.w_avg.lerp_(mean_w, 1 - beta)
        out = {"loss_g": float(loss.detach())}
        if settings.path_weight and step % settings.path_interval == 0:
            out["path"] = self._path_step(step, None if c is None else c[: max(1, len(c) // 2)])
        self._average(step)
        return out

    def _generator_loss(self, fake: Tensor, c: Tensor | None, rng: torch.Generator) -> Tensor:
        """What the generator is told by StyleGAN2's discriminator, by the heads on frozen features, or
        both.
        """
        settings, features = self.settings, self.networks.features
        if features is None:
            return generator_loss(self._score(fake, c, rng))
        features.heads.requires_grad_(False)
        by_features = hinge_of_generator(self._judge(fake, c, rng, features))
        if settings.features_alone:
            return by_features
        return generator_loss(self._score(fake, c, rng)) + settings.feature_weight * by_features

    def _path_step(self, step: int, c: Tensor | None) -> float:
        """Path length regularisation on half a batch, towards the running mean of lengths."""
        networks, settings = self.networks, self.settings
        rng = self._rng("path", step)
        count = max(1, (self.rows.stop - self.rows.start) // 2)
        lengths = path_lengths(networks.generator, self.styles(networks.generator, count, c, rng), rng)
        mean = self.world.mean(float(lengths.detach().mean()))
        self.path_mean += PATH_DECAY * (mean - self.path_mean)
        penalty = (lengths - self.path_mean).square().mean()
        (penalty * (settings.path_weight * settings.path_interval)).backward()
        self._update(networks.optimizer_g, networks.generator)
        return mean

    def _average(self, step: int) -> None:
        """Move the running average of the generator's weights towards the weights."""
        settings = self.settings
        half_life = settings.ema_kimg * 1000
        if self.from_scratch:
            half_life = min(half_life, (step + 1) * settings.batch * EMA_START)
        keep = 0.5 ** (settings.batch / max(half_life, 1e-8))
        average_into(self.networks.average, self.networks.generator, keep, buffers=False)
