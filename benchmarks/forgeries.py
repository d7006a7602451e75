"""Pairs per second of each forgery, by workers: `python benchmarks/forgeries.py [--size 64] [--pairs 40]
[--workers 1 2]`.

On drawn faces made of noise and the mean face shape; latent methods get random latents of `starter64` and
random directions, for speed does not depend on what a face looks like. Methods whose weights the user brings
are left out. Prints one JSON line per method, size and way of working. `loop` is the straightforward way in
the same run: one process, one picture at a time, encoded and decoded between the steps as when every step
were a command of its own, the forger built anew for each pair. `speedup` is against it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np

from generators.cells.directions import fit_directions
from generators.forgeries import FORGERIES, get
from generators.forgeries.geometry import transform
from generators.forgeries.shape_model import MEASURES, shape_model
from manifests.images import decode, encode
from manifests.records import Face
from manifests.seeding import rng_of
from manifests.weights import find_weight

CHUNK = 8
GENERATOR = "starter64"
EASY = {
    "reenact-warp": {"min_motion": 0},
    "reenact-tps": {"min_motion": 0},
    "blend-xray": {"max_distance": 9.0},
    "mouth-swap": {"min_change": 0, "max_yaw_gap": 9.0, "max_mouth_gap": 9.0},
    "swap-delaunay": {"max_yaw_gap": 9.0, "max_mouth_gap": 9.0},
    "swap-latent": {"max_yaw_gap": 9.0, "max_mouth_gap": 9.0},
    "reenact-latent": {"min_motion": 0},
}
"""No pair is refused, so that every method does the same number of pairs."""


def noise_face(size: int, index: int) -> Face:
    """Coloured noise with the landmarks of a random face: real work for a forgery, and no person's
    picture.
    """
    rng, model = rng_of(0, "benchmark", size, index), shape_model()
    delta = rng.normal(0, 0.5, len(model.spread)) * model.spread
    shape = model.mean + np.tensordot(delta, model.modes, 1)
    points = transform(shape, np.array([[0.34 * size, 0, 0.5 * size], [0, 0.34 * size, 0.36 * size]]))
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (size, size, 3)).astype(np.float32), (0, 0), 1.0)
    latent = rng.standard_normal((1, 128)).astype(np.float32)
    return Face(
        image_id=str(index),
        image=noise.astype(np.uint8),
        landmarks=points,
        landmark_scheme="mesh148",
        latent=latent,
        generator=GENERATOR,
    )


@lru_cache(maxsize=1)
def directions_file() -> str:
    """A file of random directions, the same for every process."""
    rng = rng_of(0, "benchmark", "directions")
    w = rng.standard_normal((400, 128))
    labels = {name: w @ rng.standard_normal(128) for name in (*MEASURES, "age")}
    path = Path(tempfile.gettempdir()) / "fairforge-benchmark-directions.safetensors"
    fit_directions(w, labels, generator_sha256=find_weight(GENERATOR, "generator").sha256).save(path)
    return str(path)


def params_of(name: str) -> dict[str, object]:
    """Parameters under which no pair is refused."""
    facts = FORGERIES.get(name).facts
    latent = {"max_difference": 255.0} if facts["latent"] else {}
    return {
        **EASY.get(name, {}),
        **latent,
        **({"directions": directions_file()} if facts["directions"] else {}),
    }


def one_pair(name: str, size: int, index: int) -> None:
    """The straightforward way: read both faces, build the forger, make one fake, write it."""
    target, other = (
        face.model_copy(update={"image": decode(encode(face.image, "png"))})
        for face in (noise_face(size, index), noise_face(size, index + 1))
    )
    made = get(name)(params_of(name)).forge(target, other, rng_of(0, "forge", name, index))
    encode(made.image, "png")
    encode(made.mask, "png")


def chunk_of_pairs(name: str, size: int, start: int) -> None:
    """The pipeline's way: a shard of pairs, each face read once, one forger."""
    faces = [noise_face(size, index) for index in range(start, start + CHUNK + 1)]
    forger = get(name)(params_of(name))
    for offset in range(CHUNK):
        made = forger.forge(faces[offset], faces[offset + 1], rng_of(0, "forge", name, start + offset))
        encode(made.image, "png")
        encode(made.mask, "png")


def warm(name: str, size: int) -> None:
    """Load what the first pair loads."""
    one_pair(name, size, 0)


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of `work`."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _each(work: Callable[[int], None], indices: range) -> None:
    for index in indices:
        work(index)


def figures(name: str, size: int, pairs: int, workers: list[int]) -> Iterator[dict[str, object]]:
    """The loop's figure, then one for each number of workers."""
    warm(name, size)
    loop = pairs / timed(lambda: _each(partial(one_pair, name, size), range(pairs)))
    yield {"forgery": name, "size": size, "pairs": pairs, "way": "loop", "pairs_per_s": round(loop, 1)}
    starts = range(0, pairs, CHUNK)
    for count in workers:
        if count == 1:
            seconds = timed(lambda: _each(partial(chunk_of_pairs, name, size), starts))
        else:
            with multiprocessing.get_context("spawn").Pool(count, warm, (name, size)) as pool:
                pool.map(partial(warm, name), [size] * count, 1)
                seconds = timed(partial(pool.map, partial(chunk_of_pairs, name, size), starts, 1))
        rate = len(starts) * CHUNK / seconds
        yield {
            "forgery": name,
            "size": size,
            "pairs": len(starts) * CHUNK,
            "way": f"{count} workers",
            "pairs_per_s": round(rate, 1),
            "speedup": round(rate / loop, 2),
        }


def main() -> None:
    """Time every method at every size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--size", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--name",
        nargs="+",
        default=[e.name for e in FORGERIES.entries() if not e.facts["files"]],
        choices=FORGERIES.names(),
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    for size in arguments.size:
        for name in arguments.name:
            for figure in figures(name, size, arguments.pairs, arguments.workers):
                print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
