"""How many rows a micro-batch should have: seconds an image takes in each network, by the number of rows.

    python -m benchmarks.micro_batches                      # the embedded networks on this machine's CPU
    python -m benchmarks.micro_batches --device cuda

Prints one JSON line per network: milliseconds an image by rows, the fastest first, beside the number of rows
that the program uses. That number is a constant, as it is part of what an output is (`nn.micro_batches`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from attribute_models import load_attribute_model
from attribute_models.batching import ROWS
from attribute_models.networks import prepare
from benchmarks.peers.reference_synthesis import official_generator
from benchmarks.peers.timing import CLOCKS
from detector.inference.checkpoints import PHOTOGRAPHS
from detector.inference.prediction import MICRO_BATCH, load_detector
from detector.models.network import mirrored_logits, normalise
from generators.checkpoints.library import load_generator
from generators.sampling import rows_of
from generators.stylegan2.generator import Generator
from manifests.seeding import rng_of
from nn.devices import torch_device, torch_threads
from nn.micro_batches import fastest_rows

SIZES = (8, 16, 32)
OFFICIAL = 256
"""Pixels of the generator with official numbers of channels (weights drawn)."""
OFFICIAL_SIZES = (1, 2, 4, 8)


def pictures(rows: int, side: int) -> np.ndarray:
    """Noise: uint8 [rows, side, side, 3]."""
    return rng_of(1, "micro-batches", rows).integers(0, 256, (rows, side, side, 3), np.uint8)


def runs(device: str) -> dict[str, tuple[int, tuple[int, ...], Callable[[int], object]]]:
    """Network -> the rows that the program gives it, those to try, and a run of so many."""
    where = torch_device(device)
    faces, detector = load_attribute_model("fairforge-small", device), load_detector(PHOTOGRAPHS, device)
    generator, large = load_generator("starter64", device), official_generator(OFFICIAL).to(where)
    network, size = faces.network, faces.size

    def attributes(rows: int) -> object:
        return float(next(iter(network(prepare(pictures(rows, size), size).to(where)).values())).sum())

    def detection(rows: int) -> object:
        images = torch.from_numpy(pictures(rows, detector.input_size)).to(where)
        inputs = normalise(images, detector.network.config)
        return float(mirrored_logits(detector.network, inputs)["fake"].sum())

    def synthesis(drawn: Generator, rows: int) -> object:
        z = rng_of(1, "latents", rows).standard_normal((rows, drawn.z_dim)).astype(np.float32)
        return float(drawn.synthesis(drawn.mapping(z), "const").sum())

    return {
        "attributes": (ROWS, SIZES, attributes),
        "detector": (MICRO_BATCH, SIZES, detection),
        "generator": (rows_of(generator), SIZES, partial(synthesis, generator)),
        f"generator-{OFFICIAL}": (rows_of(large), OFFICIAL_SIZES, partial(synthesis, large)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--only", help="one network, as it is printed")
    given = parser.parse_args()
    with torch_threads(given.threads), torch.inference_mode():
        for name, (used, sizes, run) in runs(given.device).items():
            if given.only not in (None, name):
                continue
            found = fastest_rows(run, sizes, rounds=given.rounds, clock=CLOCKS[given.clock])
            times = {str(rows): round(1000 * seconds, 3) for rows, seconds in found.items()}
            print(json.dumps({"network": name, "uses": used, "milliseconds_per_image": times}))


if __name__ == "__main__":
    main()
