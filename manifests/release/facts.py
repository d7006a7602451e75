"""`release.json`: counts, what is claimed, digests, versions, what was withdrawn, whether it is signed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError

from manifests.atomic import canonical_json
from manifests.balance import check_balance
from manifests.clip_columns import clip_rows, image_rows
from manifests.columns import counted, slices
from manifests.errors import DataError
from manifests.release.info import ReleaseInfo
from manifests.schema import SCHEMA_VERSION, metadata_of, with_later_columns
from manifests.splits import leaks
from manifests.text_files import read_json

NAME = "release.json"
FORMAT = 1
"""Of this file."""
CROISSANT = "1.1"
COUNTED = ("split", "cell", "method", "origin", "licence", "dataset")
"""Columns whose values are counted."""
PACKAGES = ("fairforge", "numpy", "pillow", "pyarrow")


class Withdrawn(BaseModel):
    """An entry of `withdrawn`; see `manifests.release.withdrawal`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    reason: str
    images: list[str]


class Facts(BaseModel):
    """`release.json`.

    counts: `images`, `clips`, `real`, `fake`, `identities`, and per value of `COUNTED`; the rest as
    `facts_of`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: int
    name: str
    version: str
    date: str
    licence: str
    contact: str
    taxonomy: str
    counts: dict[str, int | dict[str, int]]
    claims: dict[str, bool]
    digests: dict[str, str]
    versions: dict[str, str]
    withdrawn: list[Withdrawn]
    signed: dict[str, str] | None


def counts_of(table: pa.Table) -> dict[str, int | dict[str, int]]:
    """Images, clips, real, fake, identities, and the rows per value of each column of `COUNTED` (null:
    `unknown`).
    """
    table = with_later_columns(table)
    labels = counted(table["label"])
    out: dict[str, int | dict[str, int]] = {
        "images": image_rows(table).num_rows,
        "clips": clip_rows(table).num_rows,
        "real": labels.get(0, 0),
        "fake": labels.get(1, 0),
        "identities": pc.count_distinct(table["identity_id"]).as_py(),
    }
    for name in COUNTED:
        found: Counter[str] = Counter()
        for value, count in counted(table[name]).items():
            found[value or "unknown"] += count
        out[name] = dict(sorted(found.items()))
    return out


def claims_of(table: pa.Table) -> dict[str, bool]:
    """Whether the manifest is balanced, and whether its splits share no identity: what a release says, and
    its check recounts.
    """
    return {"balanced": not check_balance(table), "disjoint": not leaks(table)}


def content_digest(table: pa.Table) -> str:
    """sha256 of the ids and digests of all images and clips: it names the content, whatever the release's
    other files say.
    """
    pairs = table.select(["image_id", "sha256"])
    order = pc.sort_indices(pairs, [("image_id", "ascending"), ("sha256", "ascending")])
    digest = hashlib.sha256(b"[")
    for number, part in enumerate(slices(pairs.take(order))):  # as `digest_value` of a list of them all
        text = canonical_json(list(zip(*(part[name].to_pylist() for name in part.column_names), strict=True)))
        digest.update((("," if number else "") + text[1:-1]).encode())
    digest.update(b"]")
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    out = {"schema": str(SCHEMA_VERSION), "croissant": CROISSANT}
    for name in PACKAGES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            out[name] = "not installed"
    return out


def facts_of(
    table: pa.Table,
    info: ReleaseInfo,
    manifest_sha256: str,
    withdrawn: Sequence[Mapping[str, Any]],
    signed: Mapping[str, str] | None,
) -> dict[str, Any]:
    """`release.json` as a dictionary.

    Args:
        table: the manifest of the release.
        info: what the giver says.
        manifest_sha256: of its `manifest.parquet`.
        withdrawn: entries as `withdraw` gives them.
        signed: what is known of the certificate; None for a release that is not signed.
    """
    made = (
        table.select(["generator", "generator_sha256"])
        .drop_null()
        .group_by(["generator", "generator_sha256"])
    )
    generators = {
        row["generator"]: row["generator_sha256"]
        for row in made.aggregate([]).to_pylist()
        if all(row.values())
    }
    return {
        "format": FORMAT,
        "name": info.name,
        "version": info.version,
        "date": info.date,
        "licence": info.licence,
        "contact": info.contact,
        "taxonomy": metadata_of(table).get("taxonomy", ""),
        "counts": counts_of(table),
        "claims": claims_of(table),
        "versions": _versions(),
        "withdrawn": [dict(one) for one in withdrawn],
        "digests": {
            "manifest.parquet": manifest_sha256,
            "content": content_digest(table),
            **{f"generator {name}": sha for name, sha in sorted(generators.items())},
        },
        "signed": dict(signed) if signed else None,
    }


def read_facts(folder: Path) -> dict[str, Any]:
    """What `release.json` says.

    Raises:
        MissingError: it is not there. DataError: not JSON, or of another form; the first fault is named.
    """
    path = folder / NAME
    value = read_json(path, dict)
    try:
        return Facts.model_validate(value).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise DataError(
            str(path), f"is not as it should be: {where}: {first['msg']}", "fetch the release again"
        ) from error
