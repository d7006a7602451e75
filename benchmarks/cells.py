"""Strategies for cells compared: `python benchmarks/cells.py [--generator starter64] [--per-cell 64] [--seed
2026]`.

Prints Markdown tables: per strategy and cell the hit rate on fresh draws, images made per accepted face, new
identities, and how different the faces of a cell are from each other, against draws without any condition.
Seeded, one thread. `--cell-model FILE` takes cells that `fairforge fit-cells` fitted; without it they are
fitted first.

What is measured, by the models and limits of the default configuration:
- hit: the picture is read as the cell, surely enough, before any verification. For `rejection`: the cell's
  share of the draws.
- accepted: a hit that is also one sharp face, still read as the cell once aligned, and a new identity.
- identity diversity: mean distance between the identity embeddings of the cell's hits, over that of
  unconditional draws.
- picture diversity: the same of 16 x 16 grey thumbnails, each scaled to mean 0 and length 1, so that neither
  brightness nor contrast (and with them little of skin tone) counts.
- time to draw latents: a reader that looks at many of them costs something too; over the time of making the
  pictures.
A rate or identity diversity of one cell has its standard error behind +-: binomial, and by the jackknife over
the cell's faces.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from attribute_models import load_attribute_model, load_face_detector, load_identity_model, load_landmarker
from attribute_models.detection.alignment import align, apply, invert, similarity
from attribute_models.quality import sharpness
from generators import load_generator
from generators.cells import CellModel
from generators.cells.belonging import check_fitted_to
from generators.sampling import synthesize
from generators.strategies import STRATEGIES, Drawing
from manifests.images import encode, resize
from manifests.seeding import seed_of
from manifests.taxonomy import Taxonomy, get_taxonomy
from manifests.weights import find_weight
from pipeline.engine.config import Config
from pipeline.engine.executors import one_thread

THUMBNAIL = 16
BASELINE = 512
"""Unconditional faces that diversity is compared with."""


@dataclass
class Faces:
    """Draws for one cell. drawn: how many; hits: how many are read as the cell. accepted: of the judged ones
    that pass.

    judged: how many hits were judged. embeddings, thumbnails: of the judged ones with a face. seconds: to
    draw the latents, and to make their pictures.
    """

    drawn: int = 0
    hits: int = 0
    judged: int = 0
    accepted: int = 0
    embeddings: list[np.ndarray] = field(default_factory=list)
    thumbnails: list[np.ndarray] = field(default_factory=list)
    seconds: tuple[float, float] = (0.0, 0.0)

    @property
    def images_per_face(self) -> float:
        """Images made per accepted face; infinite where none was accepted."""
        rate = self.hits / self.drawn * (self.accepted / self.judged if self.judged else 0)
        return 1 / rate if rate else float("inf")


class Judge:
    """Reads pictures as the stages `cells` and `verify` do."""

    def __init__(self, config: Config, taxonomy: Taxonomy) -> None:
        self.verify, self.cells, self.taxonomy = config.verify, config.cells, taxonomy
        self.attributes = load_attribute_model(self.cells.attribute_model)
        self.detector = load_face_detector(self.verify.face_detector)
        self.landmarker = load_landmarker(self.verify.landmarker)
        self.identity = load_identity_model(self.verify.identity_model)

    def read(self, images: np.ndarray, race_prob: float, gender_prob: float) -> list[str | None]:
        """The cell of each picture, None where the model is not sure."""
        race, gender = self.attributes.predict_cells(images, self.taxonomy)
        sure = (race.max(1) >= race_prob) & (gender.max(1) >= gender_prob)
        names = (
            self.taxonomy.cell(self.taxonomy.races[r], self.taxonomy.genders[g])
            for r, g in zip(race.argmax(1), gender.argmax(1), strict=True)
        )
        return [name if ok else None for name, ok in zip(names, sure, strict=True)]

    def add(self, faces: Faces, image: np.ndarray, cell: str | None) -> None:
        """Judge one picture; `cell` None: only measure it."""
        faces.judged += 1
        found = [f for f in self.detector.detect(image) if f.score >= self.verify.min_face_score]
        if len(found) != 1:
            return
        five = found[0].five
        crop = align(image, five, 128)
        mesh = apply(self.landmarker.predict(crop[None])[0], invert(similarity(five, 128))).astype(np.float32)
        embedding = self.identity.embed(image, mesh)
        near = [
            e for e in faces.embeddings if np.linalg.norm(e - embedding) < self.verify.min_identity_distance
        ]
        faces.embeddings.append(embedding)
        faces.thumbnails.append(thumbnail(image))
        read = self.read(crop[None], self.verify.min_race_prob, self.verify.min_gender_prob)[0]
        faces.accepted += (
            cell is not None and not near and read == cell and sharpness(image) >= self.verify.min_sharpness
        )


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Float64 [256]: grey, mean 0, length 1."""
    grey = resize(image, THUMBNAIL).astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    grey = grey.reshape(-1) - grey.mean()
    return np.asarray(grey / max(np.linalg.norm(grey), 1e-9))


def spread_with_error(vectors: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean distance over all pairs and its jackknife standard error over the vectors; NaN for fewer than
    8.
    """
    n = len(vectors)
    if n < 8:
        return float("nan"), float("nan")
    x = np.stack(vectors).astype(np.float64)
    square = (x * x).sum(1)
    sums = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * x @ x.T, 0)).sum(1)
    without = (sums.sum() - 2 * sums) / ((n - 1) * (n - 2))
    return float(sums.sum() / (n * (n - 1))), float(
        np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    )


def spread(vectors: Sequence[np.ndarray]) -> float:
    """Mean distance over all pairs; NaN for fewer than 8 vectors."""
    return spread_with_error(vectors)[0]


def unconditional(
    drawing: Drawing, judge: Judge, draws: int, per_cell: int
) -> tuple[Faces, dict[str, Faces]]:
    """The generator as it is: faces to compare with, and each cell's by rejection (at most `per_cell` of them
    judged).
    """
    everything, cells = Faces(draws, draws), {cell: Faces(draws) for cell in judge.taxonomy.cells}
    for start in range(0, draws, 128):
        seeds = range(start, min(start + 128, draws))
        images = synthesize(drawing.generator, STRATEGIES.create("rejection").draw(drawing, "", seeds))
        names = judge.read(images, judge.cells.min_race_prob, judge.cells.min_gender_prob)
        for image, name in zip(images, names, strict=True):
            if everything.judged < BASELINE:
                judge.add(everything, image, None)
            if name is None:
                continue
            faces = cells[name]
            faces.hits += 1
            if faces.judged < per_cell:
                judge.add(faces, image, name)
    return everything, cells


def conditional(name: str, drawing: Drawing, judge: Judge, per_cell: int) -> dict[str, Faces]:
    """`per_cell` fresh draws for every cell, by seeds that no fit has seen."""
    out = {}
    for cell in judge.taxonomy.cells:
        seeds = [seed_of(drawing.run_seed, "benchmark", name, cell, i) for i in range(per_cell)]
        times = [time.perf_counter()]
        w = STRATEGIES.create(name).draw(drawing, cell, seeds)
        times.append(time.perf_counter())
        images = synthesize(drawing.generator, w)
        times.append(time.perf_counter())
        read = judge.read(images, judge.cells.min_race_prob, judge.cells.min_gender_prob)
        faces = Faces(
            per_cell, sum(found == cell for found in read), seconds=(times[1] - times[0], times[2] - times[1])
        )
        for image, found in zip(images, read, strict=True):
            if found == cell:
                judge.add(faces, image, cell)
        out[cell] = faces
    return out


def tables(results: dict[str, dict[str, Faces]], everything: Faces, psi: dict[str, float]) -> list[str]:
    """Two Markdown tables: strategies, and cells by strategy."""
    identity, picture = spread(everything.embeddings), spread(everything.thumbnails)
    head = [
        (
            "| strategy | psi | mean hit rate | lowest | images per accepted face, mean | worst | identity"
            " diversity, mean | lowest | picture diversity, mean | lowest |"
        ),
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    rows = [
        (
            "| cell | strategy | drawn | hit rate | accepted of judged | images per accepted face | identity"
            " diversity | picture diversity |"
        ),
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, cells in results.items():
        rates = [f.hits / f.drawn for f in cells.values()]
        cost = [f.images_per_face for f in cells.values()]
        people = [spread(f.embeddings) / identity for f in cells.values()]
        pictures = [spread(f.thumbnails) / picture for f in cells.values()]
        head.append(
            f"| `{name}` | {psi[name]:g} | {np.mean(rates):.2f} | {min(rates):.2f} | {np.mean(cost):.1f} |"
            f" {max(cost):.1f} | {np.nanmean(people):.3f} | {np.nanmin(people):.3f} |"
            f" {np.nanmean(pictures):.2f} | {np.nanmin(pictures):.2f} |"
        )
    for cell in next(iter(results.values())):
        for name, cells in results.items():
            f = cells[cell]
            rate, (people, error) = f.hits / f.drawn, spread_with_error(f.embeddings)
            rows.append(
                f"| {cell} | `{name}` | {f.drawn} | {rate:.2f} ± {(rate * (1 - rate) / f.drawn) ** 0.5:.2f} |"
                f" {f.accepted}/{f.judged} | {f.images_per_face:.1f} | {people / identity:.2f} ±"
                f" {error / identity:.2f} | {spread(f.thumbnails) / picture:.2f} |"
            )
    return [
        *head,
        "",
        *rows,
        "",
        (
            f"Unconditional: {len(everything.embeddings)} faces of {everything.judged} pictures, mean"
            f" distance of identities {identity:.3f}, of thumbnails {picture:.3f}."
        ),
    ]


def fit(config: Config, folder: Path) -> Path:
    """Fit the cells in a run directory of their own; the file of the model."""
    from pipeline.engine.executors import Executor
    from pipeline.engine.progress import Reporter
    from pipeline.engine.run_directory import RunDirectory
    from pipeline.engine.runner import Flags, run_stage
    from pipeline.engine.stage import Context
    from pipeline.stages.cells.stage import CellsStage

    run = RunDirectory(folder, config)
    with Executor("local", 1) as executor:
        run_stage(Context(run, executor, Reporter(quiet=True)), CellsStage(), Flags())
    return run.folder("cells") / "model.safetensors"


def sheet(drawing: Drawing, strategy: str, each: int) -> np.ndarray:
    """The first `each` draws of every cell, a row a cell, none left out: uint8 [cells * S, each * S, 3]."""
    rows = []
    for cell in drawing.cells.cells:
        seeds = [seed_of(drawing.run_seed, "sheet", cell, i) for i in range(each)]
        images = synthesize(drawing.generator, STRATEGIES.create(strategy).draw(drawing, cell, seeds))
        rows.append(np.concatenate(list(images), 1))
    return np.concatenate(rows, 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", default="starter64")
    parser.add_argument("--taxonomy", default="fairface4")
    parser.add_argument("--cell-model", help="file, or a name of `fairforge weights list`")
    others = [name for name in STRATEGIES.names() if name != "rejection"]
    parser.add_argument("--strategies", nargs="+", default=others, choices=others)
    parser.add_argument("--per-cell", type=int, default=64, help="draws per cell and strategy")
    parser.add_argument("--unconditional", type=int, default=1024, help="draws without condition")
    parser.add_argument(
        "--psi", type=float, default=0.8, help="of projection and screening; the others draw untruncated"
    )
    parser.add_argument(
        "--strength", type=float, default=1.0, help="of projection and screening, as sample.strength"
    )
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument(
        "--picture",
        type=Path,
        help="PNG to write: 8 draws a cell by the last strategy; no table",
    )
    args = parser.parse_args()
    one_thread()
    config = Config().with_values(
        cells={"generator": args.generator}, dataset={"taxonomy": args.taxonomy}, run={"seed": args.seed}
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        named = args.cell_model
        model = CellModel.load(find_weight(named, "cells").path if named else fit(config, Path(folder)))
    seconds = {"fit": time.perf_counter() - start}
    generator = load_generator(args.generator)
    check_fitted_to(model, f"--cell-model {named}", generator.sha256)
    psi = {name: args.psi if name in ("projection", "screening") else 1.0 for name in STRATEGIES.names()}
    if args.picture:
        last = args.strategies[-1]
        drawing = Drawing(generator, model, args.seed, psi=psi[last], strength=args.strength)
        args.picture.write_bytes(encode(sheet(drawing, last, 8), "png"))
        return
    judge = Judge(config, get_taxonomy(model.taxonomy))
    start = time.perf_counter()
    plain = Drawing(generator, model, args.seed)
    everything, results = unconditional(plain, judge, args.unconditional, args.per_cell)
    found = {"rejection": results}
    seconds["rejection"] = time.perf_counter() - start
    for name in args.strategies:
        start = time.perf_counter()
        drawing = Drawing(generator, model, args.seed, psi=psi[name], strength=args.strength)
        found[name] = conditional(name, drawing, judge, args.per_cell)
        seconds[name] = time.perf_counter() - start
    print("\n".join(tables(found, everything, psi)))
    spent = {
        name: np.sum([faces.seconds for faces in found[name].values()], axis=0) for name in args.strategies
    }
    print(
        "Time to draw latents over that of their pictures: "
        + ", ".join(f"{name} {a / b:.2f}" for name, (a, b) in spent.items())
    )
    print("Seconds: " + ", ".join(f"{name} {took:.0f}" for name, took in seconds.items()))


if __name__ == "__main__":
    main()
