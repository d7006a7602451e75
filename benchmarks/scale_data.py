"""Plausible tables of any size for `benchmarks.scale`: a manifest, the faces and fakes that it was made of,
scores, embeddings.

Every column is drawn from a seed and has the distribution that a run gives it: one real face and four fakes
a pair, eight cells, splits of .7, .1 and .2, landmarks of real images alone, sources of the same cell and
split. Nothing is a picture; `pictures` draws small JPEGs for what reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.images import encode
from manifests.schema import SCHEMA, SCHEMA_VERSION
from manifests.seeding import rng_of
from manifests.splits import largest_remainder
from manifests.taxonomy import get_taxonomy

METHODS = {"swap-delaunay": "swap", "blend-self": "blend", "blend-xray": "blend", "reenact-warp": "reenact"}
MEMBERS = 1 + len(METHODS)
"""Rows of a pair."""
CELLS = get_taxonomy("fairface4").cells
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
POINTS = 296
"""Numbers of the landmarks of a face: 148 points."""
DIM = 128
SIDE = 128
TWICE = 0.02
"""Share of the embeddings that are another picture of somebody who is there already."""
Floats = npt.NDArray[np.float32]


def per_cell(rows: int) -> int:
    """Pairs of each cell in a manifest of about so many rows; at least 10, so that every split has some."""
    return max(rows // (MEMBERS * len(CELLS)), 10)


def _ids(count: int, *what: str | int) -> npt.NDArray[np.object_]:
    """`count` different ids of 16 hexadecimal digits, as hashes are."""
    drawn = rng_of(0, "scale", *what).integers(0, 2**63, 2 * count, dtype=np.int64)
    found = np.unique(drawn)[:]
    rng_of(1, "scale", *what).shuffle(found)
    return np.array([f"{one:016x}" for one in found[:count].tolist()], object)


def _lists(values: Floats) -> pa.Array:
    """Float32 [N, D] as a column of lists."""
    flat, width = pa.array(values.reshape(-1)), values.shape[1]
    return pa.ListArray.from_arrays(pa.array(np.arange(0, flat.__len__() + 1, width, dtype=np.int32)), flat)


def _sparse_lists(values: Floats, at: npt.NDArray[np.bool_]) -> pa.Array:
    """The same where `at`, null elsewhere; values: float32 [at.sum(), D]."""
    place = np.where(at, np.cumsum(at) - 1, 0)
    return _lists(values).take(pa.array(place, mask=~at))


def table_of_columns(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """A table of this schema; what `columns` lacks is null."""
    size = len(next(iter(columns.values())))
    arrays = [
        pa.array(columns[f.name], f.type)
        if f.name in columns and not isinstance(columns[f.name], pa.Array)
        else columns[f.name].cast(f.type)
        if f.name in columns
        else pa.nulls(size, f.type)
        for f in schema
    ]
    return pa.table(arrays, schema=schema)


class People:
    """The real faces of a drawn run: cell, split, ids and the order of a pair's members."""

    def __init__(self, rows: int) -> None:
        count = per_cell(rows)
        self.count = count * len(CELLS)
        self.cell = np.repeat(np.arange(len(CELLS)), count)
        shares = largest_remainder(count, SHARES)
        self.split = np.tile(np.repeat(np.array(list(shares), object), list(shares.values())), len(CELLS))
        self.ids = _ids(self.count * MEMBERS, "ids").reshape(self.count, MEMBERS)
        stratum = self.cell * 3 + np.array([list(SHARES).index(s) for s in self.split.tolist()])
        ordered = np.argsort(stratum, kind="stable")
        sizes = np.bincount(stratum)
        starts = np.r_[0, np.cumsum(sizes)[:-1]]
        within = np.arange(self.count) - starts[stratum[ordered]]
        self.source = np.empty(self.count, np.int64)
        self.source[ordered] = ordered[starts[stratum[ordered]] + (within + 1) % sizes[stratum[ordered]]]
        self.quality = rng_of(0, "scale", "quality").integers(60, 96, self.count)

    def names(self) -> tuple[list[str], list[str], list[str]]:
        """Cell, race and gender of each."""
        cells = [CELLS[c] for c in self.cell.tolist()]
        race, gender = zip(*(cell.split("/") for cell in cells), strict=True)
        return cells, list(race), list(gender)

    def landmarks(self) -> Floats:
        """Float32 [count, POINTS], pixels."""
        return rng_of(0, "scale", "landmarks").uniform(20, 108, (self.count, POINTS)).astype(np.float32)


def manifest(rows: int) -> pa.Table:
    """A balanced manifest of about `rows` rows, sorted by image_id; no file is behind it."""
    people = People(rows)
    order = np.argsort(people.ids.reshape(-1))
    person, member = order // MEMBERS, order % MEMBERS
    ids = people.ids.reshape(-1)[order]
    real = member == 0
    cells, race, gender = (np.array(names, object)[person] for names in people.names())
    own, source = people.ids[person, 0], people.ids[people.source[person], 0]
    method = np.array(["none", *METHODS], object)[member]
    family = np.array(["none", *METHODS.values()], object)[member]
    spent = np.isin(family, ("swap", "reenact"))
    landmarks = people.landmarks()[person[real]]
    texts = ids.tolist()
    columns = {
        "image_id": texts,
        "path": [f"images/{one[:2]}/{one}.jpg" for one in texts],
        "sha256": [one * 4 for one in texts],
        "width": np.full(len(ids), SIDE, np.int32),
        "height": np.full(len(ids), SIDE, np.int32),
        "label": (~real).astype(np.int8),
        "method": method,
        "family": family,
        "race": race,
        "gender": gender,
        "age": np.array(["20-29", "30-39", "40-49"], object)[person % 3],
        "cell": cells,
        "race_prob": pa.array(np.full(len(ids), 0.9, np.float32), mask=~real),
        "gender_prob": pa.array(np.full(len(ids), 0.97, np.float32), mask=~real),
        "attribute_source": np.where(real, "model:fairforge-small@01234567", "inherited"),
        "target_id": np.where(real, None, own),
        "source_id": np.where(spent & (family == "swap"), source, None),
        "driver_id": np.where(spent & (family == "reenact"), source, None),
        "target_cell": cells,
        "identity_id": [f"person-{one}" for one in person.tolist()],
        "pair_id": own,
        "split": people.split[person],
        "landmarks": _sparse_lists(landmarks, real),
        "landmark_scheme": np.where(real, "mesh148", None),
        "mask_path": [
            None if r else f"masks/{one[:2]}/{one}.png" for one, r in zip(texts, real.tolist(), strict=True)
        ],
        "codec": ["jpeg"] * len(ids),
        "quality": people.quality[person].astype(np.int32),
        "generator": ["balanced128"] * len(ids),
        "generator_sha256": ["ab" * 32] * len(ids),
        "seed": rng_of(0, "scale", "seeds").integers(0, 2**62, len(ids)),
        "psi": np.full(len(ids), 0.7, np.float32),
        "licence": ["CC BY 4.0"] * len(ids),
        "consent": ["synthetic face: no depicted person"] * len(ids),
        "dataset": ["drawn"] * len(ids),
        "origin": ["synthetic"] * len(ids),
        "media": ["image"] * len(ids),
    }
    meta = {b"fairforge.schema_version": str(SCHEMA_VERSION).encode(), b"fairforge.taxonomy": b"fairface4"}
    return table_of_columns(columns, SCHEMA.with_metadata(meta))


def faces(rows: int, schema: pa.Schema) -> pa.Table:
    """Verified faces that such a manifest is made of, sorted by image_id, in the schema of stage `verify`."""
    people = People(rows)
    order = np.argsort(people.ids[:, 0])
    cells, race, gender = (np.array(names, object)[order] for names in people.names())
    ids = people.ids[order, 0].tolist()
    return table_of_columns(
        {
            "image_id": ids,
            "sample_path": [f"images/{one[:2]}/{one}.png" for one in ids],
            "sha256": [one * 4 for one in ids],
            "cell": cells,
            "race": race,
            "gender": gender,
            "age": ["30-39"] * len(ids),
            "seed": order,
            "psi": [0.7] * len(ids),
            "race_prob": [0.9] * len(ids),
            "gender_prob": [0.97] * len(ids),
            "attribute_source": ["model:drawn@01234567"] * len(ids),
            "identity_id": [f"person-{one}" for one in order.tolist()],
            "split": people.split[order],
            "status": ["accepted"] * len(ids),
            "origin": ["synthetic"] * len(ids),
            "licence": ["CC BY 4.0"] * len(ids),
            "dataset": ["drawn"] * len(ids),
            "generator": ["balanced128"] * len(ids),
            "landmarks": _lists(people.landmarks()[order]),
            "landmark_scheme": ["mesh148"] * len(ids),
            "embedding": _lists(embeddings(len(ids))),
            "race_probs": _lists(np.full((len(ids), 4), 0.25, np.float32)),
        },
        schema,
    )


def fakes(rows: int, schema: pa.Schema) -> pa.Table:
    """The fakes of these faces by every method, in the schema of stage `forge`."""
    people = People(rows)
    cells = people.names()[0]
    columns: dict[str, list[Any]] = {}
    for k, (method, family) in enumerate(METHODS.items(), 1):
        ids, own = people.ids[:, k].tolist(), people.ids[:, 0].tolist()
        source = people.ids[people.source, 0].tolist()
        part: dict[str, Sequence[Any]] = {
            "image_id": ids,
            "path": [f"images/{one[:2]}/{one}.png" for one in ids],
            "mask_path": [f"masks/{one[:2]}/{one}.png" for one in ids],
            "sha256": [one * 4 for one in ids],
            "method": [method] * len(ids),
            "family": [family] * len(ids),
            "target_id": own,
            "source_id": source if family == "swap" else [None] * len(ids),
            "driver_id": source if family == "reenact" else [None] * len(ids),
            "cell": cells,
            "split": people.split.tolist(),
            "seed": list(range(len(ids))),
            "params": ["{}"] * len(ids),
            "licence": ["Apache-2.0"] * len(ids),
            "mask_share": [0.3] * len(ids),
            "seam": [1.0] * len(ids),
            "face_found": [True] * len(ids),
            "status": ["accepted"] * len(ids),
            "refused": [[]] * len(ids),
        }
        for name, values in part.items():
            columns.setdefault(name, []).extend(values)
    return table_of_columns(columns, schema)


def scores(rows: int) -> pa.Table:
    """Scores of the rows of such a manifest: fakes score higher, a pair's rows are alike."""
    table = manifest(rows)
    label = table["label"].to_numpy()
    pair = np.unique(np.asarray(table["pair_id"]), return_inverse=True)[1]
    rng = rng_of(0, "scale", "scores", rows)
    logit = rng.normal(1.2 * label - 0.6, 1.0) + rng.normal(0, 0.5, int(pair.max()) + 1)[pair]
    kept = ["image_id", "label", "race", "gender", "cell", "identity_id", "method", "path"]
    return table.select(kept).append_column("score", pa.array(1 / (1 + np.exp(-logit))))


def embeddings(count: int) -> Floats:
    """Float32 [count, DIM] like those of identities: people about 0.6 apart, and `TWICE` of them near one
    before them.

    Directions have falling weights, as the eigenvalues of real embeddings do.
    """
    rng = rng_of(0, "scale", "embeddings", count)
    spread = 0.97 ** np.arange(DIM)
    values = rng.standard_normal((count, DIM), np.float32)
    values *= (0.45 * spread / np.sqrt((spread**2).sum())).astype(np.float32)
    again = np.flatnonzero(rng.random(count) < TWICE)
    again = again[again > 0]
    of = (rng.random(len(again)) * again).astype(np.int64)
    values[again] = values[of] + rng.normal(0, 0.012, (len(again), DIM)).astype(np.float32)
    return values


def pictures(count: int, folder: Path) -> pa.Table:
    """A manifest of about `count` rows whose images are small JPEGs below `folder`, with masks; digests are
    theirs.
    """
    from manifests.atomic import digest_bytes, make_folder

    table = manifest(count)
    real: dict[str, npt.NDArray[np.uint8]] = {}
    digests = []
    mask = encode(np.pad(np.full((16, 16), 255, np.uint8), 8), "png")
    for row in table.select(["path", "mask_path", "pair_id", "image_id", "quality"]).to_pylist():
        rng = rng_of(0, "scale", "picture", row["pair_id"])
        base = real.setdefault(row["pair_id"], rng.integers(0, 256, (4, 4, 3), np.uint8))
        shown = np.kron(base, np.ones((8, 8, 1), np.uint8))
        if row["mask_path"] is not None:
            shown[8:24, 8:24] = 255 - shown[8:24, 8:24]
            make_folder((folder / row["mask_path"]).parent)
            (folder / row["mask_path"]).write_bytes(mask)
        data = encode(shown, "jpeg", row["quality"])
        make_folder((folder / row["path"]).parent)
        (folder / row["path"]).write_bytes(data)
        digests.append(digest_bytes(data))
    at = table.column_names.index
    table = table.set_column(at("sha256"), SCHEMA.field("sha256"), pa.array(digests))
    for name in ("width", "height"):
        table = table.set_column(
            at(name), SCHEMA.field(name), pa.array(np.full(table.num_rows, 32, np.int32))
        )
    return table
