"""Who does the shards: this process, worker processes, a Ray cluster, Slurm; one file each, found by their
registry.
"""

from pipeline.engine.executors.executor import Executor, check_place
from pipeline.engine.executors.threads import check_device, one_thread

__all__ = ["Executor", "check_device", "check_place", "one_thread"]
