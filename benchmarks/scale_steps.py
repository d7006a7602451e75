"""The steps that `benchmarks.scale` measures: what makes their data, and what each does, as a function of a
folder and a number of rows that gives the work to be timed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def _fresh(out: Path) -> Path:
    """A place without what an earlier round wrote there, which would be less work."""
    shutil.rmtree(out, ignore_errors=True)
    return out


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

    out = _fresh(folder / "release")

    def work() -> None:
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
    out = _fresh(folder / "release")
    return lambda: build_release(folder, out, info)


def picture_shards(folder: Path, rows: int) -> Work:
    """Export as WebDataset shards."""
    from manifests.exporters import EXPORTERS

    out = _fresh(folder / "shards")
    return lambda: EXPORTERS.create("webdataset").export(folder, out)


def picture_import(folder: Path, rows: int) -> Work:
    """Import of these shards (made by the step before)."""
    from manifests.adapters import import_images

    out = _fresh(folder / "imported")
    return lambda: import_images("webdataset", folder / "shards", out)


PICTURE_STEPS: dict[str, Callable[[Path, int], Work]] = {
    "audit with pictures": picture_audit,
    "release with pictures": picture_release,
    "export to shards": picture_shards,
    "import of shards": picture_import,
}
