"""`fairforge talk`: the stages that bring the faces, then their clips."""

from __future__ import annotations

import sys
from typing import Any

from manifests.escaping import one_line
from pipeline.commands.talking.stage import Talk, TalkStage
from pipeline.engine.executors import check_device
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.runner import Flags, output_of, plan, run_stages, select
from pipeline.engine.stage import Stage


def stages_for(run: RunDirectory, talk: Talk) -> list[Stage]:
    """The stages of a call: those that make faces, unless they come from another run, then the clips."""
    clips = TalkStage(talk)
    if talk.faces is not None:
        return [clips]
    first = "cells" if run.config.sample.generates and not run.config.sample.cell_model else "sample"
    return [*select(first, "verify", run.config), clips]


def plan_talk(run: RunDirectory, talk: Talk, flags: Flags) -> tuple[list[dict[str, Any]], str]:
    """What `talk` would do, as values and as text.

    Raises:
        UserError: as the stages' own checks.
    """
    check_device(run.config.execute.device)
    plans = plan(run, stages_for(run, talk), flags)
    text = "\n".join(one_line(f"{one.stage:<9} {one.state:<8} {one.why}") for one in plans)
    return [vars(one) for one in plans], text


def make_talk(
    run: RunDirectory, talk: Talk, flags: Flags, *, quiet: bool = False
) -> tuple[dict[str, Any], str]:
    """Make the clips; called again it goes on where it stopped.

    Args:
        run: where, and the configuration of the faces. talk: what. flags: of the call. quiet: no progress.

    Raises:
        UserError: as the stages.
    """
    reporter = Reporter(quiet=quiet)
    markers = run_stages(run, stages_for(run, talk), flags=flags, reporter=reporter, argv=sys.argv[1:])
    result = output_of(run, "talk")
    reporter.line(f"made {result}; next: fairforge audit {result.parent}")
    return {"run": str(run.root), "manifest": str(result), "stages": markers}, str(result)
