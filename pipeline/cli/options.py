"""Flags shared by the stage verbs, and how they become a run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from manifests.escaping import multiline
from pipeline.cli.places import folder_place, track_places

if TYPE_CHECKING:
    from pipeline.engine.run_directory import RunDirectory


def _here(device: str | None) -> str | None:
    """A device that was given, where it is on this machine: the one check of every command."""
    from pipeline.engine.executors import check_device

    return check_device(device) if device is not None else None


ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file; default: the run's own.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Replace one key: section.key=value (repeatable).")
]
OutOption = Annotated[Path, typer.Option("--out", callback=folder_place, help="Run directory.")]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        max=1024,
        help="Worker processes, and threads that make images ready for the detector.",
    ),
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", help="Do only every n-th shard, i/n: one of n machines.")
]
ExecutorOption = Annotated[
    str | None, typer.Option("--executor", help="local, process, ray, slurm: who does the shards.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        callback=_here,
        help="Where models run: cpu, cuda, cuda:1, ...; default: the configuration's.",
    ),
]
AnyDeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="Where models run: cpu, cuda, cuda:1, ...; of a cluster's machines there."),
]
"""Of commands whose workers may be on other machines: what starts the work looks whether it is there."""
ModelDeviceOption = Annotated[
    str, typer.Option("--device", callback=_here, help="Where models run: cpu, cuda, cuda:1, ...")
]
"""Of commands without a configuration."""
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Seed of the run.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, max=10_000_000, help="Identities per cell: a smaller run.")
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Discard these stages' results and make them again.")
]
ShortOption = Annotated[
    bool, typer.Option("--allow-short", help="Go on with short cells, and record the shortfall.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Result on stdout as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]

TrackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        callback=track_places,
        help="Figures for a viewer as they come, NAME:FOLDER (repeatable): see `fairforge list trackers`.",
    ),
]

DEFAULT_OUT = Path("runs/demo")


@dataclass(frozen=True)
class Shared:
    """The shared flags of one call."""

    config: Path | None
    sets: list[str]
    out: Path
    workers: int | None = None
    shard: str | None = None
    executor: str | None = None
    device: str | None = None
    seed: int | None = None
    limit: int | None = None
    allow_short: bool = False

    def assignments(self) -> list[str]:
        """Flags as `--set` texts, after the user's own."""
        given = {
            "execute.workers": self.workers,
            "execute.cluster_workers": self.workers,
            "execute.executor": self.executor,
            "execute.device": self.device,
            "run.seed": self.seed,
            "dataset.per_cell": self.limit,
            "pair.allow_short": self.allow_short or None,
        }
        return [
            *self.sets,
            *(f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None),
        ]

    def run(self) -> RunDirectory:
        """The run directory with its resolved configuration.

        Raises:
            UsageError: every configuration error at once.
        """
        from pipeline.engine.config_file import load_config
        from pipeline.engine.run_directory import RunDirectory

        path = self.config
        if path is None and (self.out / "config.toml").is_file():
            path = self.out / "config.toml"
        return RunDirectory(self.out, load_config(path, self.assignments()))


def refuse(where: str, flags: dict[str, Any], fix: str) -> None:
    """Refuse the flags that were given (neither None, False nor empty): they have no use `where`.

    Raises:
        UsageError: it names all of them.
    """
    from manifests.errors import UsageError

    given = [flag for flag, value in flags.items() if not (value is None or value is False or value == [])]
    if given:
        raise UsageError(", ".join(given), f"{'has' if len(given) == 1 else 'have'} no use {where}", fix)


def only_sections(where: str, sets: list[str], sections: tuple[str, ...]) -> None:
    """Refuse `--set` of a section that is not read `where`.

    Raises:
        UsageError: it names all of them. UsageError: a text without `=`.
    """
    from pipeline.engine.config_file import parse_set

    other = {f"--set {text}": True for text in sets if parse_set(text)[0][0] not in sections}
    refuse(where, other, f"there the sections are: {', '.join(sections)}")


def emit(value: Any, text: str, as_json: bool) -> None:
    """The result on stdout: JSON, or text."""
    sys.stdout.write((json.dumps(value, indent=1, sort_keys=True) if as_json else multiline(text)) + "\n")


def emit_again(value: Any, text: str, as_json: bool) -> None:
    """One of several results on stdout: a line of JSON, or text; on a terminal it takes the place of the one
    before.
    """
    if as_json:
        sys.stdout.write(json.dumps(value, sort_keys=True) + "\n")
    else:
        sys.stdout.write(("\x1b[H\x1b[2J" if sys.stdout.isatty() else "") + multiline(text) + "\n")
    sys.stdout.flush()


def shorthand(**values: Any) -> list[str]:
    """Flags that were given, as `--set` texts; a name's first `__` is the dot.

    >>> shorthand(dataset__per_cell=3, dataset__taxonomy=None)
    ['dataset.per_cell=3']
    """
    return [
        f"{name.replace('__', '.', 1)}={json.dumps(value)}"
        for name, value in values.items()
        if value is not None
    ]
