"""How well latent readers foretell the attribute model: `python benchmarks/latent_reader.py --fit runs/b128`.

Takes the labelled latents that a fit of cells left in its run (`cells/part-*.parquet`), trains readers on
some of them and asks them about others. Prints a Markdown table. Seeded, one thread.

- latents, readers: what a reader learned from, and how many networks are averaged.
- cross entropy: of the labels of all axes on the latents held out, in nats; lower is better.
- likeliest: of the share of latents it finds likeliest for a cell, how many are surely of that cell; mean and
  lowest of the cells.
- given: the same of the latents that it gives at least `--sure`, and what share of all latents that is, mean
  over cells.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from generators.cells import CellModel
from generators.cells.fit import Labels, sure_cells
from generators.cells.reader import LatentReader, train_reader
from manifests.taxonomy import Taxonomy, get_taxonomy
from pipeline.engine.config_cells import CellsSection
from pipeline.engine.executors import one_thread
from pipeline.engine.shards import read_shards


def labelled(folder: Path, axes: list[str]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Latents float32 [N, w_dim] and probabilities by axis float32 [N, size] of a run's stage `cells`."""
    table = read_shards(folder / "cells", len(list((folder / "cells").glob("part-*.parquet"))))
    w, *labels = (np.stack(table.column(name).to_pylist()).astype(np.float32) for name in ("w", *axes))
    return w, labels


def measure(
    reader: LatentReader, u: np.ndarray, labels: Labels, taxonomy: Taxonomy, top: float, sure: float
) -> list[float]:
    """Cross entropy; precision of the likeliest, mean and lowest; of the sure ones, mean and lowest; share
    that is sure.
    """
    found = sure_cells(labels, taxonomy, CellsSection().minima)
    loss = sum(
        -(label * log).sum(1).mean() for label, log in zip(labels, reader.log_probabilities(u), strict=True)
    )
    likeliest, certain, shares = [], [], []
    for number, cell in enumerate(taxonomy.cells):
        parts = taxonomy.parts(cell)
        score = reader.score(u, [classes.index(parts[axis]) for axis, classes in taxonomy.axes.items()])
        hit = found == number
        likeliest.append(hit[np.argsort(-score)[: round(top * len(u))]].mean())
        chosen = score >= np.log(sure)
        certain.append(hit[chosen].mean() if chosen.any() else np.nan)
        shares.append(chosen.mean())
    return [
        float(x)
        for x in (
            loss,
            np.mean(likeliest),
            np.min(likeliest),
            np.nanmean(certain),
            np.nanmin(certain),
            np.mean(shares),
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", type=Path, required=True, help="a run whose cells are fitted")
    parser.add_argument("--latents", type=int, nargs="+", default=[5000, 10000, 20000, 40000])
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 4])
    parser.add_argument(
        "--held-out", type=int, default=8000, help="the last latents, which no reader learns from"
    )
    parser.add_argument("--top", type=float, default=0.04)
    parser.add_argument("--sure", type=float, default=0.45)
    parser.add_argument("--seed", type=int, default=2026)
    args = parser.parse_args()
    one_thread()
    model = CellModel.load(args.fit / "cells" / "model.safetensors")
    taxonomy = get_taxonomy(model.taxonomy)
    w, labels = labelled(args.fit, list(taxonomy.axes))
    u, rest = model.whiten(w), len(w) - args.held_out
    if rest < max(args.latents):
        parser.error(
            f"{args.fit} has {len(w)} labelled latents: hold out fewer, or learn from at most {max(rest, 0)}"
        )
    print(
        f"| latents | readers | cross entropy | likeliest {100 * args.top:g} %: hits | lowest cell | given"
        f" {args.sure:g}: hits | lowest cell | share of latents | seconds |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        sep="\n",
    )
    for count in args.latents:
        for members in args.readers:
            start = time.perf_counter()
            reader = train_reader(u[:count], [label[:count] for label in labels], args.seed, members)
            took = time.perf_counter() - start
            loss, *values = measure(
                reader, u[rest:], [label[rest:] for label in labels], taxonomy, args.top, args.sure
            )
            print(
                f"| {count} | {members} | {loss:.3f} | "
                + " | ".join(f"{x:.2f}" for x in values[:-1])
                + f" | {values[-1]:.3f} | {took:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
