"""Pieces of the report by themselves: contact sheets, markup, ticks."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manifests.errors import MissingError, UsageError
from manifests.images import read_image
from pipeline.engine.config import Config
from pipeline.report.contact_sheet import choose, grid, pairs_of, sheet_png
from pipeline.report.markup import Html, join, tag
from pipeline.report.svg import ticks
from tests.pipeline.report_run import write_dataset

CONFIG = Config.model_validate({"dataset": {"image_size": 32}})
METHODS = ("swap-delaunay", "blend-self", "reenact-warp")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sheets") / "dataset"
    write_dataset(CONFIG, folder, {"train": 2, "test": 3}, "jpeg")
    return folder


def test_contact_sheets_are_drawn_by_seed_not_by_order(dataset: Path):
    folder, cell = dataset, "Black/Female"
    pairs = pairs_of(folder)[cell]
    methods = METHODS
    chosen = choose(pairs, methods, 2, 1, cell)
    assert chosen == choose(dict(reversed(pairs.items())), methods, 2, 1, cell)
    assert all(set(pair) == {"none", *methods} for pair in chosen)
    draws = {tuple(p["none"] for p in choose(pairs, methods, 2, seed, cell)) for seed in range(20)}
    assert len(draws) > 2
    image = grid(folder, chosen, ["none", *methods], 32)
    assert np.array_equal(image[:32, 34:66], read_image(folder / chosen[1]["none"]))
    assert np.array_equal(image[102:134, :32], read_image(folder / chosen[0]["reenact-warp"]))


def test_sheet_png_of_a_whole_dataset(dataset: Path, tmp_path: Path):
    cells, methods = CONFIG.dataset.cells, METHODS
    data = sheet_png(dataset, cells, methods, 2, 5)
    shutil.copytree(dataset, tmp_path / "elsewhere")
    assert sheet_png(tmp_path / "elsewhere" / "manifest.parquet", cells, methods, 2, 5) == data
    image = np.array(Image.open(io.BytesIO(data)))
    pairs = choose(pairs_of(dataset)[cells[0]], methods, 2, 5, cells[0])
    block = grid(dataset, pairs, ["none", *methods], 32)
    height, width = block.shape[:2]
    places = np.argwhere((image[: -height + 1, : -width + 1] == block[0, 0]).all(2))
    assert any(np.array_equal(image[y : y + height, x : x + width], block) for y, x in places)
    with pytest.raises(UsageError, match="no pair in the manifest"):
        sheet_png(dataset, ["Martian/Male"], methods, 2, 5)
    with pytest.raises(UsageError, match="needs a cell and a column"):
        sheet_png(dataset, cells, methods, 0, 5)
    with pytest.raises(MissingError):
        sheet_png(tmp_path / "nowhere", cells, methods, 2, 5)


def test_markup_escapes_all_that_is_not_markup():
    assert tag("p", "<b>", class_='"x"') == '<p class="&quot;x&quot;">&lt;b&gt;</p>\n'
    assert tag("a", Html("<b>") + "<i>") == "<a>&lt;b&gt;&lt;i&gt;</a>"
    assert join(["<", Html("<br>")], "&") == "&lt;&amp;<br>"
    assert tag("br", open=True, hidden=False) == "<br open>"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.0, 7.3, (0.0, 2.0, 4.0, 6.0)),
        (3.0, 3.0, (3.0,)),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert ticks(low, high) == expected
