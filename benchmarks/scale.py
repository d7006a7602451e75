"""Do time and memory grow with the data, and no faster? `python -m benchmarks.scale [--rows 10000 100000
1000000] [--pictures 20000]`.

Tables without pictures (`benchmarks.scale_data`) go through what a run does with all of them at once:
choosing pairs, writing and reading the manifest, audits, splits, measuring, the papers of a release,
settling identities, choosing second faces. Each step is a process of its own with one thread: processor
seconds of the step alone, which other programs do not lengthen much, those in the kernel (for giving it fresh
pages) also apart, and the most memory that the process ever had. The sizes of a step take turns, `--rounds`
times, and the quickest of each counts. Linear is a ratio of at most 11 a tenfold step. `--pictures` sends so
many small JPEGs through audit, release and the readers of shards, and a tenth of them before. `--json` for
figures; exit code 4 where a ratio or the memory is above its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.scale_steps import PICTURE_STEPS, STEPS, drawn_pictures, prepare
from manifests.errors import EXIT_GATE

MOST_RATIO = 11.0
"""Of seconds and of memory, where the rows are ten times as many."""
MOST_MIB = 2048
LEAST_SECONDS = 0.1
"""Shorter steps are measured too badly for a ratio."""
ROUNDS = 3
"""How often each step is done at each size, and the quickest counts."""


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(step: str, folder: Path, rows: int) -> dict[str, float]:
    """Do a step in this process: its seconds, and the peak of the process in MiB."""
    if step in ("prepare", "draw"):
        (prepare if step == "prepare" else drawn_pictures)(folder, rows)
        return {}
    from pipeline.engine.executors import one_thread

    one_thread()
    work = {**STEPS, **PICTURE_STEPS}[step](folder, rows)
    before, start = _peak(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    end = resource.getrusage(resource.RUSAGE_SELF)
    kernel = end.ru_stime - start.ru_stime
    return {
        "seconds": round(end.ru_utime - start.ru_utime + kernel, 3),
        "kernel_seconds": round(kernel, 3),
        "peak_mib": round(_peak()),
        "before_mib": round(before),
    }


def apart(step: str, folder: Path, rows: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.scale",
        "--step",
        step,
        "--folder",
        str(folder),
        "--rows",
        str(rows),
    ]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **threads})
    if done.returncode:
        raise SystemExit(f"{step} with {rows} rows failed:\n{done.stderr}")
    return dict(json.loads(done.stdout))


def quickest(found: list[dict[str, float]]) -> dict[str, float]:
    """The quickest of several measurements, and the most memory of any."""
    return {
        **min(found, key=lambda one: one["seconds"]),
        "peak_mib": max(one["peak_mib"] for one in found),
    }


def figures(
    steps: Iterable[str],
    sizes: list[int],
    folder: Path,
    first: str,
    rounds: int,
    report: Callable[[str], None],
) -> dict[str, dict[int, dict[str, float]]]:
    """By step and size: seconds and MiB. `first` makes the data of a size. The sizes of a step take turns, so
    that a machine that slows down slows all of them, and each is measured as often.
    """
    for rows in sizes:
        (folder / f"{first}-{rows}").mkdir()
        apart(first, folder / f"{first}-{rows}", rows)
    out: dict[str, dict[int, dict[str, float]]] = {}
    for step in steps:
        found: dict[int, list[dict[str, float]]] = {rows: [] for rows in sizes}
        for _ in range(rounds):
            for rows in sizes:
                one = apart(step, folder / f"{first}-{rows}", rows)
                found[rows].append(one)
                report(
                    f"{step}, {rows} rows: {one['seconds']} s ({one['kernel_seconds']} in the kernel),"
                    f" {one['peak_mib']:.0f} MiB"
                )
        out[step] = {rows: quickest(some) for rows, some in found.items()}
    return out


def judge(found: dict[int, dict[str, float]]) -> list[str]:
    """What a step breaks: growth faster than `MOST_RATIO` a tenfold step, or more than `MOST_MIB`."""
    out = []
    for few, many in pairwise(sorted(found)):
        allowed = MOST_RATIO * many / few / 10
        for key, least in (("seconds", LEAST_SECONDS), ("peak_mib", MOST_MIB / 8)):
            small, large = max(found[few][key], least), found[many][key]
            if large > allowed * small:
                out.append(f"{key} grow {large / small:.1f} times from {few} to {many} rows")
    if (most := max(one["peak_mib"] for one in found.values())) > MOST_MIB:
        out.append(f"{most:.0f} MiB at the peak")
    return out


def table(found: dict[str, dict[int, dict[str, float]]]) -> str:
    """Markdown: seconds and MiB at each size, and the ratio of the last step."""
    sizes = sorted(next(iter(found.values())))
    head = [
        "step",
        *(f"{n:,} rows".replace(",", " ") for n in sizes),
        "ratio, last step",
        "MiB at the most",
        "verdict",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 2) + "---|"]
    for step, by_size in found.items():
        seconds = [by_size[n]["seconds"] for n in sizes]
        ratio = f"{seconds[-1] / max(seconds[-2], 1e-3):.1f}" if len(seconds) > 1 else ""
        cells = [
            step,
            *(f"{one:.2f} s" for one in seconds),
            ratio,
            f"{max(by_size[n]['peak_mib'] for n in sizes):.0f}",
        ]
        lines.append("| " + " | ".join([*cells, "; ".join(judge(by_size)) or "linear"]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure every step at every size, or do one step in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--pictures", type=int, default=0, help="of the steps that open pictures, and a tenth of it; 0: none"
    )
    parser.add_argument("--only", nargs="+", choices=[*STEPS, *PICTURE_STEPS], help="these steps alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each step at each size")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument(
        "--folder", type=Path, help="where the tables are written; a temporary folder by default"
    )
    given = parser.parse_args()
    if given.step is not None:
        print(json.dumps(measure(given.step, given.folder, given.rows[0])))
        return
    report = partial(print, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder, found = Path(name), {}
        steps = [step for step in STEPS if given.only is None or step in given.only]
        opening = [step for step in PICTURE_STEPS if given.only is None or step in given.only]
        parts = [figures(steps, given.rows, folder, "prepare", given.rounds, report)] if steps else []
        if given.pictures and opening:
            few = [given.pictures // 10, given.pictures]
            parts.append(figures(opening, few, folder, "draw", given.rounds, report))
    for part in parts:
        found |= part
    broken = {step: judge(by_size) for step, by_size in found.items() if judge(by_size)}
    if given.json:
        print(json.dumps({"steps": found, "broken": broken}, indent=1))
    else:
        print("\n\n".join(map(table, parts)))
    sys.exit(EXIT_GATE if broken else 0)


if __name__ == "__main__":
    main()
