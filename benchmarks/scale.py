"""Do time and memory grow with the data, and no faster? `python -m benchmarks.scale [--rows 10000 100000
1000000] [--pictures 20000]`.

Tables without pictures (`benchmarks.scale_data`) go through what a run does with all of them at once:
choosing pairs, writing and reading the manifest, audits, splits, measuring, the papers of a release,
settling identities, choosing second faces. Each step is a process of its own with one thread: processor
seconds of the step alone, which other programs do not lengthen much, those in the kernel (for giving it fresh
pages) also apart, and the most memory that the process ever had. Of short steps the quickest of three. Linear
is a ratio of at most 11 a tenfold step. `--pictures` sends so many small JPEGs through audit, release and
the readers of shards, and a tenth of them before. `--json` for figures; exit code 4 where a ratio or the
memory is above its limit.
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
from typing import Any

from manifests.errors import EXIT_GATE

MOST_RATIO = 11.0
"""Of seconds and of memory, where the rows are ten times as many."""
MOST_MIB = 2048
LEAST_SECONDS = 0.1
"""Shorter steps are measured too badly for a ratio."""
SHORT, REPEATS = 5.0, 3
"""A step of fewer seconds is done so many times, each in a process of its own, and the quickest counts."""
Work = Callable[[], Any]


def _run(folder: Path, rows: int) -> Any:
    from benchmarks.scale_data import METHODS, SHARES, per_cell
    from pipeline.engine.config import Config
    from pipeline.engine.executors import Executor
    from pipeline.engine.progress import Reporter
    from pipeline.engine.run_directory import RunDirectory
    from pipeline.engine.stage import Context

    config = Config.model_validate(
        {
            "dataset": {"per_cell": per_cell(rows), "splits": SHARES},
            "forge": {"methods": list(METHODS), "held_out": []},
        }
    )
    return Context(RunDirectory(folder / "run", config), Executor("local", 1), Reporter(quiet=True))


def prepare(folder: Path, rows: int) -> None:
    """Write the tables of this size below `folder`; not measured."""
    from benchmarks import scale_data
    from manifests.store import write_table
    from pipeline.stages.forge.fakes import SCHEMA as FORGE
    from pipeline.stages.verify.faces import SCHEMA as VERIFY

    table = scale_data.manifest(rows)
    write_table(table, folder / "manifest.parquet")
    context = _run(folder, rows)
    size = context.config.pair.shard_size * scale_data.MEMBERS
    for number, start in enumerate(range(0, table.num_rows, size)):
        write_table(table.slice(start, size), context.run.folder("pair") / f"part-{number:05d}.parquet")
    write_table(scale_data.faces(rows, VERIFY), context.run.folder("verify") / "faces.parquet")
    write_table(scale_data.fakes(rows, FORGE), context.run.folder("forge") / "fakes.parquet")
    write_table(scale_data.scores(rows), folder / "scores.parquet")


def choosing(folder: Path, rows: int) -> Work:
    """Stage `pair` chooses its pairs and cuts them into shards."""
    from pipeline.stages.pair.stage import PairStage

    context = _run(folder, rows)
    return lambda: PairStage().tasks(context, "key")


def writing(folder: Path, rows: int) -> Work:
    """Stage `pair` joins its shards, checks the whole and writes the manifest."""
    from pipeline.engine.shards import Task
    from pipeline.stages.pair.encoding import Encoding, encode_pairs
    from pipeline.stages.pair.stage import PairStage

    context = _run(folder, rows)
    place = context.run.folder("pair")
    count = len(list(place.glob("part-*.parquet")))
    run, pair = context.run, context.config.pair
    folders = run.folder("sample"), run.folder("forge")
    encoding = Encoding((), pair.codec, pair.quality, 64, 0, "fairface4", *folders, {})
    tasks = [Task("pair", number, place, "key", encode_pairs, encoding) for number in range(count)]
    return lambda: PairStage().finish(context, tasks)


def reading(folder: Path, rows: int) -> Work:
    """Read a manifest and check its rows."""
    from manifests.store import read_manifest

    return lambda: read_manifest(folder)


def auditing(folder: Path, rows: int) -> Work:
    """Audits that read rows alone."""
    from manifests.audit import AUDITS, audit_manifest

    AUDITS.names()  # finds and imports them all, which is not the step's time
    return lambda: audit_manifest(folder, ["balance", "leaks"])


def near(folder: Path, rows: int) -> Work:
    """Near copies among the real images, from hashes and thumbnails."""
    import numpy as np

    from benchmarks.scale_data import MEMBERS
    from manifests.audit.duplicates import DuplicateParams, near_copies
    from manifests.seeding import rng_of

    rng, count = rng_of(0, "scale", "hashes"), rows // MEMBERS
    hashes = rng.random((count, 64)) < rng.uniform(0.2, 0.8, 64)
    again = rng.integers(0, count, count // 50)
    hashes[again] = hashes[again[::-1]]
    looks = rng.normal(0, 1, (count, 256)).astype(np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    return lambda: near_copies(hashes, looks, DuplicateParams())


def splitting(folder: Path, rows: int) -> Work:
    """Splits of so many identities, and who is tied to whom."""
    from benchmarks.scale_data import CELLS, SHARES
    from manifests.splits import assign_splits, connected_identities

    people, cells = [f"person-{k}" for k in range(rows)], [CELLS[k % len(CELLS)] for k in range(rows)]

    def work() -> None:
        assign_splits(people, cells, SHARES, seed=0)
        connected_identities(zip(people, people[1::2], strict=False))

    return work


def measuring(folder: Path, rows: int) -> Work:
    """Everything that `fairforge fairness` measures of a file of scores."""
    import detector.fairness
    import detector.metrics.counterfactual
    import detector.metrics.method_gaps  # noqa: F401  (imported when needed, which is not the step's time)
    import manifests.sanity  # noqa: F401
    from pipeline.stages.evaluate.measuring import Measure
    from pipeline.stages.evaluate.score_files import Columns
    from pipeline.stages.evaluate.score_reports import fairness_of_scores

    return lambda: fairness_of_scores(folder / "scores.parquet", Columns(), None, Measure())


def reporting(folder: Path, rows: int) -> Work:
    """`detector.fairness.report` alone, 500 replicates."""
    import numpy as np

    from detector import fairness
    from manifests.columns import texts_of
    from manifests.store import read_table

    table = read_table(folder / "scores.parquet")
    label, score = (table[name].to_numpy() for name in ("label", "score"))
    groups = {name: texts_of(table[name]) for name in ("race", "gender", "cell")}
    clusters = texts_of(table["identity_id"])
    return lambda: fairness.report(np.asarray(label), np.asarray(score), groups, clusters)


def release_info() -> Any:
    """What the giver of a drawn release says."""
    from manifests.release.info import ReleaseInfo

    return ReleaseInfo(
        name="drawn",
        version="1",
        creators=("nobody",),
        licence="CC BY 4.0",
        description="Drawn by a benchmark.",
    )


def releasing(folder: Path, rows: int) -> Work:
    """The papers and tables of a release, and their check."""
    from manifests.release.build import write_papers
    from manifests.release.check_papers import check_papers
    from manifests.release.layout import placed
    from manifests.release.withdrawal import withdraw
    from manifests.store import read_manifest

    info = release_info()

    def write(out: Path) -> None:
        table, gone = withdraw(read_manifest(folder), ())
        write_papers(out, placed(table, folder), info, {}, gone, None)

    def work() -> None:
        out = folder / "release"
        write(out)
        found = check_papers(out)
        assert not found, found

    return work


def settling(folder: Path, rows: int) -> Work:
    """Stage `verify` refuses identities that are there twice, and fills its cells."""
    from benchmarks.scale_data import CELLS, embeddings
    from pipeline.stages.verify.faces import VerifiedFace
    from pipeline.stages.verify.selection import settle

    drawn = [
        VerifiedFace(
            f"{k:08d}",
            status="accepted",
            cell=CELLS[k % len(CELLS)],
            origin="synthetic",
            identity_id=f"person-{k}",
            embedding=row,
        )
        for k, row in enumerate(embeddings(rows))
    ]
    return lambda: settle(drawn, dict.fromkeys(CELLS, rows), 0.25)


def partnering(folder: Path, rows: int) -> Work:
    """Stage `forge` chooses second faces for every real image by one method."""
    from manifests.seeding import rng_of
    from manifests.store import read_table
    from pipeline.stages.forge.partners import Partners
    from pipeline.stages.verify.faces import faces_of

    columns = ["image_id", "cell", "origin", "split", "identity_id", "landmarks"]
    table = read_table(folder / "run" / "verify" / "faces.parquet").select(columns)

    def work() -> None:
        faces = faces_of(table)
        partners = Partners(faces)
        for face in faces:
            partners.draw(face, rng_of(0, "forge", face.image_id))

    return work


STEPS: dict[str, Callable[[Path, int], Work]] = {
    "pair: choose": choosing,
    "pair: manifest": writing,
    "read manifest": reading,
    "audit: tables": auditing,
    "audit: near copies": near,
    "splits": splitting,
    "evaluate: measuring": measuring,
    "fairness": reporting,
    "release: tables": releasing,
    "identities: settle": settling,
    "forge: second faces": partnering,
}


def drawn_pictures(folder: Path, rows: int) -> None:
    """Write a manifest with pictures, in files and in shards; not measured."""
    from benchmarks.scale_data import pictures
    from manifests.store import write_manifest

    write_manifest(pictures(rows, folder), folder / "manifest.parquet")


def picture_audit(folder: Path, rows: int) -> Work:
    """The audits that open pictures."""
    from manifests.audit import AUDITS, audit_manifest

    AUDITS.names()
    return lambda: audit_manifest(folder, ["shortcut", "duplicates"])


def picture_release(folder: Path, rows: int) -> Work:
    """A whole release: pictures, papers, checksums."""
    from manifests.release import build_release

    info = release_info()
    return lambda: build_release(folder, folder / "release", info)


def picture_shards(folder: Path, rows: int) -> Work:
    """Export as WebDataset shards."""
    from manifests.exporters import EXPORTERS

    return lambda: EXPORTERS.create("webdataset").export(folder, folder / "shards")


def picture_import(folder: Path, rows: int) -> Work:
    """Import of these shards (made by the step before)."""
    from manifests.adapters import import_images

    return lambda: import_images("webdataset", folder / "shards", folder / "imported")


PICTURE_STEPS: dict[str, Callable[[Path, int], Work]] = {
    "audit with pictures": picture_audit,
    "release with pictures": picture_release,
    "export to shards": picture_shards,
    "import of shards": picture_import,
}


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


def quickest(step: str, folder: Path, rows: int) -> dict[str, float]:
    """`apart`; of a short step the quickest of several times, and the most memory of any."""
    found = [apart(step, folder, rows)]
    while found[0]["seconds"] < SHORT and len(found) < REPEATS:
        found.append(apart(step, folder, rows))
    return {
        **min(found, key=lambda one: one["seconds"]),
        "peak_mib": max(one["peak_mib"] for one in found),
    }


def figures(
    steps: Iterable[str],
    sizes: list[int],
    folder: Path,
    first: str,
    report: Callable[[str], None],
) -> dict[str, dict[int, dict[str, float]]]:
    """By step and size: seconds and MiB. `first` makes the data of a size."""
    out: dict[str, dict[int, dict[str, float]]] = {step: {} for step in steps}
    for rows in sizes:
        place = folder / f"{first}-{rows}"
        place.mkdir()
        apart(first, place, rows)
        for step, found in out.items():
            found[rows] = quickest(step, place, rows)
            report(
                f"{step}, {rows} rows: {found[rows]['seconds']} s"
                f" ({found[rows]['kernel_seconds']} in the kernel), {found[rows]['peak_mib']:.0f} MiB"
            )
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
        parts = [figures(steps, given.rows, folder, "prepare", report)] if steps else []
        if given.pictures and opening:
            parts.append(figures(opening, [given.pictures // 10, given.pictures], folder, "draw", report))
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
