"""The notebook runs from its first cell to its last, and says what its text says."""

import re
import warnings
from pathlib import Path

import pytest

from tests.documents.command_lines import ROOT

NOTEBOOK = ROOT / "docs" / "notebooks" / "fairness-of-your-scores.ipynb"
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
DRAWN = 0.05
"""What other draws of a null or of an interval may change: rates, gaps and their p."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """What each cell printed: in the file, and now."""
    import nbformat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's connection, which is nobody's here
        from nbclient import NotebookClient

        book = nbformat.read(NOTEBOOK, as_version=4)
        kept = [_text(cell) for cell in book.cells if cell.cell_type == "code"]
        folder = tmp_path_factory.mktemp("notebook")
        NotebookClient(book, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return kept, [_text(cell) for cell in book.cells if cell.cell_type == "code"]


def _text(cell) -> str:
    parts = [
        one.get("text") or one["data"].get("text/markdown") or one["data"]["text/plain"]
        for one in cell.outputs
    ]
    return "".join(parts).strip()


def test_it_prints_what_the_site_shows(outputs: tuple[list[str], list[str]]):
    kept, now = outputs
    assert len(now) == 7
    for before, after in zip(kept, now, strict=True):
        assert NUMBER.sub("#", after) == NUMBER.sub("#", before)
        figures = [[float(one) for one in NUMBER.findall(text)] for text in (after, before)]
        assert figures[0] == pytest.approx(figures[1], abs=DRAWN), (
            "run the notebook again and keep its outputs"
        )


def test_its_table_shows_the_gap_that_was_put_there(outputs: tuple[list[str], list[str]]):
    table = outputs[1][3]
    race = next(line for line in table.split("\n") if line.startswith("| race | F_FPR"))
    value, interval, _, p, detectable = (cell.strip() for cell in race.strip("|").split("|")[2:])
    assert float(value) > float(detectable)
    assert float(interval.split(" to ")[0]) > 0
    assert float(p) < 0.01
    gender = next(line for line in table.split("\n") if line.startswith("| gender | F_FPR"))
    assert float(gender.strip("|").split("|")[5]) > 0.05


def test_it_holds_nothing_of_the_machine_it_was_written_on():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not [
        word
        for word in ("/home/", "/root/", "/tmp/", "/work/", str(Path.home()), "Traceback")
        if word in text
    ]
