"""Counterfactual sets: `python -m benchmarks.counterfactuals --cell-model FILE [--picture FILE.png] [--sets
64] [--strength 1] [--seed 2026]`.

Prints how many sets are read as their cell in every member, and how near the members of a set are to each
other, against faces of different sets in one cell. `--picture` draws the `--rows` sets with most members read
right: one row a set, one column a cell. Seeded, one thread.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from attribute_models import load_attribute_model
from benchmarks.cells import spread, thumbnail
from generators import load_generator
from generators.cells import CellModel
from generators.cells.belonging import check_fitted_to
from generators.sampling import synthesize
from generators.stylegan2.generator import Generator
from manifests.images import encode, resize
from manifests.seeding import seed_of
from manifests.taxonomy import get_taxonomy
from manifests.weights import find_weight
from pipeline.engine.config import Config
from pipeline.engine.executors import one_thread


def draw(
    model: CellModel, generator: Generator, sets: int, seed: int, psi: float, strength: float
) -> np.ndarray:
    """Sets as the stage `sample` draws them: uint8 [sets, cells, H, W, 3]."""
    cells = tuple(model.cells)
    seeds = [seed_of(seed, "counterfactual", index) for index in range(sets)]
    w = np.concatenate([model.sample_counterfactual(cells, s, psi=psi, strength=strength) for s in seeds])
    images = synthesize(generator, w)
    return images.reshape(sets, len(cells), *images.shape[1:])


def read_right(images: np.ndarray, model: CellModel, config: Config) -> np.ndarray:
    """Which members are surely read as their cell: bool [sets, cells]."""
    taxonomy = get_taxonomy(model.taxonomy)
    race, gender = load_attribute_model(config.cells.attribute_model).predict_cells(
        images.reshape(-1, *images.shape[2:]), taxonomy
    )
    sure = (race.max(1) >= config.cells.min_race_prob) & (gender.max(1) >= config.cells.min_gender_prob)
    names = [
        taxonomy.cell(taxonomy.races[r], taxonomy.genders[g])
        for r, g in zip(race.argmax(1), gender.argmax(1), strict=True)
    ]
    wanted = [*model.cells] * len(images)
    hit = np.array([ok and name == cell for ok, name, cell in zip(sure, names, wanted, strict=True)])
    return hit.reshape(images.shape[:2])


def picture(images: np.ndarray, path: Path, side: int) -> None:
    """Write sets as rows, cells as columns, each face `side` pixels wide with a white gap of 2."""
    rows = [
        np.concatenate(
            [np.pad(resize(face, side), ((1, 1), (1, 1), (0, 0)), constant_values=255) for face in faces], 1
        )
        for faces in images
    ]
    path.write_bytes(encode(np.concatenate(rows, 0), "png"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", default="starter64")
    parser.add_argument("--cell-model", required=True, help="file, or a name of `fairforge weights list`")
    parser.add_argument("--sets", type=int, default=64)
    parser.add_argument("--psi", type=float, default=0.8)
    parser.add_argument("--strength", type=float, default=1.0, help="as sample.strength")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--side", type=int, default=96)
    args = parser.parse_args()
    one_thread()
    model, config = CellModel.load(find_weight(args.cell_model, "cells").path), Config()
    generator = load_generator(args.generator)
    check_fitted_to(model, f"--cell-model {args.cell_model}", generator.sha256)
    images = draw(model, generator, args.sets, args.seed, args.psi, args.strength)
    hit = read_right(images, model, config)
    thumbs = np.stack([[thumbnail(face) for face in faces] for faces in images])
    within = float(np.mean([spread(list(row)) for row in thumbs]))
    between = float(np.mean([spread(list(thumbs[:, k])) for k in range(thumbs.shape[1])]))
    print(
        "| sets | members read right | complete sets | thumbnail distance within a set | between sets in a"
        " cell |"
    )
    print("|---:|---:|---:|---:|---:|")
    print(f"| {len(images)} | {hit.mean():.2f} | {hit.all(1).sum()} | {within:.3f} | {between:.3f} |")
    if args.picture:
        order = np.argsort(-hit.sum(1), kind="stable")[: args.rows]
        picture(images[np.sort(order)], args.picture, args.side)
        print(f"members read right in the rows of {args.picture}: {hit[np.sort(order)].sum(1).tolist()}")


if __name__ == "__main__":
    main()
