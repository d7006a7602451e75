"""Executor `ray`: workers on a Ray cluster, one that runs already or one on this machine.

A worker is an actor: it keeps its models between shards, and is given a shard when it has nothing to do, so
that a lost worker, or machine, loses at most the shard that it was at, which another one begins again.
"""

from __future__ import annotations

import io
import os
import secrets
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.atomic import make_folder, write_text
from manifests.errors import DataWarning, MissingError, PartialError, UsageError
from manifests.escaping import one_line
from manifests.registry import Need
from pipeline.engine.executors.ray_worker import Worker, look
from pipeline.engine.executors.registry import EXECUTORS, Lost, Pool, PoolParams
from pipeline.engine.executors.settled import Settled
from pipeline.engine.executors.threads import THREADS

TICK = 2.0
"""Seconds after which it is looked whether machines came or went."""
GIGABYTE = 10**9
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_worker_niceness": "0"}
"""Nothing is told to anybody, and the workers of a cluster that is started here have their share of it."""


class _FirstLines(io.TextIOBase):
    """Where Ray's own messages go, which it prints on stdout: stderr, each by its first line. stdout belongs
    to results.
    """

    def write(self, text: str) -> int:
        first, end, _ = text.partition("\n")
        sys.stderr.write(one_line(first) + end)
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


@dataclass
class _Work:
    """A map that is being done: what is left, what flies by which worker, how often each task was lost."""

    left: deque[Any]
    flying: dict[Any, tuple[Any, Any]] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)


@EXECUTORS.register("ray", family="cluster", params=PoolParams, needs=(Need("ray", "ray"),), remote=True)
class RayPool(Pool):
    """Workers on a Ray cluster; one is started on this machine where no address is given."""

    remote = True

    def __init__(self, params: PoolParams) -> None:
        super().__init__(params)
        self._ours = False
        self._stdout: Any = None
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._actors: set[Any] = set()
        self._token: tuple[Path, str] | None = None

    # --- The cluster ---

    @property
    def _shape(self) -> dict[str, float]:
        """What a worker reserves, by Ray's names."""
        ray = self.execute.ray
        gpus = ray.gpus_per_worker or (1.0 if self.execute.device.startswith("cuda") else 0.0)
        shape = {"CPU": ray.cpus_per_worker, "GPU": gpus, "memory": ray.memory_gb * GIGABYTE}
        return {name: amount for name, amount in shape.items() if amount > 0}

    def _connect(self) -> Any:
        """The module `ray`, joined to the cluster.

        Raises:
            MissingError: nothing answers at the address.
        """
        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        import ray

        if self._stdout is None:
            self._stdout, sys.stdout = sys.stdout, _FirstLines()
        if ray.is_initialized():
            return ray
        address = self.execute.ray.address
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
        try:
            if address:
                ray.init(address=address, **quiet)
            else:
                cores = max(self.execute.cluster_workers, os.cpu_count() or 1)
                ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
        except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
            raise MissingError(
                f"the Ray cluster {address or 'on this machine'}",
                f"cannot be joined ({str(error).strip().splitlines()[0]})",
                "start one with `ray start --head`, and give its address by --ray-address",
            ) from error
        self._ours = True
        return ray

    def _rooms(self, ray: Any) -> list[tuple[dict[str, Any], int]]:
        """The nodes that live, each with how many workers fit on it."""
        out = []
        for node in ray.nodes():
            if node["Alive"]:
                fits = [
                    int(node["Resources"].get(name, 0) / amount + 1e-6)
                    for name, amount in self._shape.items()
                ]
                out.append((node, min(fits, default=1)))
        return out

    @property
    def workers(self) -> int:
        import ray

        room = sum(count for _, count in self._rooms(ray)) if ray.is_initialized() else 0
        most = self.execute.cluster_workers
        return max(1, min(room, most) if room and most else room or most)

    def check(self) -> None:
        """Whether the cluster is there, has room for a worker, and sees the run folder on every node that
        has.

        Raises:
            MissingError: no cluster, or no room. UsageError: a node does not see the run folder.
        """
        ray = self._connect()
        rooms = [node for node, count in self._rooms(ray) if count]
        if not rooms:
            wanted = ", ".join(f"{amount:g} {name}" for name, amount in self._shape.items())
            raise MissingError(
                "the Ray cluster",
                f"has no machine with room for a worker ({wanted})",
                "lower execute.ray.cpus_per_worker, --gpus-per-worker or execute.ray.memory_gb, or add "
                "machines",
            )
        if self.root is None:
            return
        path, token = self._put_token(self.root)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        ask = ray.remote(num_cpus=0, max_retries=1, runtime_env=_environment())(look)
        asked = {
            ask.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(str(path), token): node
            for node in rooms
        }
        ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=self.execute.ray.wait)
        for one in late:
            raise MissingError(f"the Ray node {_name_of(asked[one])}", "does not answer", "see `ray status`")
        for one in ready:
            with suppress(ray.exceptions.RayError):  # it left just now
                self._check_seen(_name_of(asked[one]), ray.get(one)[1])

    def _put_token(self, root: Path) -> tuple[Path, str]:
        """A file in the run folder that every node must see."""
        if self._token is None:
            token = secrets.token_hex(16)
            path = make_folder(root).absolute() / f".shared-{token[:8]}"
            write_text(path, token)
            self._token = path, f"{token}\n"
        return self._token

    def _check_seen(self, host: str, seen: bool) -> None:
        if not seen:
            raise UsageError(
                f"run folder {self.root}",
                f"is not there, or is another one, on the Ray node {host}",
                "give an --out on a file system that every machine of the cluster has at the same path",
            )

    # --- Work ---

    def _start_worker(self, ray: Any) -> None:
        """Ask for one more worker; it is given its first shard when it has found its place."""
        shape = dict(self._shape)
        options = {
            "num_cpus": shape.pop("CPU", 0),
            "num_gpus": shape.pop("GPU", 0),
            "memory": int(shape.pop("memory", 0)) or None,
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": "SPREAD",
            "runtime_env": _environment(),
        }
        actor = ray.remote(Worker).options(**options).remote(os.getcwd())
        path, token = self._token or ("", "")
        self._actors.add(actor)
        self._starting[actor.look.remote(str(path), token)] = actor

    def _fill(self, ray: Any, work: _Work) -> None:
        """Give idle workers their shards, and ask for as many workers as there is room and use for."""
        while self._idle and work.left:
            actor, task = self._idle.pop(), work.left.popleft()
            work.flying[actor.do.remote(*task)] = (actor, task)
        if work.left:
            wanted = min(self.workers, len(work.flying) + len(work.left))
            for _ in range(wanted - len(self._actors)):
                self._start_worker(ray)

    def map(
        self, call: Callable[[Any], Any], tasks: Sequence[Any], lost: Lost | None = None
    ) -> Iterator[Any]:
        ray = self._connect()
        work = _Work(deque((call, task) for task in tasks))
        failed: BaseException | None = None
        heard = time.monotonic()
        try:
            while work.flying or (work.left and failed is None):
                if failed is None:
                    self._fill(ray, work)
                ready, _ = ray.wait([*work.flying, *self._starting], timeout=TICK)
                heard = time.monotonic() if ready or work.flying else heard
                if time.monotonic() - heard > self.execute.ray.wait:
                    raise PartialError(
                        "the Ray cluster",
                        f"found no place for a worker in {self.execute.ray.wait} s; finished shards are kept",
                        "see `ray status`; run the same command again when there is room",
                    )
                for one in ready:
                    settled = yield from self._landed(ray, work, one, lost)
                    if settled is not None and settled.error is not None:
                        failed = failed or settled.error
                    elif settled is not None:
                        yield settled.value
        finally:
            for actor, _ in work.flying.values():  # an error, or nobody asks for the rest
                self._drop(ray, actor)
        if failed is not None:
            raise failed

    def _landed(
        self, ray: Any, work: _Work, one: Any, lost: Lost | None
    ) -> Generator[Any, None, Settled | None]:
        """What a reference came to; None for a worker that has started, or was lost (with what stands for
        its task, if anything).
        """
        actor, task = (self._starting.pop(one), None) if one in self._starting else work.flying.pop(one)
        try:
            value = ray.get(one)
        except ray.exceptions.RayError as error:
            self._drop(ray, actor)
            if task is not None:
                yield from self._lose(work, task, error, lost)
            return None
        self._idle.append(actor)
        if task is not None:
            return value  # type: ignore[no-any-return]
        if self._token:
            self._check_seen(*value)
        return None

    def _drop(self, ray: Any, actor: Any) -> None:
        self._actors.discard(actor)
        with suppress(Exception):
            ray.kill(actor)

    def _lose(self, work: _Work, task: Any, error: BaseException, lost: Lost | None) -> Iterator[Any]:
        """A worker is gone: its shard is begun again by another, or given up."""
        why = str(error).strip().splitlines()[0]
        warnings.warn(
            f"a Ray worker was lost ({why}); what it was at is begun again", DataWarning, stacklevel=2
        )
        key = id(task[1])
        work.tries[key] = work.tries.get(key, 0) + 1
        if work.tries[key] <= self.execute.ray.retries:
            work.left.appendleft(task)
        elif lost is not None:
            yield lost(task[1], f"its worker was lost {work.tries[key]} times (out of memory?): {why}")
        else:
            raise PartialError(
                "a Ray worker",
                f"was lost {work.tries[key]} times at the same task: {why}; finished shards are kept",
                "see `ray status` and the workers' memory, then run the same command again",
            )

    def release(self) -> None:
        if not self._actors:
            return
        import ray

        for actor in list(self._actors):
            self._drop(ray, actor)
        self._idle.clear()
        self._starting.clear()

    def close(self, *, interrupted: bool) -> None:
        self.release()
        if self._token is not None:
            with suppress(OSError):
                self._token[0].unlink(missing_ok=True)
            self._token = None
        if self._ours:
            import ray

            ray.shutdown()
            self._ours = False
        if self._stdout is not None:
            sys.stdout, self._stdout = self._stdout, None


def _environment() -> dict[str, Any]:
    """The environment of workers: one thread, and the program's own variables. The same for all, so that Ray
    keeps processes.
    """
    own = {name: value for name, value in os.environ.items() if name.startswith("FAIRFORGE_")}
    return {"env_vars": {**THREADS, **own}}


def _name_of(node: dict[str, Any]) -> str:
    """A node as people know it."""
    return f"{node.get('NodeManagerHostname', '?')} ({node.get('NodeManagerAddress', '?')})"
