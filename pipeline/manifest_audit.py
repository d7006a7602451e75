"""`fairforge audit MANIFEST`: the audits of any manifest, outside a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.atomic import write_json
from manifests.audit import audit_manifest
from manifests.clip_columns import clip_rows, image_rows
from manifests.store import read_manifest
from manifests.watching import watch_by
from pipeline.config import Config
from pipeline.progress import Reporter

OF_CLIPS = "clip-shortcut"


def audit_file(manifest: Path, out: Path | None, config: Config, *, quiet: bool = False) -> tuple[dict[str, Any], str, bool]:
    """The report as values and as text, and whether all audits passed.

    The audits of `[audit]`; where the manifest holds clips also `clip-shortcut`, and where it holds clips alone none of pictures.

    Args:
        manifest: its file or folder. out: folder for `audit.json`, None for none. config: with `[audit]` and the seed.
        quiet: no progress.

    Raises:
        UsageError: an unknown audit or parameter. MissingError, DataError: the manifest or a file cannot be read.
    """
    table = read_manifest(manifest)
    names = list(config.audit.audits)
    if clip_rows(table).num_rows:
        names = list(dict.fromkeys([*names, OF_CLIPS]))
        if not image_rows(table).num_rows:
            names = [name for name in names if name not in ("shortcut", "duplicates")]
    with watch_by(Reporter(quiet=quiet).watch("audit")):
        report = audit_manifest(manifest, names, config.audit.params, config.run.seed)
    if out is not None:
        write_json(out / "audit.json", report)
    lines = []
    for name, one in report["audits"].items():
        lines.append(f"{'passed' if one['passed'] else 'FAILED':<7} {name}")
        lines += [f"        {finding}" for finding in one["findings"]]
    return report, "\n".join(lines), bool(report["passed"])
