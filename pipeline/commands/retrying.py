"""`fairforge retry`: the shards that failed are done again, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manifests.containment import inside
from manifests.errors import DataError, PartialError, UsageError
from manifests.escaping import one_line
from pipeline.commands.inspection import open_run
from pipeline.commands.talking import AGAIN, CLIPS
from pipeline.engine.attempts import failed
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.runner import Flags, run_stages
from pipeline.engine.stage import Stage, changed_parts, finished_marker
from pipeline.engine.stages import stages_of

SHOWN = 12
"""Lines of a failed shard's traceback that are shown."""

Failed = list[tuple[Stage, list[dict[str, Any]]]]
"""Stages with shards that failed, in order, each with the records of these."""


def failed_stages(run: RunDirectory) -> Failed:
    """The stages of a run that have failed shards.

    Raises:
        MissingError: there is no run. UsageError: a stage was begun with another configuration than this one,
            or what failed are clips.
    """
    open_run(run.root)
    found: Failed = []
    for stage in stages_of(run.config):
        folder = stage.folder(run)
        records = [] if finished_marker(run, stage.name) else failed(folder)
        if not records:
            continue
        if CLIPS in read_json(folder / "key.json").get("config", {}):
            if found:
                continue  # its faces come first
            raise UsageError(
                str(run.root),
                f"{len(records)} clips of `fairforge talk` failed (the first: {records[0].get('error')}), and"
                " retry does shards of stages of `fairforge run`, whose configuration has all that they need",
                f"give {AGAIN}: it makes the clips that failed and those that are missing, and no other",
            )
        changed = changed_parts(read_json(folder / "key.json"), stage.parts(run))
        if changed:
            raise UsageError(
                f"stage {stage.name}",
                f"was begun with something else, and has to be made again ({'; '.join(changed[:4])})",
                f"fairforge run --out {run.root}",
            )
        found.append((stage, records))
    return found


def _text(run: RunDirectory, found: Failed) -> str:
    """Failed shards with the end of their tracebacks, and where their logs are."""
    lines = []
    for stage, records in found:
        folder = stage.folder(run)
        for one in records:
            lines.append(one_line(f"{stage.name}, shard {one['shard']}: {one.get('error')}"))
            trace = one.get("traceback")
            kept = trace.rstrip().split("\n")[-SHOWN:] if isinstance(trace, str) and trace else []
            lines += [one_line(f"  {line}") for line in kept]
            try:
                lines.append(one_line(f"  log: {inside(folder, str(one.get('log', '')))}"))
            except DataError:
                continue
    return "\n".join(lines) or f"no shard of {run.root} failed"


def failures_of(run: RunDirectory) -> tuple[list[dict[str, Any]], str]:
    """The shards that failed, as values and as text with their logs; errors as `failed_stages`."""
    found = failed_stages(run)
    kept = ("shard", "error", "log")
    values = [
        {"stage": stage.name, **{key: one.get(key) for key in kept}}
        for stage, records in found
        for one in records
    ]
    return values, _text(run, found)


def retry_failed(
    run: RunDirectory, reporter: Reporter, argv: Sequence[str]
) -> tuple[list[dict[str, Any]], str]:
    """Show the logs of failed shards, do these again, and finish the stages that have all of theirs then.

    Returns:
        The shards that had failed, as values, and what is next as text.

    Raises:
        UsageError: as `failed_stages`. PartialError: some failed again, or other shards are left to do.
    """
    found = failed_stages(run)
    values, text = failures_of(run)
    if not found:
        return values, text
    for line in text.split("\n"):
        reporter.line(line)
    left: PartialError | None = None
    for stage, _ in found:
        try:
            run_stages(run, [stage], flags=Flags(failed=True), reporter=reporter, argv=list(argv))
        except PartialError as error:
            left = left or error
    if left is not None:
        raise left
    stages = ", ".join(stage.name for stage, _ in found)
    return values, f"done again: {len(values)} shards of {stages}; next: fairforge run --out {run.root}"
