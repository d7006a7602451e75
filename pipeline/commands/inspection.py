"""What a run holds: `status` (how far, with which figures) and `inspect` (one image and where it comes
from).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.atomic import write_bytes
from manifests.clip_columns import VIDEO
from manifests.errors import MissingError, UsageError
from manifests.escaping import one_line
from manifests.images import decode, encode
from manifests.schema import metadata_of
from manifests.store import read_images, read_manifest, read_table
from manifests.taxonomy import TAXONOMIES
from manifests.text_files import read_json
from pipeline.commands.talking import RECORDS
from pipeline.engine.config_file import load_config
from pipeline.engine.run_directory import RunDirectory

SHEET_QUALITY = 88
"""JPEG quality of a contact sheet."""


def open_run(out: Path) -> RunDirectory:
    """The run in `out`.

    Raises:
        MissingError: there is none.
    """
    if not (out / "config.toml").is_file():
        raise MissingError(str(out), "holds no run", f"start one: fairforge run --out {out}")
    return RunDirectory(out, load_config(out / "config.toml"))


def _find(rows: list[dict[str, Any]], image_id: str) -> dict[str, Any] | None:
    found = [row for row in rows if str(row["image_id"]).startswith(image_id)]
    if len(found) > 1:
        names = ", ".join(str(row["image_id"]) for row in found[:4])
        raise UsageError(
            f"image {image_id!r}", f"stands for {len(found)} images ({names}, ...)", "give more digits"
        )
    return found[0] if found else None


def _lineage(run: RunDirectory, row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Pair members, the forgery's parameters, the candidate and the verdict on it."""
    out: dict[str, Any] = {
        "pair": [
            {k: other[k] for k in ("image_id", "label", "method", "path")}
            for other in rows
            if other["pair_id"] == row["pair_id"] and other["image_id"] != row["image_id"]
        ],
    }
    fakes = run.folder("forge") / "fakes.parquet"
    if row["label"] == 1 and fakes.is_file():
        made = _find(read_table(fakes).to_pylist(), row["image_id"])
        out["forgery"] = {k: made[k] for k in ("seed", "params", "mask_share", "status")} if made else None
    records = run.folder("talk") / RECORDS
    if row["media"] == VIDEO and records.is_file():
        out["clip"] = read_json(records, dict).get(row["image_id"])
    return out


def _verdict(run: RunDirectory, image_id: str) -> dict[str, Any] | None:
    """What verify said of a candidate; None when no candidate has this id."""
    faces = run.folder("verify") / "faces.parquet"
    if not faces.is_file():
        return None
    table = read_table(faces)
    kept = [c for c in table.column_names if c not in ("embedding", "landmarks", "race_probs")]
    return _find(table.select(kept).to_pylist(), image_id)


def inspect_image(out: Path, image_id: str) -> tuple[dict[str, Any], str]:
    """One image of a run, in the dataset or rejected on the way; as values and as text.

    Raises:
        MissingError: no run, or no such image. UsageError: the beginning fits several images.
    """
    run = open_run(out)
    manifest = run.folder("pair") / "manifest.parquet"
    rows = read_manifest(manifest).drop_columns(["landmarks"]).to_pylist() if manifest.is_file() else []
    row = _find(rows, image_id)
    value: dict[str, Any] = {}
    if row is not None:
        value = {"image": row, **_lineage(run, row, rows)}
    made = value.get("clip") or {}
    verdict = _verdict(run, made.get("face_id") or (row["pair_id"] if row else image_id))
    if verdict is not None:
        value["candidate"] = verdict
    if not value:
        raise MissingError(f"image {image_id!r}", f"is not in {out}", f"see the ids in {manifest}")
    return value, _as_text(value)


def write_contact_sheet(manifest: Path, out: Path, columns: int, seed: int) -> Path:
    """Write a picture of a dataset's cells side by side, real faces above their fakes; returns its path.

    A JPEG where `out` says so, else a PNG.

    Raises:
        MissingError, DataError: the manifest or an image cannot be read.
    """
    from pipeline.report.contact_sheet import sheet_png

    table = read_images(manifest)
    cells = sorted({cell for cell in table.column("cell").to_pylist() if cell})
    taxonomy = TAXONOMIES.get(metadata_of(table).get("taxonomy", ""))
    if taxonomy:
        cells = [cell for cell in taxonomy.cells if cell in cells]
    methods = sorted({method for method in table.column("method").to_pylist() if method != "none"})
    data = sheet_png(manifest, cells, methods, columns, seed)
    write_bytes(
        out, encode(decode(data), "jpeg", SHEET_QUALITY) if out.suffix.lower() in (".jpg", ".jpeg") else data
    )
    return out


def _as_text(value: dict[str, Any]) -> str:
    lines = []
    for section, content in value.items():
        lines.append(f"{section}:")
        for item in content if isinstance(content, list) else [content]:
            shown = {k: v for k, v in (item or {}).items() if v is not None}
            separator = "  " if isinstance(content, list) else "\n  "
            lines.append("  " + separator.join(one_line(f"{k}: {v}") for k, v in shown.items()))
    return "\n".join(lines)
