"""Stage `pair`: the dataset. Equal numbers in each split x cell x origin x label x method; halves of a pair
encoded alike.

A pair is one real face and the fakes made of it: one codec and one quality draw for all of them, one
decode-resize-encode road. With `pair.qualities` each image is there in several qualities, all of them on that
road. Identities are split before forging; a fake's source and driver come from its own split. A generated
face that is a fake itself stands in the pair of a photograph of its cell: not made of it, but encoded like
it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from sys import intern
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.atomic import canonical_json, digest_bytes, write_bytes, write_json
from manifests.balance import check_balance
from manifests.columns import PIECE, rows_of, vectors
from manifests.containment import inside
from manifests.errors import GateError, UsageError
from manifests.families import family_of
from manifests.h264 import LEVELS, through_h264, video_library
from manifests.images import SUFFIX, Image, encode, read_image, read_mask, resize
from manifests.picture_shards import write_shard
from manifests.records import ImageRecord
from manifests.release.exporting import attributes, slug
from manifests.schema import origin_counts
from manifests.seeding import rng_of
from manifests.splits import largest_remainder, leaks
from manifests.store import column_names, read_batches, read_columns, table_of, write_manifest
from pipeline.engine.config import DatasetSection
from pipeline.engine.ids import image_path, stable_id
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.shards import Task, read_sorted
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES

Group = dict[str, Any]
Stratum = tuple[str, str, str]
"""Split, cell, origin."""
FAKE_COLUMNS = (
    "image_id",
    "path",
    "mask_path",
    "method",
    "family",
    "target_id",
    "source_id",
    "driver_id",
    "seed",
    "licence",
    "status",
)
OWN_LICENCE = "Apache-2.0"
"""Of the methods that need no weights: it binds nobody who only uses their pictures."""


def complete_groups(run: RunDirectory) -> dict[Stratum, list[Group]]:
    """(split, cell, origin) -> groups {real, fakes} whose every method succeeded, by the real image's id.

    A fake knows its `others`: the faces that gave identity or motion. Where generated faces are fakes
    (`dataset.generated_as`), each group has one of its split and cell under `generated`, and groups without
    one are left out.
    """
    forge, origins = run.config.forge, run.config.origins
    file = run.folder("verify") / "faces.parquet"
    table = read_columns(
        file, [name for name in column_names(file) if name not in ("embedding", "race_probs")]
    )
    table = table.filter(pc.equal(table["status"], "accepted"))
    columns = [name for name in table.column_names if name != "landmarks"]
    faces = [
        {**face, "landmarks": points}
        for face, points in zip(rows_of(table, columns), vectors(table["landmarks"]), strict=True)
    ]
    by_id = {face["image_id"]: face for face in faces}
    fakes: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    parts = read_batches(run.folder("forge") / "fakes.parquet", FAKE_COLUMNS, size=PIECE)
    for row in (row for part in parts for row in part.to_pylist()):
        if row["status"] == "accepted":
            others = [by_id[row[key]] for key in ("source_id", "driver_id") if row[key] in by_id]
            same = {key: intern(row[key]) for key in ("method", "family", "licence") if row[key] is not None}
            fakes[row["target_id"]][row["method"]] = {**row, **same, "others": others}
    groups: dict[Stratum, list[Group]] = defaultdict(list)
    generated: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for face in faces:
        if face["origin"] not in origins:
            generated[face["split"], face["cell"]].append(face)
            continue
        methods = [*forge.methods, *(forge.held_out if face["split"] == "test" else ())]
        made = fakes[face["image_id"]]
        if all(method in made for method in methods):
            groups[face["split"], face["cell"], face["origin"]].append(
                {"real": face, "fakes": [made[m] for m in methods]}
            )
    if run.config.fakes_are_generated:
        return defaultdict(
            list, {place: with_generated(found, generated[place[:2]]) for place, found in groups.items()}
        )
    return whole_sets(groups) if run.config.sample.counterfactual else groups


def with_generated(groups: Sequence[Group], faces: Sequence[dict[str, Any]]) -> list[Group]:
    """As many of the groups as there are generated faces, each with one of them."""
    return [{**group, "generated": face} for group, face in zip(groups, faces, strict=False)]


def whole_sets(groups: dict[Stratum, list[Group]]) -> dict[Stratum, list[Group]]:
    """The groups of counterfactual sets that are whole in every cell, in the same order in each."""
    cells = {cell for _, cell, _ in groups}
    members = Counter(group["real"]["counterfactual_id"] for found in groups.values() for group in found)
    out: dict[Stratum, list[Group]] = defaultdict(list)
    for place, found in groups.items():
        whole = [group for group in found if members[group["real"]["counterfactual_id"]] == len(cells)]
        out[place] = sorted(whole, key=lambda group: str(group["real"]["counterfactual_id"]))
    return out


def choose(run: RunDirectory) -> tuple[list[Group], dict[str, int]]:
    """The groups of the dataset, balanced, and the shortfall per `split cell` (and origin, where there are
    several).

    Raises:
        GateError: a cell is short and `pair.allow_short` is off; all short cells are named.
    """
    dataset, origins = run.config.dataset, run.config.origins
    wanted = planned(dataset)
    groups = complete_groups(run)
    short = {
        f"{split} {cell}" + (f" {origin}" if len(origins) > 1 else ""): (
            count - len(groups[split, cell, origin])
        )
        for split, counts in wanted.items()
        for cell, count in counts.items()
        for origin in origins
        if len(groups[split, cell, origin]) < count
    }
    if short and not run.config.pair.allow_short:
        raise GateError(
            "the dataset would not be balanced",
            "; ".join(f"{name} lacks {n} identities" for name, n in short.items()),
            "raise verify.slack or sample.oversample, loosen the gates of [forge] (forge/gates.json counts"
            " what they refused), lower dataset.per_cell, or record it with --allow-short",
        )
    chosen = []
    for split, counts in wanted.items():
        found = {(cell, origin): groups[split, cell, origin] for cell in counts for origin in origins}
        for (cell, _), mine in found.items():
            # With --allow-short every cell of a split shrinks as its shortest cell does: smaller, still
            # balanced.
            sizes = [len(others) * counts[cell] // counts[c] for (c, _), others in found.items() if others]
            chosen += mine[: min([counts[cell], *sizes])]
    return chosen, short


def planned(dataset: DatasetSection) -> dict[str, dict[str, int]]:
    """Identities wanted per split and cell, of each origin of the real images."""
    by_cell = {cell: largest_remainder(dataset.wanted(cell), dataset.splits) for cell in dataset.cells}
    return {
        split: {cell: by_cell[cell][split] for cell in dataset.cells} for split in by_cell[dataset.cells[0]]
    }


def level_id(image_id: str, level: str, payload: dict[str, Any]) -> str:
    """The id of an image at one quality: its own at the first, which is thus the tuple's id too."""
    levels = payload["qualities"]
    return (
        image_id
        if not levels or level == levels[0]
        else stable_id(payload["seed"], "quality", level, image_id)
    )


def _encoded(image: Image, level: str, drawn: int | None) -> tuple[bytes, str, str, int | None]:
    """The one road out of pixels, real and fake alike: bytes, container, and what `codec` and `quality` say
    of them.
    """
    if level in LEVELS:
        return encode(through_h264(image, LEVELS[level]), "png"), "png", "h264", LEVELS[level]
    codec = "png" if level == "raw" else level
    quality = None if codec == "png" else drawn
    return encode(image, codec, quality), codec, codec, quality


def _put(task: Task, folder: str, name: str, ending: str, data: bytes) -> str:
    """Write a picture, or hold it for the shard that `_write_held` writes; its path in the manifest."""
    held: dict[str, bytes] | None = task.payload.get("held")
    if held is None:
        path = image_path(folder, name, ending)
        write_bytes(task.folder / path, data)
        return path
    path = f"{_shard(task)}/{name}{'.mask' if folder == 'masks' else ''}{ending}"
    held[path] = data
    return path


def _shard(task: Task) -> str:
    return f"shards/{task.index:05d}.tar"


def _write_held(task: Task, table: pa.Table) -> None:
    """Write the shard: by image_id each picture, what is known of it as JSON, and its mask."""
    held: dict[str, bytes] = task.payload["held"]
    members: dict[str, bytes] = {}
    for row in table.to_pylist():
        members[row["path"]] = held[row["path"]]
        members[f"{_shard(task)}/{row['image_id']}.json"] = canonical_json(attributes(row)).encode()
        if row["mask_path"] is not None:
            members[row["mask_path"]] = held[row["mask_path"]]
    write_shard(
        task.folder / _shard(task), ((name.rpartition("/")[2], data) for name, data in members.items())
    )


def _write(task: Task, image_id: str, source: Path, level: str, drawn: int | None) -> dict[str, Any]:
    """Decode, resize, encode, write; real and fake alike. drawn: the pair's quality draw."""
    payload = task.payload
    image = resize(read_image(source), payload["image_size"])
    data, container, codec, quality = _encoded(image, level, drawn)
    name = level_id(image_id, level, payload)
    path = _put(task, "images", name, SUFFIX[container], data)
    return {
        "image_id": name,
        "path": path,
        "sha256": digest_bytes(data),
        "width": image.shape[1],
        "height": image.shape[0],
        "codec": codec,
        "quality": quality,
        "tuple_id": image_id if payload["qualities"] else None,
    }


def _write_mask(task: Task, image_id: str, source: Path) -> str:
    mask = resize(read_mask(source), task.payload["image_size"])
    return _put(task, "masks", image_id, ".png", encode(mask, "png"))


def _write_whole_mask(task: Task, image_id: str) -> str:
    size = task.payload["image_size"]
    return _put(task, "masks", image_id, ".png", encode(np.full((size, size), 255, np.uint8), "png"))


def _quality(task: Task, pair_id: str) -> int:
    low, high = task.payload["quality"]
    return int(rng_of(task.payload["seed"], "quality", pair_id).integers(low, high + 1))


def _real_record(task: Task, real: dict[str, Any], written: dict[str, Any]) -> ImageRecord:
    size = task.payload["image_size"]
    points = real["landmarks"]
    scale = size / real["width"]
    return ImageRecord(
        **written,
        label=0,
        method="none",
        family="none",
        landmarks=[float(p) * scale for p in points],
        landmark_scheme=real["landmark_scheme"],
        target_cell=real["cell"],
        pair_id=real["image_id"],
        **{
            k: real[k]
            for k in (
                "race",
                "gender",
                "age",
                "cell",
                "race_prob",
                "gender_prob",
                "attribute_source",
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
                "origin",
            )
        },
    )


def synthesis_name(generator: str) -> str:
    """The method of a fake that is a generated face: `synthesis-balanced128`, whatever folder the generator
    is in.
    """
    return f"synthesis-{slug(PurePath(generator).stem)}"


def _generated_record(
    task: Task, pair_id: str, face: dict[str, Any], written: dict[str, Any], mask_path: str
) -> ImageRecord:
    """A generated face as a fake: nothing of another image is in it, and all of it is made."""
    record = _real_record(task, face, written)
    return record.model_copy(
        update={
            "label": 1,
            "method": synthesis_name(face["generator"]),
            "family": "synthesis",
            "mask_path": mask_path,
            "pair_id": pair_id,
            "target_cell": None,
        }
    )


def _fake_record(
    real: dict[str, Any], fake: dict[str, Any], written: dict[str, Any], mask_path: str
) -> ImageRecord:
    """A fake inherits what is perceived of its target's cell; age only where the face is still the target's,
    unedited.
    """
    inherited = {
        k: real[k]
        for k in (
            "race",
            "gender",
            "cell",
            "identity_id",
            "split",
            "generator",
            "generator_sha256",
            "psi",
            "dataset",
            "counterfactual_id",
            "origin",
        )
    }
    faces = (real, *fake["others"])
    return ImageRecord(
        **written,
        **inherited,
        label=1,
        method=fake["method"],
        family=fake["family"],
        mask_path=mask_path,
        age=real["age"] if family_of(fake["family"]).age_kept else None,
        attribute_source="inherited",
        target_id=fake["target_id"],
        source_id=fake["source_id"],
        driver_id=fake["driver_id"],
        target_cell=real["cell"],
        source_cell=real["cell"] if fake["source_id"] else None,
        pair_id=real["image_id"],
        seed=fake["seed"],
        consent=_all_of(face["consent"] for face in faces),
        licence=_all_of(
            [
                *(face["licence"] for face in faces),
                None if fake["licence"] == OWN_LICENCE else fake["licence"],
            ]
        ),
    )


def _all_of(terms: Iterable[str | None]) -> str | None:
    """The terms of a fake: those of every face that is in it and, where an engine brought its own, those
    too.
    """
    return "; ".join(dict.fromkeys(term for term in terms if term)) or None


def encode_pairs(task: Task) -> pa.Table:
    """One shard of groups, encoded; rows in the manifest's schema."""
    if task.payload["store"] == "shards":
        task = replace(task, payload={**task.payload, "held": {}})
    records = []
    for group in task.payload["groups"]:
        real = group["real"]
        quality = _quality(task, real["image_id"])
        samples, folder = Path(task.payload["sample_folder"]), Path(task.payload["forge_folder"])
        source = inside(samples, real["sample_path"])
        real = {**real, "width": read_image(source).shape[1]}
        masks = {
            fake["image_id"]: _write_mask(task, fake["image_id"], inside(folder, fake["mask_path"]))
            for fake in group["fakes"]
        }
        generated = group.get("generated")
        if generated is not None:
            face = inside(samples, generated["sample_path"])
            generated = {**generated, "width": read_image(face).shape[1]}
            whole = _write_whole_mask(task, generated["image_id"])
        for level in task.payload["qualities"] or (task.payload["codec"],):
            records.append(_real_record(task, real, _write(task, real["image_id"], source, level, quality)))
            for fake in group["fakes"]:
                written = _write(task, fake["image_id"], inside(folder, fake["path"]), level, quality)
                at_level = {
                    key: None if fake[key] is None else level_id(fake[key], level, task.payload)
                    for key in ("target_id", "source_id", "driver_id")
                }
                records.append(_fake_record(real, {**fake, **at_level}, written, masks[fake["image_id"]]))
            if generated is not None:
                written = _write(task, generated["image_id"], face, level, quality)
                records.append(_generated_record(task, real["image_id"], generated, written, whole))
    table = table_of(records, taxonomy=task.payload["taxonomy"])
    if task.payload["store"] == "shards":
        _write_held(task, table)
    return table


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
        payload = {
            "qualities": list(config.pair.qualities),
            "codec": config.pair.codec,
            "quality": config.pair.quality,
            "image_size": config.dataset.image_size,
            "seed": config.run.seed,
            "taxonomy": config.dataset.taxonomy,
            "sample_folder": str(run.folder("sample")),
            "forge_folder": str(run.folder("forge")),
            "short": short,
            "store": config.pair.store,
        }
        size = config.pair.shard_size
        return [
            Task(
                self.name,
                number,
                self.folder(run),
                key,
                encode_pairs,
                {**payload, "groups": groups[at : at + size]},
            )
            for number, at in enumerate(range(0, len(groups), size))
        ]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        run, config = context.run, context.config
        table = read_sorted(self.folder(run), len(tasks), "image_id")
        short = tasks[0].payload["short"] if tasks else choose(run)[1]
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
        write_manifest(table, manifest)
        counts = {"/".join(map(str, key)): n for key, n in origin_counts(table).items()}
        write_json(counts_path, {"rows": counts, "shortfall": short})
        return Outcome(
            [manifest, counts_path],
            {
                "images": table.num_rows,
                "pairs": len({*table.column("pair_id").to_pylist()}),
                "cells": len(config.dataset.cells),
            },
        )
