"""The run that the tests of the report look at, its page, and what reads and edits its files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from manifests.atomic import write_json
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory
from pipeline.report import render
from tests.pipeline.report_page import Page
from tests.pipeline.report_run import make_run

SECTIONS = [
    "brief",
    "summary",
    "faces",
    "acceptance",
    "balance",
    "audit",
    "training",
    "roc",
    "cells",
    "curves",
    "calibration",
    "gaps",
    "errors",
    "datasets",
    "provenance",
]
GAPS = {
    "Gaps between perceived races": "race",
    "Gaps between perceived genders": "gender",
    "Gaps between cells (race x gender)": "cell",
}
CONFIG = Config.model_validate({"dataset": {"image_size": 32}, "report": {"columns": 2}})
SPLITS = {"train": 2, "val": 1, "test": 3}
Edit = Callable[[dict], None]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return make_run(tmp_path_factory.mktemp("report") / "run", CONFIG, splits=SPLITS)


@pytest.fixture(scope="module")
def html(run: RunDirectory) -> str:
    return render(run)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def copy(run: RunDirectory, tmp_path: Path) -> RunDirectory:
    """A copy of the run that a test may spoil."""
    shutil.copytree(run.root, tmp_path / "copy")
    return RunDirectory(tmp_path / "copy", run.config)


def load(run: RunDirectory, name: str) -> dict:
    return json.loads((run.root / name).read_text())


def edit(run: RunDirectory, name: str, change: Edit) -> None:
    value = load(run, name)
    change(value)
    write_json(run.root / name, value)


def numbers(cells: list) -> list[float | None]:
    """The exact value of each cell; None where it says n/a."""
    return [None if cell.text == "n/a" else float(cell.values[0]) for cell in cells]


def sheets(page: Page) -> list[dict]:
    """The contact sheets, which are pictures of several identities; those of errors show one."""
    return [img for img in page.all("img") if "identities perceived as" in img["alt"]]
