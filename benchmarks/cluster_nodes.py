"""A Ray cluster of several nodes on this machine, in a process of its own, for tests and
`benchmarks.cluster`.

    with Nodes(3) as nodes:
        ...                      # nodes.address
        nodes.kill()             # one of the nodes, with what runs on it, as when a machine loses its power
        nodes.add()

The process that keeps the nodes ends them when its stdin closes, however the one that asked for them ended.
The head has no CPU for shards: the command that uses the cluster joins it there, and outlives every node
that is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "PYTHONWARNINGS": "ignore"}
FAST = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 8,
    "enable_worker_prestart": False,
    "prestart_worker_first_driver": False,
    "worker_niceness": 0,
}
"""A dead node is noticed after seconds."""


def keep(count: int) -> None:
    """Start a head and so many nodes of one CPU, then do what stdin says, one word a line, until it ends;
    answers are JSON lines.
    """
    from ray.cluster_utils import Cluster

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "_system_config": FAST,
            "object_store_memory": 80 * 2**20,
        },
    )
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        print(json.dumps({"address": cluster.address}), file=answers, flush=True)
        for line in sys.stdin:
            word, _, name = line.strip().partition(" ")
            if word == "kill":
                nodes = sorted(cluster.worker_nodes, key=lambda one: one.node_id)
                node = next((one for one in nodes if name and _runs(one, int(name))), nodes[0])
                cluster.remove_node(node, allow_graceful=False)
                answer = {"killed": node.node_id}
            else:
                answer = {"added": cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20).node_id}
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        cluster.shutdown()


def _runs(node: Any, worker: int) -> bool:
    """Whether a worker process is one of a node's."""
    try:
        parent = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return False
    return any(info.process.pid == parent for infos in node.all_processes.values() for info in infos)


class Nodes:
    """A cluster while the `with` block lasts; `address` is what `--ray-address` takes."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.address = ""
        self._keeper: Any = None
        self._log: Any = None

    def __enter__(self) -> Nodes:
        self._log = tempfile.TemporaryFile("w+")
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cluster_nodes", str(self.count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
            env={**os.environ, **QUIET},
        )
        self.address = self._answer()["address"]
        return self

    @property
    def process(self) -> int:
        """The process that keeps the nodes; it and they are one session."""
        return int(self._keeper.pid)

    def _answer(self) -> dict[str, str]:
        line = self._keeper.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"the cluster ended: {self._log.read()[-3000:]}")
        answer: dict[str, str] = json.loads(line)
        return answer

    def _say(self, words: str) -> dict[str, str]:
        print(words, file=self._keeper.stdin, flush=True)
        return self._answer()

    def kill(self, worker: int | None = None) -> str:
        """Kill the node on which a worker process runs, or any one; returns its id."""
        return self._say(f"kill {worker or ''}")["killed"]

    def add(self) -> str:
        """Start one more node; returns its id."""
        return self._say("add")["added"]

    def __exit__(self, *_: object) -> None:
        keeper = self._keeper
        if keeper is None:
            return
        keeper.stdin.close()
        try:
            keeper.wait(timeout=60)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()
        deadline = time.monotonic() + 20
        while (left := ray_processes(keeper.pid)) and time.monotonic() < deadline:
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.1)
        keeper.stdout.close()
        self._log.close()


def ray_processes(session: int) -> list[int]:
    """Processes of a session that are still there (none where a cluster ended as it should)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    keep(int(sys.argv[1]))
