"""Images per second of the face models on the CPU: `python benchmarks/attributes.py [--images 64] [--threads
1] [--data DIR]`.

Prints one JSON line per part. `batched` is how the pipeline calls it, `one_by_one` the same model fed one
picture at a time with batches of one (no filled-up rows), both in the same run on the same pictures, after a
warm-up; each is the best of `--repeats`. The detector and the identity network take one picture at a time by
design: they have no batched figure. Pictures are faces of the embedded generator, enlarged to 224 px, or the
first images of `--data`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from attribute_models import (
    align,
    batching,
    load_attribute_model,
    load_face_detector,
    load_identity_model,
    load_landmarker,
)
from attribute_models.attributes.annotation import Annotator
from generators import load_generator
from manifests.images import READABLE, Image, read_image, resize
from manifests.listing import list_files
from manifests.seeding import normal_of

SIDE = 224
GENERATOR = "starter64"


def drawn(count: int) -> list[Image]:
    """Faces of the embedded generator at 224 px."""
    generator = load_generator(GENERATOR)
    w = generator.mapping(normal_of(0, [("benchmark", k) for k in range(count)], generator.z_dim), psi=0.6)
    out = []
    for start in range(0, count, 16):
        found = np.asarray(generator.synthesis(w[start : start + 16])).transpose(0, 2, 3, 1)
        out += [resize(((one + 1) * 127.5).clip(0, 255).astype(np.uint8), SIDE) for one in found]
    return out


@contextmanager
def rows_per_batch(rows: int) -> Iterator[None]:
    """Micro-batches of another size, for the loop that feeds one picture at a time."""
    before = batching.ROWS
    batching.ROWS = rows
    try:
        yield
    finally:
        batching.ROWS = before


def rate(work: Callable[[], object], count: int, repeats: int) -> tuple[float, float]:
    """Pictures per second of the wall clock and of the processor, the best of `repeats` each."""
    best = [float("inf"), float("inf")]
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        best = [min(best[0], time.perf_counter() - wall), min(best[1], time.process_time() - cpu)]
    return round(count / best[0], 1), round(count / best[1], 1)


def report(
    part: str,
    model: str,
    count: int,
    one_by_one: tuple[float, float],
    batched: tuple[float, float] | None = None,
) -> None:
    """One JSON line: wall-clock rates, rates per processor second (they do not mind a busy machine), speed-up
    by the latter.
    """
    found: dict[str, object] = {
        "part": part,
        "model": model,
        "images": count,
        "one_by_one_per_s": one_by_one[0],
        "one_by_one_per_cpu_s": one_by_one[1],
    }
    if batched is not None:
        found |= {"batched_per_s": batched[0], "batched_per_cpu_s": batched[1]}
        found["speedup"] = round(batched[1] / one_by_one[1], 2)
    print(json.dumps(found), flush=True)


def main() -> None:
    """Measure every part."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=None, help="a folder of photographs")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    files = list_files(given.data, READABLE).files if given.data else ()
    pictures = [read_image(file) for file in files[: given.images]] or drawn(given.images)
    detector, attributes, landmarker, identity = (
        load_face_detector(),
        load_attribute_model(),
        load_landmarker(),
        load_identity_model(),
    )
    detector.detect(pictures[0])
    report(
        "detection",
        "mtcnn",
        len(pictures),
        rate(lambda: [detector.detect(p) for p in pictures], len(pictures), given.repeats),
    )
    found = [(picture, faces[0].five) for picture in pictures if (faces := detector.detect(picture))]
    crops = np.stack([align(picture, five) for picture, five in found])
    n = len(crops)
    for part, model, predict in (
        ("landmarks", "fairforge-mesh148", landmarker.predict),
        ("attributes", "fairforge-small", attributes.predict),
    ):
        predict(crops[:1])
        batched = rate(lambda p=predict: p(crops), n, given.repeats)
        with rows_per_batch(1):
            predict(crops[:1])
            single = rate(lambda p=predict: [p(crops[k : k + 1]) for k in range(n)], n, given.repeats)
        report(part, model, n, single, batched)
    identity.embed(*found[0])
    report(
        "identity", "dlib-resnet", n, rate(lambda: [identity.embed(*one) for one in found], n, given.repeats)
    )
    annotator = Annotator(attributes, landmarker, detector)
    items = [({"path": str(k)}, picture) for k, picture in enumerate(pictures)]
    whole = rate(lambda: list(annotator.annotate(items)), len(items), given.repeats)
    with rows_per_batch(1):
        single = rate(lambda: list(annotator.annotate(items, batch=1)), len(items), given.repeats)
    report("fairforge attributes", "all but identity", len(items), single, whole)


if __name__ == "__main__":
    main()
