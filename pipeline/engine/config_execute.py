"""Section `execute` of the configuration: who does the work and where; it enters no cache key."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from manifests.contents import Digests
from pipeline.engine.config_section import Count, Section

CLOCK = re.compile(
    r"(?P<minutes>[0-9]{1,6})|(?:(?:(?P<days>[0-9]{1,3})-)?(?P<h>[0-9]{1,4}):)?(?P<m>[0-9]{1,4}):(?P<s>[0-9]{1,4})"
)
LARGEST_ARRAY = 1000
"""Tasks of a Slurm array: what sites allow without asking."""

Share = Annotated[float, Field(ge=0, le=1024)]


class RaySection(Section):
    """Executor `ray`."""

    address: str = Field(
        "",
        description=(
            "Of a cluster that runs: `auto`, or HOST:PORT; `--ray-address`. Empty: one is started on this "
            "machine, and ends with the "
            "command."
        ),
    )
    cpus_per_worker: Share = Field(
        1.0, description="CPUs that a worker reserves; it computes with one thread."
    )
    gpus_per_worker: Share = Field(
        0.0,
        description=(
            "GPUs that a worker reserves, a part of one too; `--gpus-per-worker`. With `execute.device` = "
            "cuda at least one each."
        ),
    )
    memory_gb: Share = Field(0.0, description="Memory that a worker reserves, 10^9 bytes; 0 for none.")
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        3, description=("How often a shard is begun again whose worker or machine was lost.")
    )
    wait: Count = Field(300, description="Seconds until a worker must have found its place on the cluster.")


class SlurmSection(Section):
    """Executor `slurm`."""

    cluster: Literal["auto", "slurm", "local"] = Field(
        "auto",
        description=(
            "`slurm`: job arrays. `local`: the same jobs as processes of this machine. `auto`: Slurm where "
            "there is `srun`; "
            "`--slurm-cluster`."
        ),
    )
    partition: str = Field("", description="Of the jobs; `--partition`.")
    time: str = Field(
        "1:00:00",
        description=(
            "Limit of a job: minutes, MM:SS, HH:MM:SS or D-HH:MM:SS; `--time`. A job that meets it is queued "
            "again, and goes on."
        ),
    )
    gres: str = Field("", description="Generic resources of a job, e.g. gpu:1; `--gres`.")
    account: str = Field("", description="Who pays.")
    qos: str = Field("", description="Quality of service.")
    constraint: str = Field("", description="Features of the nodes.")
    cpus: Count = Field(1, description="CPUs of a job; it computes with one thread.")
    memory_gb: Share = Field(0.0, description="Memory of a job, 10^9 bytes; 0 for the partition's own.")
    shards_per_task: Annotated[int, Field(ge=0)] = Field(
        0,
        description=(
            "Shards that a task of an array does one after another. 0: as few as the largest array allows."
        ),
    )
    array: Annotated[int, Field(ge=1, le=LARGEST_ARRAY)] = Field(
        LARGEST_ARRAY, description="Tasks of an array at most."
    )
    signal_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        90, description=("Seconds before its limit that a job is told to end its shard and to queue again.")
    )
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        3,
        description=(
            "How often shards are submitted again whose job died, and how often a job that met its limit is "
            "queued again."
        ),
    )
    detach: bool = Field(
        False,
        description=(
            "Nobody waits: the command submits the array that is due and a job behind it, which goes on with "
            "the run, and ends; `--detach`."
        ),
    )
    setup: tuple[str, ...] = Field(
        (), description="Lines of shell that a job begins with, e.g. module load cuda."
    )
    more: dict[str, str] = Field({}, description="Further parameters of sbatch by name.")

    @field_validator("time")
    @classmethod
    def _clock(cls, value: str) -> str:
        if minutes(value) < 1:
            raise ValueError("is less than a minute")
        return value


def minutes(time: str) -> int:
    """A limit of Slurm's in whole minutes, rounded up: `90`, `90:00`, `1:30:00`, `0-01:30:00`.

    Raises:
        ValueError: it is none.
    """
    found = CLOCK.fullmatch(time)
    if found is None:
        raise ValueError(f"{time!r} is no time: minutes, MM:SS, HH:MM:SS or D-HH:MM:SS")
    if found["minutes"]:
        return int(found["minutes"])
    days, hours, mins, seconds = (int(found[name] or 0) for name in ("days", "h", "m", "s"))
    return days * 1440 + hours * 60 + mins + (seconds > 0)


class ExecuteSection(Section):
    """How to run; never part of a cache key."""

    executor: str = Field(
        "process",
        description=(
            "Who does the shards: this process (local), worker processes of one thread each (process), a Ray "
            "cluster (ray), jobs of "
            "Slurm (slurm), or one of another package; `--executor`."
        ),
    )
    workers: Count = Field(
        2,
        description=(
            "Worker processes of this machine for shards, and threads that read and augment the detector's "
            "images; `--workers`."
        ),
    )
    cluster_workers: Annotated[int, Field(ge=0)] = Field(
        0,
        description=(
            "Workers at a time on Ray or Slurm at most; `--workers`. 0: as many as there is room for."
        ),
    )
    digests: Literal["auto", "none", "sampled", "whole"] = Field(
        "auto",
        description=(
            "Files that are compared, when they are read, with the digests they had when they were written: "
            "`whole`, all; "
            "`sampled`, one in 16 and the sizes of all; `none`. `auto`: all of those that a stage is about "
            "to read, and in "
            "training and evaluation; `sampled` where a finished stage is looked at."
        ),
    )
    device: str = Field(
        "cpu",
        description=(
            "Torch device of every model that can use one, of training and of evaluation: cpu, cuda, cuda:1, "
            "...; `--device`. With cuda each worker process has one GPU."
        ),
    )
    ray: RaySection = Field(RaySection(), description="How executor `ray` does it.")
    slurm: SlurmSection = Field(SlurmSection(), description="How executor `slurm` does it.")

    def compares(self, usual: Digests) -> Digests:
        """Which files are compared with their digests, where `usual` is what `auto` comes to."""
        return usual if self.digests == "auto" else self.digests
