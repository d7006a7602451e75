"""What a training step costs: SAM against a plain step, images per second by backbone, the share of data loading.

    python -m benchmarks.training                              # all, on small sizes, about two minutes on two cores
    python -m benchmarks.training --backbones resnet50,xception --side 224 --batch 16 --device cuda

Rounds alternate between the things compared, so that a machine that slows down slows both; medians over rounds. Pictures are
noise written as JPEGs of `--picture` pixels and read in every step as those of a large set are (not kept in memory).
The share of loading is the time that a step waits for its batch, over all of its time, with threads that make batches ahead.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from detector.augmentation import AugmentParams, augment_row
from detector.data import SplitData
from detector.distributed import World
from detector.feeding import prepared
from detector.gradients import BatchGradient
from detector.losses import LOSSES, Targets
from detector.network import NetworkConfig, build_network, normalise
from detector.optimizers import build_optimizer
from detector.settings import TrainSettings
from manifests.images import encode
from manifests.seeding import rng_of
from nn.precision import choose

PRESETS = "resnet10t-narrow,resnet10t,resnet50,efficientnet_b4,convnext_tiny,xception"


def picture_set(folder: Path, count: int, picture: int, side: int) -> SplitData:
    """JPEGs of smooth noise, read from their files."""
    files = []
    for k in range(count):
        coarse = rng_of(0, "benchmark", k).integers(0, 256, (picture // 8, picture // 8, 3), np.uint8)
        files.append(folder / f"{k:04d}.jpg")
        files[-1].write_bytes(encode(np.kron(coarse, np.ones((8, 8, 1), np.uint8)), "jpeg", 90))
    groups = {name: np.arange(count) % 2 for name in ("race", "gender", "cell")}
    return SplitData(side, files, [f.stem for f in files], [None] * count, np.arange(count) % 2, groups)


class Step:
    """One optimizer step on a prepared batch, as `detector.training` takes it."""

    def __init__(self, backbone: str, optimizer: str, batch: int, side: int, device: str) -> None:
        self.settings = TrainSettings(backbone=backbone, optimizer=optimizer, batch=batch)
        self.device = device
        self.config = NetworkConfig(backbone=backbone, input_size=side, residual_input=True, heads={"race": ("a", "b")})
        self.network = build_network(self.config, 0).to(device).train()
        self.optimizer = build_optimizer(self.settings, self.network)
        self.loss = LOSSES.create("multi-task", {})

    def __call__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Images: uint8 [N, S, S, 3]."""
        images = normalise(torch.from_numpy(pixels).to(self.device), self.config)
        truth = torch.from_numpy(labels).to(self.device)
        targets = Targets(truth.float(), {"race": truth})
        loss = self.optimizer.step(BatchGradient(
            self.network, (images,), lambda outputs: self.loss(outputs, targets, 0.0), World(device=self.device),
            precision=choose(self.settings.precision, self.device).used,
        ))
        float(loss)


def seconds(call: Callable[[], object], clock: str = "wall") -> float:
    """Time of a call: `wall`, or `cpu` of this process, which other programs on the machine do not lengthen."""
    now = time.perf_counter if clock == "wall" else time.process_time
    start = now()
    call()
    return now() - start


def step_times(backbone: str, batch: int, side: int, rounds: int, device: str, clock: str) -> dict[str, Any]:
    """A plain AdamW step and a SAM step with the same base, alternating."""
    pixels = rng_of(1, "batch").integers(0, 256, (batch, side, side, 3), np.uint8)
    labels = np.arange(batch) % 2
    steps = {name: Step(backbone, name, batch, side, device) for name in ("adamw", "sam")}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(rounds + 1):
        for name, step in steps.items():
            took = seconds(lambda step=step: step(pixels, labels), clock)
            if k:
                times[name].append(took)
    plain, sam = median(times["adamw"]), median(times["sam"])
    ratio = median(b / a for a, b in zip(times["adamw"], times["sam"], strict=True))
    return {"plain_s": round(plain, 4), "sam_s": round(sam, 4), "sam_over_plain": round(ratio, 3),
            "images_per_s": {"plain": round(batch / plain, 1), "sam": round(batch / sam, 1)}}


def loading(backbone: str, batch: int, side: int, picture: int, rounds: int, workers: int, device: str) -> dict[str, Any]:
    """How long SAM steps wait for their batches: read, resampled and augmented here, or ahead in threads."""
    step, params = Step(backbone, "sam", batch, side, device), AugmentParams()
    with tempfile.TemporaryDirectory() as folder:
        data = picture_set(Path(folder), 4 * batch, picture, side)
        rows = [(np.arange(batch) + k * batch) % len(data) for k in range(rounds + 2)]

        def make(at: np.ndarray) -> np.ndarray:
            images = zip(data.batch(at), at.tolist(), strict=True)
            return np.stack([augment_row(image, 0, 0, data.ids[row], params) for image, row in images])

        waited, whole = [], []
        source = prepared(rows, make, workers)
        for k in range(len(rows)):
            start = time.perf_counter()
            pixels = next(source)
            middle = time.perf_counter()
            step(pixels, data.labels[rows[k]])
            if k > 1:
                waited.append(middle - start)
                whole.append(time.perf_counter() - start)
        alone = median(seconds(lambda: make(rows[0])) for _ in range(3))
    return {"workers": workers, "share_waited": round(sum(waited) / sum(whole), 4), "step_s": round(median(whole), 4),
            "making_one_batch_s": round(alone, 4)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", default=PRESETS)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--picture", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="of the steps; loading is always by wall time")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = args.backbones.split(",")
    value = {
        "settings": vars(args), "torch": torch.__version__,
        "steps": {name: step_times(name, args.batch, args.side, args.rounds, args.device, args.clock) for name in names},
        "loading": {
            name: [loading(name, args.batch, args.side, args.picture, 2 * args.rounds, w, args.device) for w in (0, args.workers)]
            for name in names[:1]
        },
    }
    print(json.dumps(value, indent=1))


if __name__ == "__main__":
    main()
