"""`fairforge audit MANIFEST`: the audits of any manifest, outside a run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import write_json
from manifests.audit import AUDITS, audit_manifest
from manifests.clip_columns import clip_rows, image_rows
from manifests.containment import inside
from manifests.contents import compared
from manifests.images import read_bytes
from manifests.store import manifest_file, read_manifest
from manifests.watching import watch_by, watched
from pipeline.engine.config import Config
from pipeline.engine.progress import Reporter

OF_CLIPS = "clip-shortcut"


def _not_judged(figures: dict[str, Any]) -> list[str]:
    """The questions over all rows that an audit could not answer, by their reason."""
    reasons: dict[str, list[str]] = {}
    for question, figure in figures.get("questions", {}).items():
        if figure["auc"] is None and question.startswith("real or fake ("):
            reasons.setdefault(figure["reason"], []).append(question)
    return [f"{', '.join(questions)}: {reason}" for reason, questions in reasons.items()]


def _compare(manifest: Path, table: pa.Table, names: Collection[str], config: Config) -> None:
    """Compare the images with the digests of their rows, where an audit looks at images; in a run the runner
    does.

    Raises:
        DataError: an image is another than its row describes. MissingError: it is not there.
    """
    if any(AUDITS.get(name).facts.get("media", "image") == "image" for name in names):
        folder = manifest_file(manifest).parent
        for row in watched(image_rows(table).select(["path", "sha256"]).to_pylist(), "digests", "images"):
            read_bytes(inside(folder, row["path"]), compared(row["sha256"], config.execute.compares("whole")))


def audit_file(
    manifest: Path, out: Path | None, config: Config, *, quiet: bool = False
) -> tuple[dict[str, Any], str, bool]:
    """The report as values and as text, and whether all audits passed.

    The audits of `[audit]`; where the manifest holds clips also `clip-shortcut`, and where it holds clips
    alone none of pictures. `balance` is skipped where no row has a cell.

    Args:
        manifest: its file or folder. out: folder for `audit.json`, None for none. config: with `[audit]` and
            the seed.
        quiet: no progress.

    Raises:
        UsageError: an unknown audit or parameter. MissingError, DataError: the manifest or a file cannot be
            read, or an image is another than its row describes.
    """
    table = read_manifest(manifest)
    names = list(config.audit.audits)
    if clip_rows(table).num_rows:
        names = list(dict.fromkeys([*names, OF_CLIPS]))
        if not image_rows(table).num_rows:
            names = [name for name in names if name not in ("shortcut", "duplicates")]
    skipped = {}
    if table["cell"].null_count == table.num_rows and "balance" in names:
        names.remove("balance")
        skipped["balance"] = "no row has a cell"
    with watch_by(Reporter(quiet=quiet).watch("audit")):
        _compare(manifest, table, names, config)
        report = audit_manifest(manifest, names, config.audit.params, config.run.seed)
    report["skipped"] = skipped
    if out is not None:
        write_json(out / "audit.json", report)
    lines = []
    for name, one in report["audits"].items():
        lines.append(f"{'passed' if one['passed'] else 'FAILED':<7} {name}")
        lines += [f"        {finding}" for finding in one["findings"]]
        lines += [f"        not judged: {text}" for text in _not_judged(one["figures"])]
    lines += [f"skipped {name}: {reason}" for name, reason in skipped.items()]
    return report, "\n".join(lines), bool(report["passed"])
