"""Audits of a manifest: shortcuts, duplicates, leaks, balance. `audit_manifest` runs several of them.

An audit is registered with `media`: `image` (the default) sees the images of a manifest, `video` its clips,
`any` all rows. One that looks at a few columns says so by `columns`: where all that are asked for do, the
others are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from manifests.audit.base import AUDITS, AuditResult
from manifests.clip_columns import clip_rows, image_rows
from manifests.store import manifest_file, read_manifest

__all__ = ["AUDITS", "AuditResult", "audit_manifest"]


def audit_manifest(
    path: Path | str,
    names: Sequence[str],
    params: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Run the named audits on a manifest.

    Returns:
        `{"passed": bool, "audits": {name: {"passed", "findings", "figures"}}}`, JSON-able, the same for the
        same seed.

    Raises:
        UsageError: an unknown audit or parameter. MissingError, DataError: the manifest or an image cannot be
            read.
    """
    built = {name: AUDITS.create(name, (params or {}).get(name)) for name in names}
    facts = [AUDITS.get(name).facts for name in names]
    some = all("columns" in one for one in facts)
    table = read_manifest(path, {*chain.from_iterable(one["columns"] for one in facts)} if some else None)
    folder = manifest_file(path).parent
    seen = {"image": image_rows(table), "video": clip_rows(table), "any": table}
    results = {
        name: audit.run(seen[AUDITS.get(name).facts.get("media", "image")], folder, seed)
        for name, audit in built.items()
    }
    return {
        "passed": all(result.passed for result in results.values()),
        "audits": {
            name: result.model_dump(mode="json", exclude={"name"}) for name, result in results.items()
        },
    }
