r"""What a training step costs: SAM against a plain step, images per second by backbone, data loading, fakes
drawn anew.

    python -m benchmarks.training  # all, on small sizes, about two minutes on two cores
    python -m benchmarks.training --manifest m/photos --backbones efficientnet_lite0 \
        --side 128 --threads 1 --workers 1
    python -m benchmarks.training --backbones resnet50,xception --side 224 --batch 16 --device cuda

Rounds alternate between the things compared, so that a machine that slows down slows both; medians over
rounds. Pictures are noise written as JPEGs of `--picture` pixels and read in every step as those of a large
set are (not kept in memory). The share of loading is the time that a step waits for its batch, over all of
its time, with threads that make batches ahead.
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

from detector.losses import LOSSES, Targets
from detector.models.network import build_network, normalise
from detector.models.network_config import NetworkConfig
from detector.training.augmentation import AugmentParams
from detector.training.batch_loading import Feeder
from detector.training.batch_maker import BatchMaker
from detector.training.data import SplitData, open_manifest
from detector.training.gradients import BatchGradient
from detector.training.online import online_split
from detector.training.optimizers import build_optimizer
from detector.training.settings import TrainSettings
from manifests.images import encode
from manifests.seeding import rng_of
from nn.precision import choose
from nn.processes import World
from pipeline.stages.train.online import build_forge

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
    """One optimizer step on a prepared batch, as `detector.training.loop` takes it. plain: real or fake
    alone, of the picture alone.
    """

    def __init__(
        self, backbone: str, optimizer: str, batch: int, side: int, device: str, plain: bool = False
    ) -> None:
        self.settings = TrainSettings(backbone=backbone, optimizer=optimizer, batch=batch)
        self.device = device
        self.config = NetworkConfig(
            backbone=backbone,
            input_size=side,
            residual_input=not plain,
            heads={} if plain else {"race": ("a", "b")},
        )
        self.network = build_network(self.config, 0).to(device).train()
        self.optimizer = build_optimizer(self.settings, self.network)
        self.loss = LOSSES.create("multi-task", {})

    def __call__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Images: uint8 [N, S, S, 3]."""
        images = normalise(torch.from_numpy(pixels).to(self.device), self.config)
        truth = torch.from_numpy(labels).to(self.device)
        targets = Targets(truth.float(), {"race": truth} if self.config.heads else {})
        loss = self.optimizer.step(
            BatchGradient(
                self.network,
                (images,),
                lambda outputs: self.loss(outputs, targets, 0.0),
                World(device=torch.device(self.device)),
                precision=choose(self.settings.precision, self.device).used,
            )
        )
        float(loss)


def seconds(call: Callable[[], object], clock: str = "wall") -> float:
    """Time of a call: `wall`, or `cpu` of this process, which other programs on the machine do not
    lengthen.
    """
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
    return {
        "plain_s": round(plain, 4),
        "sam_s": round(sam, 4),
        "sam_over_plain": round(ratio, 3),
        "images_per_s": {"plain": round(batch / plain, 1), "sam": round(batch / sam, 1)},
    }


def waiting(step: Step, feeder: Feeder, rows: list[np.ndarray], labels: np.ndarray) -> dict[str, Any]:
    """Steps on the batches of a feeder: the share of time that they wait for them, and images per second. Two
    steps warm up.
    """
    waited, whole = [], []
    with feeder:
        source = feeder.batches(rows, 0)
        for k, own in enumerate(rows):
            start = time.perf_counter()
            ready = next(source)
            middle = time.perf_counter()
            step(ready.pixels, labels[own])
            if k > 1:
                waited.append(middle - start)
                whole.append(time.perf_counter() - start)
    return {
        "workers": feeder.workers,
        "share_waited": round(sum(waited) / sum(whole), 4),
        "step_s": round(median(whole), 4),
        "images_per_s": round(len(rows[0]) * len(whole) / sum(whole), 1),
    }


def loading(
    backbone: str, batch: int, side: int, picture: int, rounds: int, workers: int, device: str
) -> dict[str, Any]:
    """How long SAM steps wait for their batches: read, resampled and augmented here, or ahead in threads."""
    with tempfile.TemporaryDirectory() as folder:
        data = picture_set(Path(folder), 4 * batch, picture, side)
        rows = [(np.arange(batch) + k * batch) % len(data) for k in range(rounds + 2)]
        maker = BatchMaker(data, 0, AugmentParams(), (), True, False)
        found = waiting(
            Step(backbone, "sam", batch, side, device), Feeder(maker, workers, False), rows, data.labels
        )
        alone = median(seconds(lambda: maker(rows[0], 0)) for _ in range(3))
    return {**found, "making_one_batch_s": round(alone, 4)}


def drawn_anew(
    manifest: Path, backbone: str, batch: int, side: int, rounds: int, workers: int, device: str
) -> dict[str, Any]:
    """Plain steps on stored fakes, read by threads, and on fakes drawn anew by as many processes; the same
    augmentation.
    """
    build = build_forge(
        {"blend-self": 2, "blend-xray": 1, "swap-delaunay": 1},
        {
            "blend-self": {"side": "either", "match_detail": 0},
            "blend-xray": {"match_detail": 0},
            "swap-delaunay": {"match_detail": 0},
        },
    )
    assert build is not None
    table, folder, classes = open_manifest(manifest)
    data, _ = online_split(table, folder, "train", classes, side, build, 0)
    half, units = batch // 2, rng_of(0, "units").permutation(data.real)
    rows = [
        np.concatenate([at, at + data.real])
        for at in (units[k * half : (k + 1) * half] for k in range(rounds + 2))
    ]
    used = np.unique(np.concatenate(rows))
    stored, _ = data.pictures(used)
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place) / f"{row:06d}.jpg" for row in range(len(data))]
        for row, image in zip(used, stored, strict=True):
            files[row].write_bytes(encode(image, "jpeg", 95))
        kept = SplitData(side, files, data.ids, data.pair_ids, data.labels, data.groups)
        augmentation = AugmentParams(jpeg=0.8, quality=(40, 100), blur=0.15, noise=0.2, scale=0.8, rotate=10)
        found = {}
        for name, source in (("stored", kept), ("online", data)):
            maker = BatchMaker(source, 0, augmentation, (), True, False)
            step = Step(backbone, "adamw", batch, side, device)
            found[name] = waiting(step, Feeder(maker, workers, name == "online"), rows, data.labels)
    return {
        **found,
        "online_over_stored": round(found["online"]["images_per_s"] / found["stored"]["images_per_s"], 3),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbones", default=PRESETS)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--picture", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--manifest", type=Path, help="real faces with landmarks: fakes drawn anew against stored ones"
    )
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="of the steps; loading is always by wall time",
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = args.backbones.split(",")
    value = {
        "settings": vars(args),
        "torch": torch.__version__,
        "steps": {
            name: step_times(name, args.batch, args.side, args.rounds, args.device, args.clock)
            for name in names
        },
        "loading": {
            name: [
                loading(name, args.batch, args.side, args.picture, 2 * args.rounds, w, args.device)
                for w in (0, args.workers)
            ]
            for name in names[:1]
        },
    }
    if args.manifest is not None:
        value["drawn_anew"] = {
            name: drawn_anew(
                args.manifest, name, args.batch, args.side, 2 * args.rounds, args.workers, args.device
            )
            for name in names
        }
    print(json.dumps(value, indent=1, default=str))


if __name__ == "__main__":
    main()
