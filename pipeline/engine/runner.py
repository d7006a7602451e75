"""Runs stages in order: plans them, does what is missing, writes their markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manifests.atomic import digest_value, drop_temporaries, write_text
from manifests.containment import inside
from manifests.contents import Digests
from manifests.errors import DataError, MissingError, PartialError, UsageError
from manifests.registry import nearest
from manifests.watching import watch_by
from pipeline.engine.attempts import attempted, check_failed, drop_attempts, failure_of, note_count
from pipeline.engine.config import Config
from pipeline.engine.executors import Executor, check_place
from pipeline.engine.executors.slurm_chain import followed
from pipeline.engine.markers import named, shard_markers
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import CONFIG, RECORD, RunDirectory, read_json
from pipeline.engine.shards import (
    NOT_THERE,
    Task,
    check_links,
    drop_all,
    drop_leftovers,
    not_done,
    of_host,
    parse_shard,
)
from pipeline.engine.stage import Context, Stage, changed_parts, finished_marker, write_stage_marker
from pipeline.engine.stages import all_stages, members, skipped, stages_of

CHANGED = "missing, or not as they were written"
"""What is said of files that are not as they were written."""


@dataclass(frozen=True)
class Flags:
    """Flags of one call that decide what is done, not what comes out."""

    fresh: bool = False
    shard: str | None = None
    failed: bool = False
    """Whether only shards are done whose last attempt failed."""


@dataclass(frozen=True)
class StagePlan:
    """What would happen to one stage: `state` is done, stale, missing, partial, waiting or, where this
    configuration has no such stage, skipped; `why` says so.
    """

    stage: str
    state: str
    why: str
    done: int = 0


def select(first: str | None, last: str | None, config: Config) -> list[Stage]:
    """The stages from `first` to `last`, both included, of a run with this configuration; `cells` where it is
    named or read.

    A name is that of a stage, or of a group: `cross` for `cross/sample` to `cross/pair`.

    Raises:
        UsageError: an unknown stage, one that such a run cannot have, or `first` after `last`.
    """
    for name in (first, last):
        own = members(name or "")
        if own and own[0].remedy and (why := own[0].skipped(config)):
            raise UsageError(f"stage {name!r}", f"is not of this run: {why}", own[0].remedy)
    first = next((stage.name for stage in members(first or "")), first)
    last = next((stage.name for stage in reversed(members(last or ""))), last)
    asked = {first, last} & {stage.name for stage in all_stages() if not stage.optional}
    wanted = {stage.name for stage in stages_of(config)} | asked
    stages = [stage for stage in all_stages() if stage.name in wanted]
    names = [stage.name for stage in stages]
    for name in (first, last):
        if name is not None and name not in names:
            raise UsageError(
                f"stage {name!r}", f"is not known{nearest(name, names)}", f"one of: {', '.join(names)}"
            )
    start, end = names.index(first or names[0]), names.index(last or names[-1])
    if start > end:
        raise UsageError(
            f"--from {first} --to {last}", "are in the wrong order", f"the order is: {', '.join(names)}"
        )
    chosen, run = stages[start : end + 1], RunDirectory(Path(), config)
    read = {name for stage in chosen for name in stage.inputs_of(run)} | {first, last}
    return [stage for stage in chosen if stage.name != "cells" or stage.name in read]


def is_finished(run: RunDirectory, stage: Stage, key: str, digests: Digests) -> bool:
    """Whether the stage's marker has this key, its outputs are the bytes the marker says, and the files of
    its shards are there.
    """
    marker = finished_marker(run, stage.name)
    return marker.get("key") == key and not stage.changed(run, marker, digests)


def plan_stage(run: RunDirectory, stage: Stage) -> StagePlan:
    """What running this stage would do now."""
    folder = stage.folder(run)
    shards = sum(1 for _ in shard_markers(folder))
    try:
        parts = stage.parts(run)
    except MissingError as error:
        return StagePlan(stage.name, "waiting", str(error), shards)
    marker = finished_marker(run, stage.name)
    if marker:
        changed = changed_parts(marker["parts"], parts)
        gone = [] if changed else stage.changed(run, marker, run.config.execute.compares("sampled"))
        if not changed and not gone:
            return StagePlan(stage.name, "done", f"digest {marker['digest'][:12]}", shards)
        return StagePlan(stage.name, "stale", "; ".join(changed) or f"{CHANGED}: {named(gone)}", shards)
    started = read_json(folder / "key.json")
    if started:
        changed = changed_parts(started, parts)
        if changed:
            return StagePlan(stage.name, "stale", "; ".join(changed), shards)
        return StagePlan(stage.name, "partial", f"{shards} shards are done", shards)
    return StagePlan(stage.name, "missing", "not started", shards)


def plan(
    run: RunDirectory, stages: Sequence[Stage] | None = None, flags: Flags | None = None
) -> list[StagePlan]:
    """What running these stages (all of the run's) would do; one behind another that will run is `waiting` or
    stale.

    Raises:
        UsageError: a shard not of the form i/n.
    """
    flags = flags or Flags()
    host = f"; of its shards those of host {flags.shard}" if flags.shard and parse_shard(flags.shard) else ""
    plans: list[StagePlan] = []
    moving: set[str] = set()
    if stages is None:
        plans = [StagePlan(name, "skipped", why) for name, why in skipped(run.config).items()]
    for stage in stages_of(run.config) if stages is None else stages:
        one = plan_stage(run, stage)
        behind = [name for name in stage.inputs_of(run) if name in moving]
        if one.state == "done" and behind:
            one = StagePlan(stage.name, "stale", f"{', '.join(behind)} will be made again", one.done)
        if flags.fresh and one.state not in ("missing", "waiting"):
            one = StagePlan(stage.name, "stale", "asked for by --fresh", one.done)
        if one.state != "done":
            moving.add(stage.name)
            one = replace(one, why=one.why + host)
        plans.append(one)
    return plans


def _start(run: RunDirectory, stage: Stage, parts: dict[str, Any], fresh: bool, reporter: Reporter) -> None:
    """Empty the stage's folder when what is there was made with another key, or on --fresh."""
    from manifests.atomic import canonical_json

    folder = stage.folder(run)
    started = read_json(folder / "key.json")
    changed = changed_parts(started, parts) if started else []
    if fresh or changed:
        why = "asked for by --fresh" if fresh else "; ".join(changed[:4])
        if folder.exists():
            reporter.line(f"{stage.name}: made again ({why})")
        drop_all(folder, run.root)
    check_links(folder)
    write_text(folder / "key.json", canonical_json(parts))


def run_stage(context: Context, stage: Stage, flags: Flags, digests: Digests | None = None) -> dict[str, Any]:
    """Bring one stage to its end; returns its marker (digest, outputs, summary).

    Args:
        context: the run.
        stage: of the run.
        flags: of the call.
        digests: which files make a finished stage unfinished where they were changed; None:
            `execute.digests`, sampled by itself.

    Raises:
        PartialError: with `--shard i/n`, shards of other hosts are still missing.
        UserError: whatever the stage raises; finished shards are kept.
    """
    with context.reporter.work(stage.name), watch_by(context.reporter.watch(stage.name)):
        return _bring_to_end(context, stage, flags, digests)


def _bring_to_end(context: Context, stage: Stage, flags: Flags, digests: Digests | None) -> dict[str, Any]:
    """`run_stage` without its progress."""
    run, reporter = context.run, context.reporter
    parts = stage.parts(run)
    key = digest_value(parts)
    marker = {} if flags.fresh else finished_marker(run, stage.name)
    if marker.get("key") == key:
        gone = stage.changed(run, marker, digests or run.config.execute.compares("sampled"))
        if not gone:
            reporter.line(f"{stage.name}: done already")
            return marker
        reporter.line(f"{stage.name}: made again where files are {CHANGED}: {named(gone)}")
    if _mend(context, stage):
        return _bring_to_end(context, stage, flags, digests)  # with the digests of what was made again
    mending = marker.get("key") == key
    with run.alone():
        _start(run, stage, parts, flags.fresh, reporter)
    tasks = stage.tasks(context, key)
    mine = [task for task in of_host(tasks, flags.shard) if not flags.failed or failure_of(task)]
    label = stage.name
    todo = []
    for task in mine:
        why = not_done(task, run.config.execute.compares("whole"))
        if why is not None:
            todo.append(task)
            if why != NOT_THERE:
                reporter.line(f"{label}: shard {task.index} is made again: {why} is missing or was changed")
    if tasks:
        reporter.line(f"{label}: {len(todo)} of {len(tasks)} shards to do")
        note_count(stage.folder(run), len(tasks))
        results = attempted(context.executor, todo)
        for _ in reporter.track(results, total=len(mine), label=label, done=len(mine) - len(todo)):
            continue
        check_failed(mine, stage.again.format(out=run.root))
        drop_leftovers(stage.folder(run), len(tasks))
        left = [task for task in tasks if not task.marker.is_file()] if flags.shard or flags.failed else []
        if left:
            raise PartialError(
                f"stage {label}",
                f"{len(left)} of {len(tasks)} shards are left{' to other hosts' if flags.shard else ''}",
                "when all hosts are done, run the same command without --shard"
                if flags.shard
                else f"fairforge run --out {run.root}",
            )
    else:
        reporter.line(f"{label}: running")
    with run.alone():
        if mending or not is_finished(
            run, stage, key, "none"
        ):  # else the host that did the last shard finished it
            _finish(context, stage, tasks, key, parts)
    return finished_marker(run, stage.name)


def _mend(context: Context, stage: Stage) -> bool:
    """Compare the files that a stage is about to read with what their stages wrote; make those again that may
    be; whether any were.

    Raises:
        DataError: files are missing or were changed, and their stage is not one of those that are being run.
    """
    mended = False
    run, digests = context.run, context.config.execute.compares("whole")
    known = {one.name: one for one in all_stages()}
    for name in stage.inputs_of(run) if digests != "none" else ():
        source = known[name]
        gone = source.changed(run, finished_marker(run, name), digests)
        if not gone:
            continue
        if name in context.mends:
            _bring_to_end(context, source, Flags(), digests)
            mended, gone = True, source.changed(run, finished_marker(run, name), digests)
        if gone:
            raise DataError(
                f"{source.folder(run)}/{gone[0]}",
                f"is missing or was changed since stage {name} made it ({len(gone)} such files)",
                f"make it again: fairforge run --out {run.root} --from {name} --to {stage.name}",
            )
    return mended


def _finish(context: Context, stage: Stage, tasks: list[Task], key: str, parts: dict[str, Any]) -> None:
    """Make the stage's outputs from its shards, then its marker."""
    drop_temporaries(stage.folder(context.run))
    drop_attempts(stage.folder(context.run))
    outcome = stage.finish(context, tasks)
    write_stage_marker(context.run, stage, key, parts, outcome)
    if outcome.summary:
        context.reporter.line(f"{stage.name}: " + ", ".join(f"{k} {v}" for k, v in outcome.summary.items()))


def keeps_workers(left: Sequence[Stage]) -> bool:
    """Whether worker processes are kept while the first of these stages runs: it uses them, or is short and a
    later one does.
    """
    return left[0].spreads or (not left[0].alone and any(stage.spreads for stage in left[1:]))


def run_stages(
    run: RunDirectory,
    stages: Sequence[Stage],
    *,
    flags: Flags,
    reporter: Reporter,
    argv: list[str],
) -> dict[str, dict[str, Any]]:
    """Run stages in order under the run directory's lock; returns their markers by name.

    Raises:
        UsageError, MissingError: an unknown device, or one that is not here. UserError: as `run_stage`.
        HandedOver: jobs of Slurm do the rest (`execute.slurm.detach`).
    """
    execute = run.config.execute
    check_place(execute)
    if execute.slurm.detach and flags.shard is not None:
        raise UsageError("--detach", "has no use beside --shard", "leave one of them out")
    for stage in stages:
        stage.check(run)
    markers = {}
    with followed(execute, run.root), run.locked(shared=flags.shard is not None):
        if flags.shard is None:
            drop_temporaries(run.root, (CONFIG, RECORD))
        run.record(argv)
        with (
            Executor(execute.executor, execute.workers, execute, run.root) as executor,
            reporter.shared(run.root),
        ):
            context = Context(run, executor, reporter, flags.fresh, frozenset(stage.name for stage in stages))
            for number, stage in enumerate(stages):
                if not keeps_workers(stages[number:]):
                    executor.release()
                markers[stage.name] = run_stage(context, stage, flags, execute.compares("sampled"))
        run.record(argv)
    return markers


def output_of(run: RunDirectory, name: str) -> Path:
    """The main output file of a finished stage."""
    main = str(finished_marker(run, name).get("main", ""))
    return inside(run.folder(name), main) if main else run.folder(name)
