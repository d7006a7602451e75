"""`fairforge export FORMAT MANIFEST --out D`: a manifest in another layout; killed, the same command goes
on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.atomic import TEMPORARY, digest_file, digest_value, drop_temporaries, write_json
from manifests.errors import UsageError
from manifests.exporters import EXPORTERS
from manifests.locks import writing_alone
from manifests.store import manifest_file, read_manifest
from pipeline.engine.config_file import parse_set
from pipeline.engine.run_directory import read_json

MARK = ".export.json"
"""Says, while an export works, which one it is."""


def export_manifest(name: str, manifest: Path, out: Path, sets: list[str]) -> tuple[dict[str, Any], str]:
    """Write a manifest in the layout of a registered exporter; `sets` are its parameters, key=value.

    Raises:
        UsageError: unknown format or parameter, or `out` holds something else than the beginning of this very
            export.
        UserError: as reading the manifest, or as the exporter.
    """
    exporter = EXPORTERS.create(name, {".".join(path): value for path, value in map(parse_set, sets)})
    read_manifest(manifest)  # what is wrong with it is said before `out` is touched
    key = {"export": digest_value([name, sorted(sets), digest_file(manifest_file(manifest))])}
    if (
        out.exists()
        and (not out.is_dir() or any(not TEMPORARY.fullmatch(path.name) for path in out.iterdir()))
        and read_json(out / MARK) != key
    ):
        other = (
            "holds an unfinished export of another manifest, format or parameters"
            if (out / MARK).is_file()
            else "is there and is not empty"
        )
        raise UsageError(str(out), other, "choose another --out, or empty this folder")
    with writing_alone(out):
        drop_temporaries(out)
        write_json(out / MARK, key)
        made = exporter.export(manifest, out)
        (out / MARK).unlink()
    files = sum(path.is_file() for path in out.rglob("*"))
    return {"path": str(made), "format": name, "files": files}, f"{made} ({files} files)"
