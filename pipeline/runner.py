"""Runs stages in order: plans them, does what is missing, writes their markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manifests.atomic import digest_file, digest_value, write_text
from manifests.errors import MissingError, PartialError, UsageError
from manifests.registry import nearest
from manifests.watching import watch_by
from pipeline.config import Config
from pipeline.executors import Executor, check_device
from pipeline.progress import Reporter
from pipeline.run_directory import RunDirectory, read_json
from pipeline.shards import Task, do_shard, drop_all, drop_leftovers, drop_temporaries, is_done, of_host, parse_shard
from pipeline.stages import OPTIONAL, STAGES, skipped, stages_of
from pipeline.stages.base import Context, Stage, changed_parts, stage_marker, write_stage_marker


@dataclass(frozen=True)
class Flags:
    """Flags of one call that decide what is done, not what comes out."""

    fresh: bool = False
    shard: str | None = None


@dataclass(frozen=True)
class StagePlan:
    """What would happen to one stage: `state` is done, stale, missing, partial, waiting or, where this configuration has no such
    stage, skipped; `why` says so.
    """

    stage: str
    state: str
    why: str
    done: int = 0


def select(first: str | None, last: str | None, config: Config) -> list[Stage]:
    """The stages from `first` to `last`, both included, of a run with this configuration; `cells` where it is named or read.

    Raises:
        UsageError: an unknown stage, or `first` after `last`.
    """
    wanted = {stage.name for stage in stages_of(config)} | ({first, last} & {stage.name for stage in STAGES})
    if "cross" in {first, last} and (why := skipped(config).get("cross")):
        raise UsageError("stage 'cross'", f"is not of this run: {why}", "set cross.source = generator, or name cross.photographs")
    stages = [stage for stage in [*STAGES, *OPTIONAL] if stage.name in wanted]
    names = [stage.name for stage in stages]
    for name in (first, last):
        if name is not None and name not in names:
            raise UsageError(f"stage {name!r}", f"is not known{nearest(name, names)}", f"one of: {', '.join(names)}")
    start, end = names.index(first or names[0]), names.index(last or names[-1])
    if start > end:
        raise UsageError(f"--from {first} --to {last}", "are in the wrong order", f"the order is: {', '.join(names)}")
    chosen, run = stages[start:end + 1], RunDirectory(Path(), config)
    read = {name for stage in chosen for name in stage.inputs_of(run)} | {first, last}
    return [stage for stage in chosen if stage.name != "cells" or stage.name in read]


def is_finished(run: RunDirectory, stage: Stage, key: str) -> bool:
    """Whether the stage's marker has this key and its outputs are the bytes the marker says."""
    marker = read_json(stage_marker(run, stage.name))
    if marker.get("key") != key:
        return False
    folder = stage.folder(run)
    return all((folder / name).is_file() and digest_file(folder / name) == sha
               for name, sha in marker.get("outputs", {}).items())


def plan_stage(run: RunDirectory, stage: Stage) -> StagePlan:
    """What running this stage would do now."""
    folder = stage.folder(run)
    shards = sum(1 for _ in folder.glob("done/[0-9]*.json"))
    try:
        parts = stage.parts(run)
    except MissingError as error:
        return StagePlan(stage.name, "waiting", str(error), shards)
    marker = read_json(stage_marker(run, stage.name))
    if is_finished(run, stage, digest_value(parts)):
        return StagePlan(stage.name, "done", f"digest {marker['digest'][:12]}", shards)
    if marker:
        changed = changed_parts(marker.get("parts"), parts) or ["an output file is missing or was changed"]
        return StagePlan(stage.name, "stale", "; ".join(changed), shards)
    started = read_json(folder / "key.json")
    if started:
        changed = changed_parts(started, parts)
        if changed:
            return StagePlan(stage.name, "stale", "; ".join(changed), shards)
        return StagePlan(stage.name, "partial", f"{shards} shards are done", shards)
    return StagePlan(stage.name, "missing", "not started", shards)


def plan(run: RunDirectory, stages: Sequence[Stage] | None = None,
    flags: Flags | None = None) -> list[StagePlan]:
    """What running these stages (all of the run's) would do; one behind another that will run is `waiting` or stale.

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
        drop_all(folder)
    write_text(folder / "key.json", canonical_json(parts))


def run_stage(context: Context, stage: Stage, flags: Flags) -> dict[str, Any]:
    """Bring one stage to its end; returns its marker (digest, outputs, summary).

    Raises:
        PartialError: with `--shard i/n`, shards of other hosts are still missing.
        UserError: whatever the stage raises; finished shards are kept.
    """
    with context.reporter.work(stage.name), watch_by(context.reporter.watch(stage.name)):
        return _bring_to_end(context, stage, flags)


def _bring_to_end(context: Context, stage: Stage, flags: Flags) -> dict[str, Any]:
    run, reporter = context.run, context.reporter
    parts = stage.parts(run)
    key = digest_value(parts)
    if not flags.fresh and is_finished(run, stage, key):
        reporter.line(f"{stage.name}: done already")
        return read_json(stage_marker(run, stage.name))
    with run.alone():
        _start(run, stage, parts, flags.fresh, reporter)
    tasks = stage.tasks(context, key)
    mine = of_host(tasks, flags.shard)
    todo = [task for task in mine if not is_done(task)]
    label = stage.name
    if tasks:
        reporter.line(f"{label}: {len(todo)} of {len(tasks)} shards to do")
        results = context.executor.map(do_shard, todo)
        for _ in reporter.track(results, total=len(mine), label=label, done=len(mine) - len(todo)):
            continue
        drop_leftovers(stage.folder(run), len(tasks))
        left = [task for task in tasks if not task.marker.is_file()] if flags.shard else []
        if left:
            raise PartialError(
                f"stage {label}", f"{len(left)} of {len(tasks)} shards are left to other hosts",
                "when all hosts are done, run the same command without --shard",
            )
    else:
        reporter.line(f"{label}: running")
    with run.alone():
        if not is_finished(run, stage, key):  # by the host that did the last shard
            _finish(context, stage, tasks, key, parts)
    return read_json(stage_marker(run, stage.name))


def _finish(context: Context, stage: Stage, tasks: list[Task], key: str, parts: dict[str, Any]) -> None:
    """Make the stage's outputs from its shards, then its marker."""
    drop_temporaries(stage.folder(context.run))
    outcome = stage.finish(context, tasks)
    write_stage_marker(context.run, stage, key, parts, outcome)
    if outcome.summary:
        context.reporter.line(f"{stage.name}: " + ", ".join(f"{k} {v}" for k, v in outcome.summary.items()))


def keeps_workers(left: Sequence[Stage]) -> bool:
    """Whether worker processes are kept while the first of these stages runs: it uses them, or is short and a later one does."""
    return left[0].spreads or (not left[0].alone and any(stage.spreads for stage in left[1:]))


def run_stages(
    run: RunDirectory, stages: Sequence[Stage], *, flags: Flags, reporter: Reporter, argv: list[str],
) -> dict[str, dict[str, Any]]:
    """Run stages in order under the run directory's lock; returns their markers by name.

    Raises:
        UsageError, MissingError: an unknown device, or one that is not here. UserError: as `run_stage`.
    """
    execute = run.config.execute
    check_device(execute.device)
    for stage in stages:
        stage.check(run)
    markers = {}
    with run.locked(shared=flags.shard is not None):
        run.record(argv)
        with Executor(execute.executor, execute.workers) as executor, reporter.shared(run.root):
            context = Context(run, executor, reporter)
            for number, stage in enumerate(stages):
                if not keeps_workers(stages[number:]):
                    executor.release()
                markers[stage.name] = run_stage(context, stage, flags)
        run.record(argv)
    return markers


def output_of(run: RunDirectory, name: str) -> Path:
    """The main output file of a finished stage."""
    return run.folder(name) / str(read_json(stage_marker(run, name)).get("main", ""))
