"""What sbatch is given: parameters of jobs, and the script that submitit makes of them."""

from __future__ import annotations

import logging.config
from pathlib import Path
from typing import Any

from pipeline.engine.config_execute import SlurmSection, minutes
from pipeline.engine.executors.threads import THREADS


def job_parameters(slurm: SlurmSection, name: str, at_once: int) -> dict[str, Any]:
    """Parameters of submitit's for jobs of this section. at_once: jobs of an array that run at a time; 0 for
    all.
    """
    given = {
        "job_name": name,
        "time": minutes(slurm.time),
        "partition": slurm.partition,
        "gres": slurm.gres,
        "account": slurm.account,
        "qos": slurm.qos,
        "constraint": slurm.constraint,
        "cpus_per_task": slurm.cpus,
        "signal_delay_s": slurm.signal_seconds,
        "mem": f"{round(slurm.memory_gb * 1000)}M" if slurm.memory_gb else "",
        "array_parallelism": at_once or slurm.array,
        "setup": [*(f"export {key}={value}" for key, value in THREADS.items()), *slurm.setup],
        "additional_parameters": {"requeue": True, **slurm.more},
        "stderr_to_stdout": True,
    }
    return {key: value for key, value in given.items() if value != ""}


def import_submitit() -> Any:
    """submitit, without what it does when it is imported: it configures logging, and that closes all handlers
    that there are, those of other libraries with stderr behind them.
    """
    configure = logging.config.dictConfig
    logging.config.dictConfig = lambda config: None
    try:
        import submitit
    finally:
        logging.config.dictConfig = configure
    return submitit


def script_of(
    slurm: SlurmSection, folder: Path, name: str, jobs: int, at_once: int, command: str = ""
) -> str:
    """The script that sbatch is given for an array of so many jobs, or for a single one.

    Args:
        slurm: how.
        folder: where the jobs log.
        name: of the jobs.
        jobs: how many; 1 is no array.
        at_once: jobs of an array that run at a time; 0 for all.
        command: what a job runs; empty: shards, through submitit.
    """
    import_submitit()
    from submitit.slurm.slurm import _make_sbatch_string

    parameters = job_parameters(slurm, name, at_once)
    count = jobs if jobs > 1 else None
    command = command or f"python -u -m submitit.core._submit {folder}"
    text: str = _make_sbatch_string(command=command, folder=folder, map_count=count, **parameters)
    return text
