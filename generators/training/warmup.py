"""A discriminator for a generator that came without one: trained alone on its images, from coarse to fine.

A new discriminator needs tens of thousands of images to tell a trained generator's faces from real ones, and
until then it teaches the generator nothing. At a quarter and a half of the resolution these images are cheap,
so it begins there and grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from generators.sampling import draw_z, map_latents, synthesize
from generators.stylegan2.discriminator import Discriminator
from generators.stylegan2.generator import Generator
from generators.training.growth import grow_discriminator
from generators.training.images import TrainingImages, open_images, square
from generators.training.networks import assemble
from generators.training.pixel_files import pixel_file
from generators.training.settings import TrainSettings
from generators.training.steps import Stepper
from manifests.seeding import seed_of
from nn.processes import World

CHUNK = 512


def make_fakes(generator: Generator, count: int, seed: int, path: Path) -> npt.NDArray[np.uint8]:
    """Images of the generator in a memory-mapped file: uint8 [count, H, H, 3]; image i is of class i modulo
    the classes.
    """
    size = generator.resolution
    with pixel_file(path, size) as add:
        for start in range(0, count, CHUNK):
            index = range(start, min(start + CHUNK, count))
            z = draw_z(seed, [("warm-up", i) for i in index], generator.z_dim)
            c = (
                np.eye(generator.c_dim, dtype=np.float32)[np.array(index) % generator.c_dim]
                if generator.c_dim
                else None
            )
            seeds = [seed_of(seed, "warm-up-noise", i) for i in index]
            add(synthesize(generator, map_latents(generator, z, c), noise_mode="random", noise_seeds=seeds))
    fakes: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return fakes


class WarmStepper(Stepper):
    """Steps of the discriminator alone, against images made before."""

    fakes: npt.NDArray[np.uint8]

    def _fake(self, what: str, step: int, c: Tensor | None) -> tuple[Tensor, Tensor, torch.Generator]:
        rng = self._rng(what, step)
        count, size = self.rows.stop - self.rows.start, self.images.pixels.shape[1]
        classes = 1 if c is None else c.shape[1]
        offset = 0 if c is None else c.argmax(dim=1).cpu().numpy()
        rows = torch.randint(len(self.fakes) // classes, (count,), generator=rng).numpy() * classes + offset
        pixels = np.stack([square(self.fakes[row], size) for row in rows])
        fake = torch.from_numpy(pixels).to(self.world.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return fake.contiguous(memory_format=torch.channels_last), fake.new_zeros(0), rng


def warm_up(
    settings: TrainSettings,
    world: World,
    folder: Path,
    data: dict[str, Any],
    generator: Generator,
    report: Callable[[str], None],
) -> Discriminator:
    """A discriminator of the first phase that knows `generator`: `warmup_kimg` images at each of three
    resolutions.

    Args:
        folder: of the prepared images; the generator's are written there too.
        data: what `prepare` returned.
        generator: of the first phase's resolution.
    """
    top = settings.phases[0].resolution
    generator = generator.eval()
    with torch.no_grad():
        fakes = make_fakes(
            generator.to(world.device),
            settings.warmup_fakes,
            settings.seed,
            folder / f"fakes-{world.rank}.npy",
        )
    discriminator: Discriminator | None = None
    for phase, size in enumerate(s for s in (top // 4, top // 2, top) if s >= 8):
        seed = seed_of(settings.seed, "discriminator", size)
        config = settings.discriminator(size, generator.c_dim)
        if discriminator is None:
            discriminator = Discriminator(config)
            discriminator.initialise(seed)
        else:
            discriminator = grow_discriminator(discriminator.cpu(), config, seed)
        images = open_images(folder, size, data.get("labels"), data.get("groups"), data.get("weights"))
        discriminator = _one_size(
            settings, world, images, fakes, generator, discriminator, -1 - phase, report
        )
    assert discriminator is not None
    discriminator.faded_rgb, discriminator.fade = None, 1.0
    return discriminator


def _one_size(
    settings: TrainSettings,
    world: World,
    images: TrainingImages,
    fakes: npt.NDArray[np.uint8],
    generator: Generator,
    discriminator: Discriminator,
    phase: int,
    report: Callable[[str], None],
) -> Discriminator:
    networks = assemble(generator, generator, discriminator, settings, world.device)
    stepper = WarmStepper(settings, world, images, networks, phase, from_scratch=False)
    stepper.fakes = fakes
    steps = math.ceil(settings.warmup_kimg * 1000 / settings.batch)
    losses: list[float] = []
    for step in range(steps):
        if discriminator.faded_rgb is not None:
            discriminator.fade = min(1.0, 2 * step / steps)
        losses.append(stepper.discriminator_step(step, stepper.shown(step))["loss_d"])
        if (step + 1) % max(1, steps // 4) == 0:
            recent = losses[-max(1, steps // 4) :]
            size = images.pixels.shape[1]
            report(
                f"warm-up {size} px: {(step + 1) * settings.batch / 1000:.1f} kimg, loss_d"
                f" {sum(recent) / len(recent):.4f}"
            )
    return discriminator
