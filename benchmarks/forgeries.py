"""Pairs per second of each forgery: `python benchmarks/forgeries.py [--size 64 128] [--pairs 40] [--name NAME]`.

One process, one thread, on drawn faces made of noise and the mean face shape; prints one JSON line per method and size.
"""

from __future__ import annotations

import argparse
import json
import time

import cv2
import numpy as np

from generators.forgeries import FORGERIES, get
from generators.forgeries.geometry import transform
from generators.forgeries.shape_model import shape_model
from manifests.records import Face
from manifests.seeding import rng_of


def noise_face(size: int, index: int) -> Face:
    """Coloured noise with the landmarks of a random face: real work for a forgery, and no person's picture."""
    rng, model = rng_of(0, "benchmark", size, index), shape_model()
    delta = rng.normal(0, 0.5, len(model.spread)) * model.spread
    shape = model.mean + np.tensordot(delta, model.modes, 1)
    points = transform(shape, np.array([[0.34 * size, 0, 0.5 * size], [0, 0.34 * size, 0.36 * size]]))
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (size, size, 3)).astype(np.float32), (0, 0), 1.0)
    return Face(image_id=str(index), image=noise.astype(np.uint8), landmarks=points, landmark_scheme="mesh148")


def main() -> None:
    """Time every method at every size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--size", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--name", nargs="+", default=FORGERIES.names(), choices=FORGERIES.names())
    arguments = parser.parse_args()
    for size in arguments.size:
        faces = [noise_face(size, index) for index in range(arguments.pairs + 1)]
        for name in arguments.name:
            forger = get(name)({"min_motion": 0} if name == "reenact-warp" else None)
            forger.forge(faces[0], faces[1], rng_of(0, "warm"))
            wall, cpu = time.perf_counter(), time.process_time()
            for index in range(arguments.pairs):
                forger.forge(faces[index], faces[index + 1], rng_of(0, "forge", name, index))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(json.dumps({
                "forgery": name, "size": size, "pairs": arguments.pairs,
                "pairs_per_s": round(arguments.pairs / wall, 1),
                "cpu_ms_per_pair": round(1000 * cpu / arguments.pairs, 1),
            }))


if __name__ == "__main__":
    main()
