"""What an explorer shows of an image: its row, its pair, its mask, its score and whether that is an error,
its embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from manifests.containment import inside
from manifests.errors import DataError, MissingError, UsageError
from manifests.picture_shards import shard_name
from manifests.schema import column_or_nulls, first_levels
from manifests.store import manifest_file, read_images, read_table
from manifests.text_files import read_json
from pipeline.stages.evaluate.score_files import read_rows

SHOWN = (
    "image_id",
    "method",
    "family",
    "cell",
    "race",
    "gender",
    "age",
    "split",
    "identity_id",
    "codec",
    "quality",
    "width",
    "height",
    "origin",
    "dataset",
    "licence",
)
"""Columns of the manifest that are shown as they are."""
OUTCOMES = {
    (0, False): "real, called real",
    (0, True): "real, called fake",
    (1, False): "fake, missed",
    (1, True): "fake, called fake",
}


@dataclass(frozen=True)
class Place:
    """What is looked at. folder: of the manifest, which paths are relative to; scores, embeddings: files,
    where there are.
    """

    manifest: Path
    folder: Path
    scores: Path | None = None
    embeddings: Path | None = None
    threshold: float = 0.5
    datasets: tuple[str, ...] = ()
    """Names in the score file whose rows are of this manifest; empty: all."""


@dataclass(frozen=True)
class Shown:
    """Rows ready to be written, and how many have a score, a mask, an embedding."""

    rows: list[dict[str, Any]]
    counts: Mapping[str, int] = field(default_factory=dict)


def _threshold(results: Path) -> float:
    value = (read_json(results).get("threshold") or {}).get("value") if results.is_file() else None
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else 0.5


def place_of(where: Path, scores: Path | None, embeddings: Path | None) -> Place:
    """The manifest of a run, of a folder, or a file; with a run's own scores and embeddings where none are
    named.

    Raises:
        MissingError: there is no manifest, or a named file is not there. DataError: the run's results cannot
            be read.
    """
    for name, path in (("scores", scores), ("embeddings", embeddings)):
        if path is not None and not path.is_file():
            raise MissingError(str(path), "is not there", f"give the file with the {name}")
    if not (where / "config.toml").is_file():
        manifest = manifest_file(where)
        return Place(manifest, manifest.parent, scores, embeddings)
    manifest = where / "dataset" / "manifest.parquet"
    if not manifest.is_file():
        raise MissingError(str(where), "has no dataset yet", f"fairforge run --out {where} --to pair")
    own, faces = where / "evaluate" / "scores.parquet", where / "verify" / "faces.parquet"
    return Place(
        manifest,
        manifest.parent,
        scores or (own if own.is_file() else None),
        embeddings or (faces if faces.is_file() else None),
        _threshold(where / "evaluate" / "results.json"),
        () if scores else ("test", "test-heldout"),
    )


def _scores(place: Place) -> dict[str, float]:
    if place.scores is None:
        return {}
    found: dict[str, float] = {}
    for row in read_rows(place.scores, ["image_id", "score"], ["dataset"]):
        if place.datasets and row.get("dataset") not in place.datasets:
            continue
        try:
            score = float(row["score"])
        except (TypeError, ValueError) as error:
            raise DataError(
                str(place.scores), f"has the score {row['score']!r:.60}", "give numbers"
            ) from error
        if np.isfinite(score):
            found[str(row["image_id"])] = score
    return found


def _embeddings(place: Place, wanted: set[str]) -> dict[str, list[float]]:
    if place.embeddings is None:
        return {}
    table = read_table(place.embeddings, ["image_id", "embedding"])
    found = {}
    for row in table.select(["image_id", "embedding"]).to_pylist():
        value = row["embedding"]
        if (
            value
            and str(row["image_id"]) in wanted
            and all(isinstance(one, int | float) and np.isfinite(one) for one in value)
        ):
            found[str(row["image_id"])] = [float(one) for one in value]
    sizes = {len(value) for value in found.values()}
    if len(sizes) > 1:
        raise DataError(
            str(place.embeddings),
            f"has embeddings of {min(sizes)} to {max(sizes)} numbers",
            "write them alike",
        )
    return found


def shown_rows(place: Place) -> Shown:
    """One row per image of the manifest, sorted by pair, the real one first.

    Keys: those of `SHOWN`; `image`, `mask`, `real`: paths relative to the manifest's folder (`real`: the real
    image of the pair); `pair`; `label` (real or fake); `score`, `outcome`, `embedding`: None where there is
    none.

    Raises:
        MissingError, DataError: a file cannot be read, or a path leads out of the manifest's folder.
    """
    table = first_levels(read_images(place.manifest))
    columns = {
        name: column_or_nulls(table, name) for name in (*SHOWN, "path", "mask_path", "label", "pair_id")
    }
    ids: Sequence[str] = [str(one) for one in columns["image_id"]]
    for name in (*columns["path"], *columns["mask_path"]):
        if name is not None:
            inside(place.folder, name)
        if name is not None and shard_name(name) != name:
            raise UsageError(
                str(place.manifest),
                f"has its pictures in shards ({shard_name(name)}), and viewers open files",
                'look at its release (`fairforge release`), or make it with pair.store = "files"',
            )
    scores, vectors = _scores(place), _embeddings(place, set(ids))
    real = {
        pair: path
        for pair, path, label in zip(columns["pair_id"], columns["path"], columns["label"], strict=True)
        if label == 0 and pair is not None
    }
    rows = []
    for k, image_id in enumerate(ids):
        label, score, pair = columns["label"][k], scores.get(image_id), columns["pair_id"][k]
        rows.append(
            {
                **{name: columns[name][k] for name in SHOWN},
                "image": columns["path"][k],
                "mask": columns["mask_path"][k],
                "real": real.get(pair) if label == 1 else None,
                "pair": pair or image_id,
                "label": "fake" if label else "real",
                "score": score,
                "outcome": None if score is None else OUTCOMES[int(bool(label)), score >= place.threshold],
                "embedding": vectors.get(image_id),
            }
        )
    rows.sort(key=lambda row: (row["pair"], row["label"] == "fake", row["method"] or "", row["image_id"]))
    counts = {"images": len(rows), "pairs": len({row["pair"] for row in rows})}
    counts |= {
        f"with {name}": sum(row[name] is not None for row in rows) for name in ("mask", "score", "embedding")
    }
    return Shown(rows, counts)
