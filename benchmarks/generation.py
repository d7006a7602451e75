"""Images per second of a generator: `python benchmarks/generation.py [--generator starter64] [--images 256]
[--seed 0]`.

Prints Markdown tables: batch sizes and precisions against a loop of single images in float32 in the same run;
worker processes; and how the cost of a draw grows with the number of cells and of faces. Every row is the
best of three repeats, interleaved with the others, so that a busy machine slows all alike. Memory is the peak
of a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch

from generators import load_generator
from generators.sampling import draw_z, map_latents, to_uint8
from manifests.seeding import seed_of
from pipeline.engine.executors import one_thread

REPEATS = 3
BATCHES = (1, 4, 16, 32, 64)


def styles(name: str, count: int, seed: int) -> np.ndarray:
    """float32 [count, num_ws, w_dim]."""
    model = load_generator(name)
    return map_latents(model, draw_z(seed, [("benchmark", i) for i in range(count)], model.z_dim))


def render(name: str, w: np.ndarray, batch: int, precision: str) -> float:
    """Seconds to synthesise every w in batches, on one thread, to uint8."""
    one_thread()
    model = load_generator(name)
    with torch.inference_mode():
        to_uint8(model.synthesis(w[:batch], precision=precision))
        start = time.perf_counter()
        for at in range(0, len(w), batch):
            to_uint8(model.synthesis(w[at : at + batch], precision=precision)).numpy()
        return time.perf_counter() - start


def best(tasks: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The shortest of three interleaved repeats of each."""
    out = dict.fromkeys(tasks, float("inf"))
    for _ in range(REPEATS):
        for name, task in tasks.items():
            out[name] = min(out[name], task())
    return out


def peak_memory(name: str, batch: int, precision: str) -> float:
    """MiB at the peak of a fresh process (Linux) that renders one batch, beyond what it holds after rendering
    one image.
    """
    code = (
        "from pathlib import Path\nfrom benchmarks.generation import render, styles\n"
        "kib = lambda name: int(Path('/proc/self/status').read_text().split(name + ':')[1].split()[0])\n"
        f"w = styles({name!r}, {batch}, 0)\nrender({name!r}, w[:1], 1, {precision!r})\n"
        "before = kib('VmRSS')\nPath('/proc/self/clear_refs').write_text('5')\n"
        f"render({name!r}, w, {batch}, {precision!r})\nprint((kib('VmHWM') - before) / 1024)"
    )
    return float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


def batches_table(name: str, images: int, seed: int) -> list[str]:
    """Images/s, speed-up and memory by batch and precision."""
    w = styles(name, images, seed)
    loop = ("loop of single images", 1, "fp32")
    rows = [loop, *[(f"batch {b}", b, p) for p in ("fp32", "bf16") for b in BATCHES if b > 1]]
    seconds = best({f"{text} {p}": lambda b=b, p=p: render(name, w, b, p) for text, b, p in rows})
    base = seconds[f"{loop[0]} fp32"]
    lines = [
        "| run | precision | images/s | against the loop | peak memory of a batch, MiB |",
        "|---|---|---:|---:|---:|",
    ]
    for text, batch, precision in rows:
        took = seconds[f"{text} {precision}"]
        memory = peak_memory(name, batch, precision)
        lines.append(f"| {text} | {precision} | {images / took:.0f} | {base / took:.2f} | {memory:.0f} |")
    return lines


def _work(job: tuple[str, int, int]) -> float:
    name, images, seed = job
    return render(name, styles(name, images, seed), 16, "fp32")


def workers_table(name: str, images: int, seed: int) -> list[str]:
    """Images/s by worker processes of one thread, start-up not counted."""
    lines = ["| workers | images/s | against one |", "|---:|---:|---:|"]
    rates: dict[int, float] = {}
    for workers in (1, 2):
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            list(pool.map(_work, [(name, 16, seed)] * workers))
            jobs = [(name, images // workers, seed + k) for k in range(workers)]
            seconds = min(max(pool.map(_work, jobs)) for _ in range(REPEATS))
        rates[workers] = images / seconds
        lines.append(f"| {workers} | {rates[workers]:.0f} | {rates[workers] / rates[1]:.2f} |")
    return lines


def growth_table(seed: int, dim: int = 128) -> list[str]:
    """Seconds to fit cells and to draw latents, by number of cells and of faces; on made-up latents."""
    from generators.cells import CellParams, fit_cells
    from manifests.taxonomy import get_taxonomy

    rng = np.random.default_rng(seed)
    lines = [
        "| cells | latents fitted | fit, s | faces drawn | draw, s | faces/s |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for taxonomy_name in ("fairface4", "fairface7"):
        taxonomy = get_taxonomy(taxonomy_name)
        w = rng.standard_normal((6000, dim)).astype(np.float32)
        races, genders = len(taxonomy.races), len(taxonomy.genders)
        logits = w[:, :races] * 3, w[:, races : races + genders] * 3
        race, gender = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in logits)
        start = time.perf_counter()
        labels = race.astype(np.float32), gender.astype(np.float32)
        model = fit_cells(w, labels, taxonomy, CellParams(min_race_prob=0.4))
        fit = time.perf_counter() - start
        for faces in (100, 1000, 4000):
            per = faces // len(taxonomy.cells)
            start = time.perf_counter()
            for cell in taxonomy.cells:
                model.sample(cell, [seed_of(seed, cell, i) for i in range(per)])
            draw = time.perf_counter() - start
            count = per * len(taxonomy.cells)
            lines.append(
                f"| {len(taxonomy.cells)} | {len(w)} | {fit:.1f} | {count} | {draw:.2f} |"
                f" {count / draw:.0f} |"
            )
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--generator", default="starter64")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for table in (
        batches_table(arguments.generator, arguments.images, arguments.seed),
        workers_table(arguments.generator, arguments.images, arguments.seed),
        growth_table(arguments.seed),
    ):
        print("\n".join(table), end="\n\n")
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
