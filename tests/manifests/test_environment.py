"""The environment is read in one place, as a typed object; everything else asks that."""

import ast
from pathlib import Path

import pytest

from manifests.environment import environment
from manifests.errors import UsageError

ROOT = Path(__file__).parents[2]
OTHERS = {
    "pipeline/engine/executors/threads.py": "threads of libraries that are not imported yet",
    "pipeline/engine/executors/process.py": "which GPUs a worker sees",
    "pipeline/engine/executors/ray_pool.py": "handed on to workers of Ray",
    "pipeline/engine/executors/slurm_job.py": "which job of Slurm this is",
    "pipeline/engine/executors/slurm_pool.py": "handed on to jobs of Slurm",
    "pipeline/commands/look/opening.py": "handed on to a program that is started",
    "pipeline/commands/look/fiftyone_script.py": "a script by itself",
    "pipeline/commands/site/building.py": "set for mkdocs",
}
"""Files that touch the environment without heeding a variable of ours."""


def test_what_is_not_set_is_none(monkeypatch: pytest.MonkeyPatch):
    for name in (
        "FAIRFORGE_DATA",
        "FAIRFORGE_CACHE",
        "FAIRFORGE_WEIGHTS",
        "WORLD_SIZE",
        "RANK",
        "SLURM_JOB_ID",
    ):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", "/nobody")
    found = environment()
    assert (found.data, found.cache, found.photographs, found.processes) == (None, None, None, None)
    assert found.weights == Path("/nobody/.local/share/fairforge/weights")
    assert found.leads
    assert found.slurm_job is None


def test_every_variable_has_its_effect(tmp_path: Path):
    (tmp_path / "fairface128").mkdir()
    names = {
        "FAIRFORGE_DATA": str(tmp_path),
        "FAIRFORGE_CACHE": "c",
        "FAIRFORGE_WEIGHTS": "w",
        "WORLD_SIZE": "4",
        "RANK": "2",
        "SLURM_JOB_ID": "77",
    }
    found = environment(names)
    assert (found.data, found.cache, found.weights) == (tmp_path, Path("c"), Path("w"))
    assert (found.processes, found.rank, found.leads) == (4, 2, False)
    assert found.slurm_job == "77"
    assert found.photographs is None
    (tmp_path / "fairface128" / "dev.parquet").touch()
    assert environment(names).photographs == tmp_path / "fairface128" / "dev.parquet"


def test_a_number_that_is_none_is_said():
    with pytest.raises(UsageError, match="RANK: is 'first', no number"):
        environment({"RANK": "first"})


def reads(file: Path) -> bool:
    """Whether a file names the environment."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    )


def test_nothing_else_reads_it():
    files = [file for package in ("pipeline", "manifests") for file in (ROOT / package).rglob("*.py")]
    found = {file.relative_to(ROOT).as_posix() for file in files if reads(file)}
    assert found == {"manifests/environment.py", *OTHERS}
