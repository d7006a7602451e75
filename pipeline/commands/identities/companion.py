"""`fairforge identities MANIFEST`: identity embeddings of a manifest's images, in a parquet file beside it;
who is there twice.

One row per image, failed ones too. `near_*` is the nearest real face of another identity that comes before it
by image_id, for the first real image of each identity; `index_*` the nearest face of an index made by
`fairforge identity-index`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.containment import inside
from manifests.contents import compared
from manifests.errors import UsageError, UserError
from manifests.escaping import one_line
from manifests.images import read_image
from manifests.store import manifest_file, read_images, write_table
from pipeline.commands.identities.index import embed_face
from pipeline.engine import models
from pipeline.engine.executors import one_thread
from pipeline.engine.progress import Reporter

FILE = "identities.parquet"
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("identity_id", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("embedding", pa.list_(pa.float32())),
        ("near_id", pa.string()),
        ("near_distance", pa.float32()),
        ("index_id", pa.string()),
        ("index_distance", pa.float32()),
    ]
)
Row = dict[str, Any]


def _embedded(folder: Path, row: Row, identity_model: str, device: str) -> Row:
    out = {
        "image_id": row["image_id"],
        "identity_id": row["identity_id"],
        "status": "failed",
        "_real": row["label"] == 0,
    }
    try:
        image = read_image(inside(folder, row["path"]), compared(row["sha256"], "whole"))
    except UserError as error:
        return {**out, "reason": f"unreadable: {error.why}"}
    try:
        found = embed_face(image, identity_model, device)
    except UserError as error:
        return {**out, "reason": f"not_aligned: {error.why}"}
    return {**out, "reason": "no_face"} if found is None else {**out, "status": "ok", "embedding": found}


def _compare(rows: list[Row], dim: int, index: Any) -> None:
    """Fill `near_*` and `index_*` in place."""
    from attribute_models.identity.index import IdentityIndex

    seen: set[str] = set()
    earlier = IdentityIndex(dim)
    for row in (row for row in rows if row["status"] == "ok"):
        if index is not None:
            row["index_distance"], row["index_id"] = index.nearest(row["embedding"])
        identity = row["identity_id"] or row["image_id"]
        if not row["_real"] or identity in seen:
            continue
        if len(earlier):
            row["near_distance"], row["near_id"] = earlier.nearest(row["embedding"])
        seen.add(identity)
        earlier.add(row["embedding"], row["image_id"])


def write_identities(
    manifest: Path,
    out: Path | None,
    *,
    identity_model: str,
    device: str,
    index_file: Path | None,
    duplicate_distance: float,
    reporter: Reporter,
) -> tuple[dict[str, Any], str]:
    """Embed every image of a manifest.

    Args:
        out: default `identities.parquet` beside the manifest. duplicate_distance: two identities nearer than
            this are listed.

    Raises:
        UsageError: the index is of another identity model. UserError: as reading the manifest, the index,
            loading the models.
    """
    one_thread()
    file = manifest_file(manifest)
    table = (
        read_images(file).select(["image_id", "path", "sha256", "label", "identity_id"]).sort_by("image_id")
    )
    model = models.identity_model(identity_model, device)
    index = None
    if index_file is not None:
        from attribute_models.identity.index import IdentityIndex

        index = IdentityIndex.load(index_file)
        if index.model_sha256 != model.weight.sha256:
            made = index.model or "an unknown model"
            raise UsageError(
                f"--index {index_file}", f"was made with {made}, not with {identity_model}", "make it again"
            )
    rows = []
    for row in reporter.track(table.to_pylist(), total=table.num_rows, label="identities", unit="images"):
        rows.append(_embedded(file.parent, row, identity_model, device))
    _compare(rows, model.dim, index)
    target = out or file.parent / FILE
    schema = SCHEMA.with_metadata(
        {"fairforge.identity_model": identity_model, "fairforge.identity_sha256": model.weight.sha256}
    )
    write_table(
        pa.Table.from_pylist([{k: v for k, v in row.items() if k != "_real"} for row in rows], schema=schema),
        target,
    )
    return _summary(rows, target, duplicate_distance)


def _summary(rows: list[Row], out: Path, limit: float) -> tuple[dict[str, Any], str]:
    good = [row for row in rows if row["status"] == "ok"]
    near = [row for row in good if row.get("near_distance") is not None]
    known = [float(row["index_distance"]) for row in good if row.get("index_distance") is not None]
    twice = sorted(
        (float(r["near_distance"]), r["image_id"], r["near_id"]) for r in near if r["near_distance"] < limit
    )
    value = {
        "out": str(out),
        "images": len(rows),
        "embedded": len(good),
        "failed": dict(
            sorted(Counter(r["reason"].split(":")[0] for r in rows if r["status"] != "ok").items())
        ),
        "duplicates": [{"image_id": a, "like": b, "distance": round(d, 4)} for d, a, b in twice],
        "nearest_median": round(float(np.median([r["near_distance"] for r in near])), 4) if near else None,
        "index_nearest": round(min(known), 4) if known else None,
    }
    lines = [
        f"{out}: {len(good)} of {len(rows)} images embedded; {len(twice)} identities nearer than {limit:g} to"
        " another"
    ]
    lines += [one_line(f"  {a} is like {b}: {d:.3f}") for d, a, b in twice[:10]]
    if known:
        lines.append(f"nearest to the index: {min(known):.3f}")
    return value, "\n".join(lines)
