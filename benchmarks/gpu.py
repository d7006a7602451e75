"""What one GPU does: `python -m benchmarks.gpu [--device cuda] [--side 1024] [--seconds 4]`, in minutes.

Drawing of faces by a generator of official size with random weights, in float32 and half precision, by batch
(`synthesis` alone, the picture stays on the device; and `sample`, as a run draws them, bytes on the CPU);
steps of detector training, plain and SAM, on a batch that is there (`benchmarks.training`); and steps of
generator training. Each for so many seconds after three calls to warm up; prints JSON. On a CPU it does the
same with small sizes: `--device cpu --side 64 --train-side 16 --input 64 --batch 4`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch

from benchmarks.training import step_times
from generators.sampling import draw_z, map_latents, synthesize
from generators.stylegan2.config import GeneratorConfig, MappingConfig, SynthesisConfig
from generators.stylegan2.generator import Generator
from generators.stylegan2.precision import Precision
from generators.training.images import TrainingImages
from generators.training.networks import first_networks
from generators.training.settings import Phase, TrainSettings
from generators.training.steps import Stepper
from nn.devices import torch_device
from nn.processes import World

WARM = 3
"""Calls before those that are timed."""


def rate(call: Callable[[], object], items: int, seconds: float, device: torch.device) -> float:
    """Items a second of a call that does `items` of them, waited for at the end of all calls.

    Args:
        call: what is timed.
        items: of one call.
        seconds: for which it is repeated, at least twice.
        device: that it runs on.
    """

    def done() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    for _ in range(WARM):
        call()
    start, calls = done(), 0
    while calls < 2 or time.perf_counter() - start < seconds:
        call()
        calls += 1
    return round(calls * items / (done() - start), 2)


def official(side: int) -> Generator:
    """A generator of official sizes with random weights.

    Args:
        side: pixels of an image's side.
    """
    sizes = SynthesisConfig(channel_base=32768, channel_max=512, num_fp16_res=4, conv_clamp=256)
    generator = Generator(
        GeneratorConfig(
            z_dim=512,
            w_dim=512,
            img_resolution=side,
            mapping_kwargs=MappingConfig(num_layers=8),
            synthesis_kwargs=sizes,
        )
    )
    generator.initialise(0)
    return generator.eval()


def drawing(side: int, seconds: float, device: torch.device) -> dict[str, Any]:
    """Images a second by precision and batch.

    Args:
        side: pixels of an image's side.
        seconds: of each measurement.
        device: that it runs on.
    """
    generator = official(side).to(device)
    half: Precision = "fp16" if device.type == "cuda" else "bf16"
    precisions: tuple[Precision, ...] = ("fp32", half)
    w = map_latents(generator, draw_z(0, [("gpu", i) for i in range(32)], 512))
    styles = torch.from_numpy(w).to(device)
    found: dict[str, Any] = {}

    def draw(batch: int, precision: Precision) -> None:
        generator.synthesis(styles[:batch], precision=precision)

    with torch.inference_mode():
        for precision in precisions:
            for batch in (1, 8, 32):
                timed = partial(draw, batch, precision)
                found[f"synthesis, {precision}, batch {batch}"] = rate(timed, batch, seconds, device)
    found["sample"] = rate(lambda: synthesize(generator, w[:8]), 8, seconds, device)
    return found


def generator_training(side: int, batch: int, seconds: float, device: torch.device) -> float:
    """Images a second of a generator's training, with channels of official size.

    Args:
        side: pixels of an image's side.
        batch: images of a step.
        seconds: of the measurement.
        device: that it runs on.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (256, side, side, 3), np.uint8)
    images = TrainingImages(pixels, np.full(len(pixels), -1, np.int64), (), np.arange(len(pixels)))
    settings = TrainSettings(
        phases=(Phase(resolution=side, kimg=1),),
        batch=batch,
        channel_base=16384,
        channel_max=512,
        precision="bfloat16" if device.type == "cuda" else "float32",
    )
    networks = first_networks(settings, 0, None, device)
    stepper = Stepper(settings, World(device=device), images, networks, 0, from_scratch=True)
    numbers = count()

    def step() -> None:
        number = next(numbers)
        stepper.discriminator_step(number, stepper.shown(number))
        stepper.generator_step(number)

    return rate(step, batch, seconds, device)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--backbones", default="resnet50,xception")
    parser.add_argument("--input", type=int, default=256, help="pixels of a detector's side")
    parser.add_argument("--train-side", type=int, default=128, help="pixels of generator training")
    parser.add_argument("--batch", type=int, default=64, help="of both trainings")
    arguments = parser.parse_args()
    device = torch_device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(json.dumps({"device": name, "torch": torch.__version__, "side": arguments.side}), flush=True)
    print(json.dumps({"drawing": drawing(arguments.side, arguments.seconds, device)}), flush=True)
    training = {
        backbone: step_times(backbone, arguments.batch, arguments.input, 12, arguments.device, "wall")
        for backbone in arguments.backbones.split(",")
    }
    print(json.dumps({"detector training": training}), flush=True)
    found = generator_training(arguments.train_side, arguments.batch, arguments.seconds, device)
    print(json.dumps({"generator training": {"side": arguments.train_side, "images_per_s": found}}))


if __name__ == "__main__":
    main()
