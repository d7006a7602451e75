"""Flags of `run` for clusters: keys of `[execute.ray]` and `[execute.slurm]`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

AddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address", help="Of a Ray cluster that runs: auto, or HOST:PORT; else one is started here."
    ),
]
GpusOption = Annotated[
    float | None, typer.Option("--gpus-per-worker", min=0, max=1024, help="GPUs that a Ray worker reserves.")
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--slurm-cluster", help="slurm, local (the same jobs as processes of this machine), or auto."
    ),
]
PartitionOption = Annotated[str | None, typer.Option("--partition", help="Of Slurm's jobs.")]
TimeOption = Annotated[str | None, typer.Option("--time", help="Limit of a job of Slurm's, e.g. 4:00:00.")]
GresOption = Annotated[
    str | None, typer.Option("--gres", help="Generic resources of a job of Slurm's, e.g. gpu:1.")
]
DetachOption = Annotated[
    bool,
    typer.Option("--detach", help="With Slurm: nobody waits; a job behind each array goes on with the run."),
]


def assignments(
    address: str | None,
    gpus: float | None,
    cluster: str | None,
    partition: str | None,
    time: str | None,
    gres: str | None,
    detach: bool,
) -> list[str]:
    """The flags that were given, as `--set` texts."""
    given = {
        "ray.address": address,
        "ray.gpus_per_worker": gpus,
        "slurm.cluster": cluster,
        "slurm.partition": partition,
        "slurm.time": time,
        "slurm.gres": gres,
        "slurm.detach": detach or None,
    }
    return [f"execute.{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
