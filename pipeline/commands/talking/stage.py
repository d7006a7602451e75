"""The stage behind `fairforge talk`: shards of identities, then one balanced manifest of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.atomic import canonical_json, digest_file, write_json
from manifests.balance import check_balance
from manifests.clips.reading import FPS
from manifests.errors import GateError, MissingError, UsageError
from manifests.h264 import video_library
from manifests.schema import metadata_of
from manifests.skipped import write_skipped
from manifests.splits import leaks
from manifests.store import read_table, table_of, write_manifest
from pipeline.commands.talking import AGAIN, RECORDS
from pipeline.commands.talking.planning import plan_clips
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage, finished_marker
from pipeline.stages.pair.groups import planned

VERSION = 2
LEAST_SECONDS, MOST_SECONDS = 1, 60
"""Of a clip."""
FACES = (
    "image_id",
    "sample_path",
    "sha256",
    "landmarks",
    "landmark_scheme",
    "race",
    "gender",
    "age",
    "race_prob",
    "gender_prob",
    "attribute_source",
    "cell",
    "origin",
    "identity_id",
    "split",
    "generator",
    "generator_sha256",
    "seed",
    "psi",
    "licence",
    "consent",
    "dataset",
    "counterfactual_id",
)


@dataclass(frozen=True)
class Talk:
    """What `fairforge talk` makes. methods: of clips, none for all. seconds: length of every clip. size: side
    of a frame, pixels.

    params: of methods, by name. faces: the run whose verified faces speak; None: the run's own.
    """

    methods: tuple[str, ...] = ()
    seconds: float = 3.0
    size: int = 128
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    faces: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what is none.

        Raises:
            UsageError: an unknown method, or a length of less than a second.
        """
        from generators.talking.base import CLIP_FORGERIES

        for method in self.methods:
            CLIP_FORGERIES.get(method)
        for method, params in self.params.items():
            CLIP_FORGERIES.check_params(method, params)
        if not LEAST_SECONDS <= self.seconds <= MOST_SECONDS:
            fix = f"give {LEAST_SECONDS} to {MOST_SECONDS}"
            raise UsageError(f"--seconds {self.seconds}", "is no length of a clip", fix)

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, in order."""
        from generators.talking.base import CLIP_FORGERIES

        return self.methods or tuple(CLIP_FORGERIES.names())

    @property
    def frames(self) -> int:
        return round(self.seconds * FPS)


class TalkStage(Stage):
    """Talking clips of accepted faces, real and fake, balanced by split, cell and method."""

    name = "talk"
    version = VERSION
    again = AGAIN

    def __init__(self, talk: Talk) -> None:
        super().__init__()
        self.talk = talk

    def _source(self, run: RunDirectory) -> RunDirectory:
        """The run whose faces speak."""
        return run if self.talk.faces is None else RunDirectory(self.talk.faces, run.config)

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        return () if self.talk.faces is not None else ("sample", "verify")

    def check(self, run: RunDirectory) -> None:
        from generators.talking.speech import check_espeak

        video_library("talking clips")
        check_espeak()
        started = read_json(self.folder(run) / "key.json")
        if started and "talk" not in started.get("config", {}):
            raise UsageError(str(self.folder(run)), "holds a dataset of pictures", "choose another --out")
        source = self._source(run)
        if self.talk.faces is not None and not finished_marker(source, "verify"):
            raise MissingError(
                str(source.root), "has no verified faces", f"fairforge verify --out {source.root}"
            )

    def config(self, run: RunDirectory) -> dict[str, Any]:
        talk, config = self.talk, run.config
        return {
            "talk": {
                "methods": talk.names,
                "frames": talk.frames,
                "size": talk.size,
                "params": talk.params,
                "espeak": espeak_version(),
            },
            "planned": planned(config.dataset),
            "taxonomy": config.dataset.taxonomy,
        }

    def files(self, run: RunDirectory) -> dict[str, str]:
        if self.talk.faces is None:
            return {}
        file = self._source(run).folder("verify") / "faces.parquet"
        return {"faces": digest_file(file)} if file.is_file() else {}

    def faces(self, run: RunDirectory) -> list[dict[str, Any]]:
        """Accepted faces; `planning.unsuited` says which of them may speak."""
        source = self._source(run)
        rows = (
            read_table(source.folder("verify") / "faces.parquet", needed=[*FACES, "status"])
            .select([*FACES, "status"])
            .to_pylist()
        )
        return [row for row in rows if row["status"] == "accepted" and row["split"] is not None]

    def tasks(self, context: Context, key: str) -> list[Task]:
        run, config, talk = context.run, context.config, self.talk
        planned_ = plan_clips(
            self.faces(run), planned(config.dataset), config.run.seed, config.pair.allow_short
        )
        payload = {
            "methods": list(talk.names),
            "params": talk.params,
            "frames": talk.frames,
            "size": talk.size,
            "seed": config.run.seed,
            "sample_folder": str(self._source(run).folder("sample")),
            "skipped": planned_.skipped,
            "short": planned_.short,
        }
        return [
            Task(self.name, number, self.folder(run), key, _talk_clips, {**payload, "items": [item]})
            for number, item in enumerate(planned_.items)
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        run, config = context.run, context.config
        folder = self.folder(run)
        rows = read_shards(folder, len(tasks)).to_pylist() if tasks else []
        bad = [
            (row["image_id"], f"{row['method']}: {row['reason']}") for row in rows if row["status"] != "ok"
        ]
        if bad and not config.pair.allow_short:
            raise GateError(
                "the clips would not be balanced",
                f"{len(bad)} of {len(rows)} could not be made ({bad[0][0]} {bad[0][1]})",
                "raise verify.slack so that there are more faces to choose from, or pass --allow-short",
            )
        kept = _balanced(rows)
        payload = tasks[0].payload if tasks else {"skipped": [], "short": {}}
        write_skipped(folder / "skipped.csv", [*payload["skipped"], *bad])
        if not kept:
            raise GateError("the clips", "there are none", "give more faces, or fewer cells (dataset.only)")
        from pipeline.commands.talking.clips import record_of

        table = table_of([record_of(row) for row in kept], taxonomy=config.dataset.taxonomy)
        meta = dict(table.schema.metadata)
        if config.dataset.only or config.dataset.weights:
            meta[b"fairforge.plan"] = canonical_json(planned(config.dataset)).encode()
        if payload["short"] or bad:
            meta[b"fairforge.shortfall"] = canonical_json({**payload["short"], **dict(bad)}).encode()
        table = table.replace_schema_metadata(meta)
        found = leaks(table) + ([] if "shortfall" in metadata_of(table) else check_balance(table))
        if found:
            raise GateError("the clips", "; ".join(map(str, found)), "this is a defect: please report it")
        manifest = folder / "manifest.parquet"
        write_manifest(table, manifest)
        told = ("method", "params", "face_id", "other_face_id")
        write_json(folder / RECORDS, {row["image_id"]: {name: row[name] for name in told} for row in kept})
        return Outcome(
            [manifest, folder / RECORDS],
            {"clips": table.num_rows, "skipped": len(payload["skipped"]) + len(bad)},
        )


def _talk_clips(task: Task) -> Any:
    from pipeline.commands.talking.clips import talk_clips

    return talk_clips(task)


def _balanced(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of identities whose every clip was made, as many in every cell of a split."""
    broken = {row["pair_id"] for row in rows if row["status"] != "ok"}
    whole = [row for row in rows if row["pair_id"] not in broken]
    by: dict[tuple[str, str], list[str]] = {}
    for row in whole:
        if row["label"] == 0:
            by.setdefault((row["split"], row["cell"]), []).append(row["pair_id"])
    if not broken:
        return whole
    least: dict[str, int] = {}
    for (split, _), pairs in by.items():
        least[split] = min(least.get(split, len(pairs)), len(pairs))
    kept = {pair for (split, _), pairs in by.items() for pair in sorted(pairs)[: least[split]]}
    return [row for row in whole if row["pair_id"] in kept]


def espeak_version() -> str:
    """What espeak-ng says of itself; empty where it is not there."""
    from generators.talking.speech import espeak_version as version

    return version()
