"""A Slurm of one machine for tests: `sbatch`, `srun`, `squeue`, `sacct` and `scancel` on PATH (`install`).

Jobs are processes; `--array` and `--dependency=afterany` of a script's head are honoured. A file a job below
`FAKE_SLURM` says how it is; `scripts` has what sbatch was given.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("sbatch", "srun", "squeue", "sacct", "scancel")
GOING = ("PENDING", "RUNNING")


def install(folder: Path) -> dict[str, str]:
    """Put the commands below a folder; the variables of the environment that find them."""
    (folder / "bin").mkdir(parents=True)
    (folder / "jobs").mkdir()
    for name in NAMES:
        file = folder / "bin" / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        file.chmod(0o755)
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(folder / "jobs")}


def states(folder: Path) -> dict[str, str]:
    """How each job is, by its id."""
    return {path.stem: path.read_text() for path in sorted((folder / "jobs").glob("*.state"))}


def settle(folder: Path, seconds: float = 240) -> None:
    """Wait until no job is waiting or at work."""
    deadline = time.monotonic() + seconds
    while any(state in GOING for state in states(folder).values()):
        assert time.monotonic() < deadline, states(folder)
        time.sleep(0.1)


def _place() -> Path:
    return Path(os.environ["FAKE_SLURM"])


def _say(state: Path, word: str) -> None:
    """Write how a job is, whole at once: who read a file half written would take the job for ended."""
    half = state.with_suffix(f".{os.getpid()}")
    half.write_text(word)
    half.replace(state)


def _options(script: str) -> dict[str, str]:
    found = re.findall(r"^#SBATCH --([\w-]+)(?:[= ](.*))?$", script, re.M)
    return {name: value.strip() for name, value in found}


def sbatch(words: list[str]) -> None:
    script = Path(next(word for word in words if not word.startswith("-")))
    number = len(list(_place().glob("*.state"))) + 1
    state = _place() / f"{number}.state"
    _say(state, "PENDING")
    (_place() / f"{number}.sh").write_text(script.read_text())
    subprocess.Popen(
        [sys.executable, __file__, "_work", str(number)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    print(number if "--parsable" in words else f"Submitted batch job {number}")


def _work(words: list[str]) -> None:
    """The jobs of a script, once those are through that it depends on."""
    number = words[0]
    script, state = _place() / f"{number}.sh", _place() / f"{number}.state"
    options = _options(script.read_text())
    if kind := options.get("dependency"):
        before = _place() / f"{kind.removeprefix('afterany:')}.state"
        while before.read_text() in GOING:
            time.sleep(0.05)
    _say(state, "RUNNING")
    array = re.match(r"0-(\d+)", options.get("array", ""))
    codes = [_one(script, number, options, k) for k in (range(int(array[1]) + 1) if array else [None])]
    _say(state, "FAILED" if any(codes) else "COMPLETED")


def _one(script: Path, number: str, options: dict[str, str], task: int | None) -> int:
    own = {"SLURM_JOB_ID": number if task is None else f"{number}000{task}", "SLURM_NTASKS": "1"}
    own |= {"SLURM_JOB_NUM_NODES": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    own |= {"SLURM_JOB_NODELIST": "here"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    if task is not None:
        own |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(task)}
    environment = {**inherited, **own}
    name = options["output"].replace("%A", number).replace("%a", str(task)).replace("%j", number)
    with Path(name).open("ab") as out:
        return subprocess.run(
            ["bash", str(script)],
            env=environment,
            cwd=options.get("chdir"),
            stdout=out,
            stderr=out,
            check=False,
        ).returncode


def srun(words: list[str]) -> None:
    out = None
    while words[0].startswith("--"):
        word = words.pop(0)
        if word in ("--output", "--error"):
            out = words.pop(0) if word == "--output" else out or words.pop(0)
    job, task = os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_ARRAY_TASK_ID", "")
    job = os.environ.get("SLURM_ARRAY_JOB_ID", job)
    file = (out or "/dev/null").replace("%A", job).replace("%a", task).replace("%j", job).replace("%t", "0")
    with Path(file).open("ab") as stream:
        sys.exit(subprocess.run(words, stdout=stream, stderr=stream, check=False).returncode)


def squeue(words: list[str]) -> None:
    state = (_place() / f"{words[words.index('--jobs') + 1]}.state").read_text()
    print(state if state in GOING else "", end="")


def sacct(words: list[str]) -> None:
    print("JobID|State|NodeList")
    for path in _place().glob("*.state"):
        print(f"{path.stem}|{path.read_text()}|here")


def scancel(words: list[str]) -> None:
    for word in words:
        _say(_place() / f"{word}.state", "CANCELLED")


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2:])
