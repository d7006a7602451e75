"""The tutorial's commands, run in their order on a small run; what differs from the page is named in
`SMALLER`.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from manifests import read_manifest
from tests.documents.command_lines import FENCED, ROOT, lines_of
from tests.pipeline.conftest import command, environment, small_run  # noqa: F401

TUTORIAL = ROOT / "docs" / "tutorial.md"
LEAST = {
    "doctor",
    "plan",
    "run",
    "status",
    "contact-sheet",
    "inspect",
    "fairness",
    "compare",
    "check-release",
}
SHELL = {"make install", "source .venv/bin/activate"}
"""Lines that this test's own environment stands for."""
SMALLER = {"--config configs/demo.toml": "", "inspect 002c": "inspect {image_id}"}
"""Of the page: of the run that is there already, small; the first digits of one of its images."""


def commands() -> list[str]:
    """Every line of the tutorial's shell blocks, in order."""
    blocks = FENCED.findall(TUTORIAL.read_text(encoding="utf-8"))
    return [line for block in blocks for line in block.split("\n") if line and line not in SHELL]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_run: Path) -> Path:  # noqa: F811
    """A folder with the configurations, and the small run as runs/first."""
    place = tmp_path_factory.mktemp("tutorial")
    shutil.copytree(ROOT / "configs", place / "configs")
    shutil.copytree(small_run, place / "runs" / "first")
    return place


def run_line(line: str, folder: Path) -> str:
    """Run one line of the tutorial, smaller; what it printed."""
    image_id = read_manifest(folder / "runs" / "first" / "dataset" / "manifest.parquet")["image_id"][
        0
    ].as_py()
    for long, short in SMALLER.items():
        line = line.replace(long, short.format(image_id=image_id[:6]))
    words = line.split()
    if words[0] == "cp":
        shutil.copyfile(folder / words[1], folder / words[2])
        return ""
    done = subprocess.run(
        command(words[1:]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def test_its_commands_run_in_their_order(folder: Path):
    lines = commands()
    assert {line.split()[1] for line in lines if line.startswith("fairforge ")} == LEAST
    assert [line for line in lines if not line.startswith(("fairforge ", "cp "))] == []
    assert all(any(long in line for line in lines) for long in SMALLER)
    printed = {line: run_line(line, folder) for line in lines}
    assert (folder / "runs" / "first-sheet.png").is_file()
    plans = [text for line, text in printed.items() if " plan " in line]
    assert re.search(r"(?m)^train +stale +config\.train\.loss 'multi-task' -> 'daw-fdd'$", plans[-1])
    assert re.search(r"(?m)^cross/pair +done", plans[-1])
    table = next(text for line, text in printed.items() if " fairness " in line)
    assert re.search(r"(?m)^test: \d+ rows, AUC ", table)
    assert re.search(r"(?m)^\| race \| F_FPR \| ", table)
    difference = next(text for line, text in printed.items() if " compare " in line)
    assert re.search(r"(?m)^\| race \| F_FPR \| ", difference)
    assert (
        next(text for line, text in printed.items() if "check-release" in line).strip()
        == "runs/first/release/data: whole"
    )


def test_what_it_shows_has_the_form_of_what_the_program_prints():
    text = TUTORIAL.read_text(encoding="utf-8")
    shown = "\n".join(re.findall(r"(?ms)^```text\n(.*?)^```", text))
    assert len(re.findall(r"(?m)^\w+ +finished +\d+ shards  ", shown)) >= 5
    assert "PLACEHOLDER" not in text
    assert len(list(lines_of(TUTORIAL))) >= len(LEAST)
