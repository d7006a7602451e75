"""`cells.looks`: draws look as they are asked to; `measure-looks` writes what photographs look like."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from attribute_models.quality import looks
from generators import load_generator
from generators.cells import CellModel
from generators.cells.looks import MEASURES
from generators.sampling import synthesize
from manifests.errors import GateError, UsageError
from manifests.images import decode, encode
from manifests.taxonomy import get_taxonomy
from pipeline.__main__ import main
from pipeline.commands.generators.photograph_looks import LEAST, measure_looks
from pipeline.engine.config import Config
from pipeline.engine.config_cells import LooksSection
from tests.pipeline.test_cell_cache import FIT

CELLS = ("White/Female", "Asian/Female")
ALL = get_taxonomy("fairface4").cells


def test_the_keys_are_the_measures():
    assert tuple(LooksSection.model_fields) == MEASURES


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CellModel]:
    """Fits that differ in what is asked of brightness."""
    asked = {
        "free": [],
        "dark": ['cells.looks.brightness={"White/Female"=[80, 12], "Asian/Female"=[95, 12]}'],
        "bright": ['cells.looks.brightness={"White/Female"=[130, 12], "Asian/Female"=[145, 12]}'],
        "own": ["cells.looks.brightness=own"],
    }
    root = tmp_path_factory.mktemp("looks")
    sets = [part for key, value in FIT.items() for part in ("--set", f"{key}={value}")]
    sets += ["--set", "cells.refine_draws=24"]
    for name, more in asked.items():
        own = [part for text in more for part in ("--set", text)]
        assert main(["fit-cells", "--out", str(root / name), "--quiet", *sets, *own]) == 0
    return {name: CellModel.load(root / name / "cells" / "model.safetensors") for name in asked}


def brightness(model: CellModel, cell: str) -> float:
    images = synthesize(load_generator("starter64"), model.sample(cell, range(40)))
    return float(np.mean([looks(image)[0] for image in images]))


def test_a_fit_draws_as_bright_as_it_is_asked(fits: dict[str, CellModel]):
    for name, wanted in (("dark", (80, 95)), ("bright", (130, 145))):
        for cell, value in zip(CELLS, wanted, strict=True):
            assert brightness(fits[name], cell) == pytest.approx(value, abs=9), (name, cell)
    assert fits["free"].looks is None
    assert fits["own"].looks is not None
    for cell in CELLS:
        assert brightness(fits["own"], cell) == pytest.approx(fits["own"].looks.wanted[cell][0, 0], abs=9)


def test_what_is_unused_is_not_in_the_key_and_what_is_used_is():
    plain = Config().model_dump()["cells"]
    assert "looks" not in plain
    own = Config.model_validate({"cells": {"looks": {"brightness": "own"}}}).model_dump()["cells"]
    assert own["looks"]["brightness"] == "own"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"White/Male": (90, 10)}, "lacks White/Female"),
        ({**dict.fromkeys(ALL, (90, 10)), "Green/Male": (90, 10)}, "names Green/Male"),
        (dict.fromkeys(ALL, (90, 0)), "greater than 0"),
        ("bright", "own"),
    ],
)
def test_odd_looks_are_refused(value: object, why: str):
    with pytest.raises(ValidationError, match=why):
        Config.model_validate({"cells": {"looks": {"brightness": value}}})


def faces(path: Path, per_cell: int, side: int = 40) -> Path:
    """Parquet of faces; each next cell is brighter, and has finer noise."""
    rng, rows = np.random.default_rng(0), []
    for k, cell in enumerate(ALL):
        race, gender = cell.split("/")
        race = {"Asian": "East Asian"}.get(race, race)
        for i in range(per_cell):
            pixels = rng.normal(60 + 12 * k, 4 + k, (side, side, 1)).clip(0, 255).astype(np.uint8)
            picture = encode(np.repeat(pixels, 3, axis=2), "png")
            rows.append(
                {
                    "file": f"{k}-{i}",
                    "race": race,
                    "gender": gender,
                    "age": "20-29",
                    "image": picture,
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_photographs_are_measured_as_a_configuration_wants_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data, out = faces(tmp_path / "f.parquet", LEAST), tmp_path / "looks.toml"
    assert main(["measure-looks", "--data", str(data), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    values = tomllib.loads(out.read_text())
    assert tomllib.loads(printed) == values
    found = Config.model_validate(values).cells.looks
    assert found.contrast == "free"
    assert isinstance(found.brightness, dict)
    for k, cell in enumerate(ALL):
        assert found.brightness[cell][0] == pytest.approx(60 + 12 * k, abs=2)
    assert main(["measure-looks", "--data", str(data), "--json"]) == 0
    stored = json.loads(capsys.readouterr().out)
    assert stored["resolution"] == 40
    sharpness = stored["looks"]["sharpness"]
    assert sharpness == values["cells"]["looks"]["sharpness"]
    laplacian = np.log1p([looks(image)[2] for image in pictures_of(data, ALL[3])])
    assert sharpness[ALL[3]] == pytest.approx([laplacian.mean(), laplacian.std()], abs=1e-3)


def pictures_of(path: Path, cell: str) -> list[np.ndarray]:
    index = str(ALL.index(cell))
    rows = pq.read_table(path).to_pylist()
    return [decode(row["image"]) for row in rows if row["file"].startswith(f"{index}-")]


def test_several_files_count_together_and_sides_as_asked(tmp_path: Path):
    one, two = (faces(tmp_path / f"{n}.parquet", LEAST // 2) for n in "ab")
    value, _ = measure_looks([one, two], ["brightness"], resolution=16)
    assert value["photographs"] == dict.fromkeys(ALL, LEAST)
    assert list(value["looks"]) == ["brightness"]
    assert value["resolution"] == 16
    with pytest.raises(GateError, match=f"White/Male has {LEAST // 2}"):
        measure_looks([one])


def test_pictures_that_cannot_be_read_are_counted(tmp_path: Path):
    table = pq.read_table(faces(tmp_path / "f.parquet", LEAST + 1))
    rows = table.to_pylist()
    rows[0]["image"], rows[LEAST + 1]["image"] = b"no picture", rows[1]["image"][:40]
    odd = tmp_path / "two\nlines.parquet"
    pq.write_table(pa.Table.from_pylist(rows), odd)
    value, text = measure_looks([odd], ["contrast"])
    assert value["unreadable"] == 2
    assert value["photographs"][ALL[0]] == value["photographs"][ALL[1]] == LEAST
    assert "2 more cannot be read" in text.splitlines()[0]
    assert set(tomllib.loads(text)["cells"]["looks"]["contrast"]) == set(ALL)


def test_what_cannot_be_measured_is_named(tmp_path: Path):
    data = faces(tmp_path / "f.parquet", 2)
    with pytest.raises(UsageError, match="warmth"):
        measure_looks([data], ["brightness", "warmth"])
    with pytest.raises(UsageError, match="no race and gender"):
        measure_looks([tmp_path])
    assert main(["measure-looks", "--data", str(data), "--taxonomy", "nothing"]) == 2
