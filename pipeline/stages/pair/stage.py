"""Stage `pair`: the dataset. Equal numbers in each split x cell x origin x label x method; halves of a pair
encoded alike.

A pair is one real face and the fakes made of it: one codec and one quality draw for all of them, one
decode-resize-encode road. With `pair.qualities` each image is there in several qualities, all of them on that
road. Identities are split before forging; a fake's source and driver come from its own split. A generated
face that is a fake itself stands in the pair of a photograph of its cell: not made of it, but encoded like
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow.compute as pc

from manifests.atomic import canonical_json, write_json
from manifests.balance import check_balance
from manifests.errors import GateError, UsageError
from manifests.h264 import LEVELS, video_library
from manifests.schema import origin_counts
from manifests.splits import leaks
from manifests.store import write_manifest
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.shards import Task, read_sorted
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES
from pipeline.stages.pair.encoding import Encoding, encode_pairs
from pipeline.stages.pair.groups import choose, planned


@STAGES.register("pair")
class PairStage(Stage):
    """Chooses a balanced set of groups, encodes them, writes and checks the manifest."""

    name = "pair"
    after = "forge"
    version = 2
    needs = ("sample", "verify", "forge")

    def check(self, run: RunDirectory) -> None:
        folder = self.folder(run)
        if "talk" in read_json(folder / "key.json").get("config", {}):
            raise UsageError(str(folder), "holds clips of `fairforge talk`", "choose another --out")

    def config(self, run: RunDirectory) -> dict[str, Any]:
        config = run.config
        return {
            "pair": config.pair.model_dump(),
            "dataset": config.dataset.model_dump(exclude={"generated_as"}),
            "methods": config.forge.methods,
            "held_out": config.forge.held_out,
            "counterfactual": config.sample.counterfactual,
            "origins": config.origins,
        }

    def tasks(self, context: Context, key: str) -> list[Task]:
        run, config = context.run, context.config
        if set(config.pair.qualities) & set(LEVELS):
            video_library("pair.qualities", " or leave c23 and c40 out")
        groups, short = choose(run)
        encoding = Encoding(
            qualities=config.pair.qualities,
            codec=config.pair.codec,
            quality=config.pair.quality,
            image_size=config.dataset.image_size,
            seed=config.run.seed,
            taxonomy=config.dataset.taxonomy,
            sample_folder=run.folder("sample"),
            forge_folder=run.folder("forge"),
            short=short,
            store=config.pair.store,
        )
        return [
            Task(self.name, number, self.folder(run), key, encode_pairs, replace(encoding, groups=part))
            for number, part in enumerate(groups.shards(config.pair.shard_size))
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        run, config = context.run, context.config
        table, order = read_sorted(self.folder(run), len(tasks), "image_id")
        short = tasks[0].payload.short if tasks else choose(run)[1]
        metadata = dict(table.schema.metadata)
        if config.dataset.only or config.dataset.weights:
            metadata[b"fairforge.plan"] = canonical_json(planned(config.dataset)).encode()
        if short:
            metadata[b"fairforge.shortfall"] = canonical_json(short).encode()
        table = table.replace_schema_metadata(metadata)
        manifest, counts_path = self.folder(run) / "manifest.parquet", self.folder(run) / "counts.json"
        found = leaks(table) + ([] if short else check_balance(table))
        if found:
            raise GateError("the dataset", "; ".join(map(str, found)), "this is a defect: please report it")
        write_manifest(table, manifest, order)
        counts = {"/".join(map(str, key)): n for key, n in origin_counts(table).items()}
        write_json(counts_path, {"rows": counts, "shortfall": short})
        return Outcome(
            [manifest, counts_path],
            {
                "images": table.num_rows,
                "pairs": pc.count_distinct(table["pair_id"], mode="all").as_py(),
                "cells": len(config.dataset.cells),
            },
        )
