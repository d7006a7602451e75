"""The stages of the project and of other packages, found by their registry, in the order they run."""

from __future__ import annotations

from functools import cache

from manifests.registry import Registry
from pipeline.engine.config import Config
from pipeline.engine.stage import Stage, group_of

STAGES: Registry[Stage] = Registry("stages", "pipeline.stages", module="stage")


@cache
def all_stages() -> tuple[Stage, ...]:
    """One of every registered stage, each behind the one that its `after` names.

    Raises:
        ValueError: a stage stands behind one that there is not, or behind itself.
    """
    found = [STAGES.create(name) for name in STAGES.names()]
    behind: dict[str, list[Stage]] = {}
    for stage in sorted(
        found, key=lambda one: (type(one).__module__.startswith(f"{STAGES.package}."), one.name)
    ):
        behind.setdefault(stage.after, []).append(stage)
    out: list[Stage] = []
    left = behind.pop("", [])[::-1]
    while left:
        out.append(left.pop())
        left += behind.pop(out[-1].name, [])[::-1]
    if behind:
        raise ValueError(
            f"stages stand behind {', '.join(map(repr, behind))}, of which there is none before them"
        )
    return tuple(out)


def stages_of(config: Config) -> list[Stage]:
    """The stages of a run with this configuration, in order; see `skipped`."""
    return [stage for stage in all_stages() if not stage.skipped(config)]


def skipped(config: Config) -> dict[str, str]:
    """Why a run with this configuration has no stage, or no group, of a name; optional ones are not
    mentioned.
    """
    found = [(stage, stage.skipped(config)) for stage in all_stages() if not stage.optional]
    return {group_of(stage.name) or stage.name: why for stage, why in found if why}


def members(name: str) -> list[Stage]:
    """The stages that a name stands for: the one called so, or all those of the group called so; none for an
    unknown name.
    """
    return [stage for stage in all_stages() if name and name in (stage.name, group_of(stage.name))]
