"""The stage verbs in order, and what runs the stages between two of them: every verb's command calls
`perform`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from manifests.escaping import one_line
from pipeline.cli import options as o

if TYPE_CHECKING:
    from pipeline.engine.run_directory import RunDirectory

VERBS = {
    "fit-cells": ("cells", "Label latents and fit one density per race x gender cell."),
    "sample": ("sample", "Draw candidate faces for every cell."),
    "verify": (
        "verify",
        "Accept or reject candidates: one clear face, perceived as its cell, a new identity.",
    ),
    "forge": ("forge", "Make fakes of the accepted faces: swap, reenact, blend."),
    "pair": ("pair", "Write the balanced manifest of real/fake pairs."),
    "audit": ("audit", "Look for shortcuts, leaks, duplicates and imbalance."),
    "cross": ("cross", "Make the second dataset, of another origin."),
    "train": ("train", "Train a detector on the dataset."),
    "evaluate": ("evaluate", "Score the datasets and measure fairness."),
    "release": ("release", "Make a folder another lab can load, check and cite."),
    "report": ("report", "Write the HTML page."),
}
OWN_FLAGS = ("fit-cells", "sample")
"""Verbs with flags of their own, added by `pipeline.cli.cell_commands`."""


def plan_lines(plans: list[Any]) -> str:
    """A plan as aligned text."""
    width = max([9, *(len(p.stage) for p in plans)])
    return "\n".join(one_line(f"{p.stage:<{width}} {p.state:<8} {p.why}") for p in plans)


def perform(
    shared: o.Shared,
    first: str | None,
    last: str | None,
    *,
    fresh: bool,
    dry: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the stages `first` to `last`, print the result and the next command."""
    from pipeline.engine.executors import check_place
    from pipeline.engine.progress import Reporter
    from pipeline.engine.runner import Flags, output_of, plan, run_stages, select

    run, flags = shared.run(), Flags(fresh=fresh, shard=shared.shard)
    check_place(run.config.execute)
    stages = select(first, last, run.config)
    if dry:
        plans = plan(run, stages, flags)
        text = "\n\n".join(filter(None, (plan_lines(plans), job_script(run))))
        o.emit([vars(p) for p in plans], text, as_json)
        return
    reporter = Reporter(quiet=quiet)
    markers = run_stages(run, stages, flags=flags, reporter=reporter, argv=sys.argv[1:])
    end = stages[-1].name
    result = output_of(run, end)
    o.emit({"run": str(run.root), "output": str(result), "stages": markers}, str(result), as_json)
    reporter.line(f"made {result}; next: {next_command(shared, end)}")


def job_script(run: RunDirectory) -> str:
    """What sbatch would be given for the arrays of a stage; empty where no job of Slurm is asked for."""
    execute = run.config.execute
    if execute.executor != "slurm":
        return ""
    from pipeline.engine.executors.slurm_chain import FOLDER, again, continuation_script
    from pipeline.engine.executors.slurm_script import script_of

    slurm, name = execute.slurm, "STAGE"
    head = f"# every stage in shards is an array; of the largest ({slurm.array} tasks) sbatch is given:"
    folder = run.root.absolute() / FOLDER / name
    text = f"{head}\n{script_of(slurm, folder, f'fairforge-{name}', slurm.array, execute.cluster_workers)}"
    if not slurm.detach:
        return text
    command = again([word for word in sys.argv[1:] if word != "--dry-run"])
    behind = continuation_script(slurm, run.root, command, "ARRAY")
    return f"{text}\n# and behind each array, whose id is ARRAY, for the job that goes on:\n{behind}"


def next_command(shared: o.Shared, last: str) -> str:
    """What one would run after the stage `last`."""
    from pipeline.engine.stage import group_of
    from pipeline.engine.stages import members

    group = group_of(last)
    if group and members(group)[-1].name != last:
        return f"fairforge {group} --out {shared.out}"
    last = group or last
    names = [stage for stage, _ in VERBS.values()]
    verbs = list(VERBS)
    at = names.index(last) if last in names else len(names)
    if at + 1 > len(names):
        return f"read {shared.out}/{last}"
    if at + 1 == len(names):
        return f"open {shared.out}/report/index.html"
    return f"fairforge {verbs[at + 1]} --out {shared.out}"
