"""How far are the photographs that a generator learns from, as its training draws them, from held-out ones?

    python -m benchmarks.training_photographs RUN [RUN...] --held-out DEV.parquet

A generator that is measured against clear, frontal faces (`--clean`) and learns from others besides is held
to two aims at once: its KID cannot fall below that of its own training images. RUN is a folder of
`train-generator`; `--count` images are drawn as its steps draw them (`--keep`, `--weigh`, `--balance`), and
compared with the held-out faces that `generators compare --clean --balance fairface4` takes. One line of a
table per run and feature space, with 95 % intervals.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from generators.quality.kernel import kernel_distance
from generators.training.images import batch_rows, open_images
from pipeline.engine.run_directory import read_json
from pipeline.faces.feature_spaces import FEATURE_SPACES
from pipeline.faces.sources import CLEAN, choose, pictures

SPACES = ("attributes", "efficientnet_lite0")
"""Those that need no landmarks."""


def drawn(run: Path, count: int, seed: int) -> npt.NDArray[np.uint8]:
    """The first images that the steps of a training would show: uint8 [count, S, S, 3]."""
    info = read_json(run / "data" / "images.json")
    images = open_images(run / "data", info["size"], info["labels"], info.get("groups"), info.get("weights"))
    rows, mirrored = batch_rows(images.order, 0, count, seed, mirror=True)
    pairs = zip(rows, mirrored, strict=True)
    return np.stack([images.pixels[row][:, :: -1 if flip else 1] for row, flip in pairs])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--balance", default="fairface4")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2026)
    given = parser.parse_args()
    items = choose(given.held_out, CLEAN, given.seed, None, given.balance)
    held = np.stack([picture.image for picture in pictures(items) if picture.image is not None])
    none = np.zeros((given.count, 0, 2), np.float32)
    print(f"| training | images | space | KID of {given.count} against {len(held)} held-out faces |")
    print("|---|---:|---|---:|")
    for name in SPACES:
        space = FEATURE_SPACES.create(name)
        real = space.features(held, none[: len(held)])
        for run in given.runs:
            shown = drawn(run, given.count, given.seed)
            found = kernel_distance(real, space.features(shown, none), seed=given.seed)
            text = f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"
            many = read_json(run / "data" / "images.json")["count"]
            print(f"| {run.name} | {many} | {name} | {text} |", flush=True)


if __name__ == "__main__":
    main()
