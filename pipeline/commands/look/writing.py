"""The files of `fairforge look`: a parquet and a layout for Spotlight, groups and a script for FiftyOne."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import make_folder, write_json, write_text
from manifests.store import write_table
from pipeline.commands.look.rows import place_of, shown_rows

TABLE, LAYOUT, GROUPS, SCRIPT = "images.parquet", "layout.json", "groups.json", "open_in_fiftyone.py"
TYPES = {
    "image": "Image",
    "mask": "Image",
    "real": "Image",
    "embedding": "Embedding",
    "label": "Category",
    "method": "Category",
    "cell": "Category",
    "split": "Category",
    "outcome": "Category",
}
"""How Spotlight reads columns that it cannot tell by themselves."""
FIRST = ("image_id", "label", "method", "cell", "score", "outcome", "pair")
NOTHING = {
    name: "not scored" if name == "outcome" else "unknown"
    for name, kind in TYPES.items()
    if kind == "Category"
}
"""What stands for null among categories, which Spotlight sorts and cannot sort with nulls."""


@dataclass(frozen=True)
class Look:
    """What was written. folder: with the files; root: the manifest's, which paths are relative to; types: of
    the columns.
    """

    folder: Path
    root: Path
    types: Mapping[str, str]
    counts: Mapping[str, int]


def _layout(columns: set[str]) -> dict[str, Any]:
    """Spotlight's windows: the table, a map of the embeddings, the scores, and the images of a row side by
    side.
    """
    widgets: list[dict[str, Any]] = []
    if "embedding" in columns:
        widgets.append(
            {
                "kind": "widget",
                "type": "similaritymap",
                "config": {"placeBy": ["embedding"], "colorBy": "cell"},
            }
        )
    if "score" in columns:
        widgets.append(
            {
                "kind": "widget",
                "type": "histogram",
                "config": {"columnKey": "score", "stackByColumnKey": "label"},
            }
        )
    names = {"image": "image", "real": "real image of its pair", "mask": "what was changed"}
    views = [
        {"view": "ImageView", "columns": [name], "name": title, "key": name}
        for name, title in names.items()
        if name in columns
    ]
    views += [
        {"view": "ScalarView", "columns": [name], "name": name, "key": name}
        for name in ("label", "method", "cell", "score", "outcome", "pair")
        if name in columns
    ]
    table = {
        "kind": "tab",
        "weight": 55,
        "children": [{"kind": "widget", "type": "table", "config": {"tableView": "full"}}],
    }
    left = [table, {"kind": "tab", "weight": 45, "children": widgets}] if widgets else [table]
    inspector = {"kind": "widget", "type": "inspector", "config": {"views": views, "visibleColumns": 4}}
    return {
        "orientation": "horizontal",
        "children": [
            {"kind": "split", "weight": 55, "children": left},
            {"kind": "tab", "weight": 45, "children": [inspector]},
        ],
    }


def _table(rows: list[dict[str, Any]], columns: list[str]) -> pa.Table:
    """The rows as Spotlight reads them: paths begin with ./, so that none can pass for an address to be
    fetched.
    """

    def value(row: dict[str, Any], name: str) -> Any:
        if row[name] is None:
            return NOTHING.get(name)
        return f"./{row[name]}" if TYPES.get(name) == "Image" else row[name]

    return pa.Table.from_pylist([{name: value(row, name) for name in columns} for row in rows])


def _groups(rows: list[dict[str, Any]], root: Path) -> dict[str, Any]:
    """Pairs as FiftyOne's groups: one slice for the real image and one per method."""
    samples = [
        {
            "path": row["image"],
            "group": row["pair"],
            "slice": "real" if row["label"] == "real" else row["method"] or "fake",
            "mask": row["mask"],
            "score": row["score"],
            "embedding": row["embedding"],
            "fields": {
                name: row[name]
                for name in (
                    "image_id",
                    "label",
                    "method",
                    "family",
                    "cell",
                    "race",
                    "gender",
                    "age",
                    "split",
                    "outcome",
                    "origin",
                )
                if row[name] is not None
            },
        }
        for row in rows
    ]
    return {"root": str(root.absolute()), "default_slice": "real", "samples": samples}


def write_look(
    where: Path, out: Path | None = None, scores: Path | None = None, embeddings: Path | None = None
) -> Look:
    """Write what the explorers need; images stay where they are.

    Args:
        where: a run's folder, a manifest, or its folder.
        out: folder for the files; None: `look` in the run's or the manifest's folder.
        scores: CSV or parquet with `image_id` and `score`; None: the run's own, where there are some.
        embeddings: parquet with `image_id` and `embedding`; None: those of the run's real faces.

    Raises:
        MissingError, DataError: a file is not there or cannot be read. UsageError: the folder cannot be
            written.
    """
    place = place_of(where, scores, embeddings)
    shown = shown_rows(place)
    out = out or (where if where.is_dir() else place.folder) / "look"
    empty = {
        name
        for name in ("mask", "real", "score", "outcome", "embedding")
        if all(row[name] is None for row in shown.rows)
    }
    found = dict.fromkeys([*FIRST, *shown.rows[0]]) if shown.rows else {}
    columns = [name for name in found if name not in empty]
    out = make_folder(Path(os.path.abspath(out)))
    write_table(_table(shown.rows, columns), out / TABLE)
    write_json(out / LAYOUT, _layout(set(columns)))
    write_json(out / GROUPS, _groups(shown.rows, place.folder))
    write_text(
        out / SCRIPT,
        package_files("pipeline.commands.look").joinpath("fiftyone_script.py").read_text(encoding="utf-8"),
    )
    types = {name: kind for name, kind in TYPES.items() if name in columns}
    return Look(out, Path(os.path.abspath(place.folder)), types, shown.counts)
