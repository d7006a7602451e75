"""Fitted cells that are kept under a name, and cells that belong to another generator."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from generators.cells import CellModel
from generators.cells.belonging import check_fitted_to, check_taxonomy
from generators.checkpoints.files import save_generator
from manifests.errors import UsageError
from manifests.weights import catalogue, find_weight
from pipeline.__main__ import main
from pipeline.engine.config_file import load_config
from tests.generators.small_generators import small_generator
from tests.pipeline.conftest import SMALL


@pytest.fixture
def fit(small_run: Path) -> Path:
    return small_run / "cells" / "model.safetensors"


@pytest.fixture(autouse=True)
def own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    return tmp_path / "weights"


def imported(fit: Path, *more: str) -> int:
    return main(["weights", "import", str(fit), "--kind", "cells", "--licence", "CC0", *more])


def sample(out: Path, **sets: object) -> int:
    given = {**SMALL, "execute.executor": "local", "dataset.per_cell": 1, "dataset.only": '["White/Female"]'}
    flags = [part for key, value in {**given, **sets}.items() for part in ("--set", f"{key}={value}")]
    return main(["sample", "--out", str(out), "--quiet", *flags])


def test_cells_are_imported_and_drawn_from_by_name(
    fit: Path, own_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(fit, "--name", "mine", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (own_weights / "mine.safetensors").read_bytes() == fit.read_bytes()
    entry = tomllib.loads((own_weights / "weights.toml").read_text())["mine"]
    assert (entry["kind"], entry["licence"], entry["sha256"]) == ("cells", "CC0", told["sha256"])
    assert entry["data"] == "cells of fairface4, fitted to the generator starter64"
    assert main(["weights", "verify"]) == 0
    assert imported(fit, "--name", "mine") == 2
    for out, named in (("a", "mine"), ("b", str(fit))):
        assert sample(tmp_path / out, **{"sample.cell_model": named}) == 0
        assert not (tmp_path / out / "cells").exists()
    a, b = (pq.read_table(tmp_path / out / "sample" / "candidates.parquet") for out in "ab")
    assert a.num_rows
    assert a.equals(b)


def test_a_kept_fit_that_was_changed_is_refused(
    fit: Path, own_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(fit, "--name", "mine") == 0
    with open(own_weights / "mine.safetensors", "ab") as file:
        file.write(b"\0")
    assert sample(tmp_path / "a", **{"sample.cell_model": "mine"}) == 3
    assert "the catalogue says" in capsys.readouterr().err
    assert sample(tmp_path / "a", **{"sample.cell_model": "mne"}) == 3
    assert "did you mean mine" in capsys.readouterr().err
    assert not (tmp_path / "a" / "sample").exists()


def test_cells_of_another_generator_are_refused_before_anything_is_drawn(
    fit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_generator(tmp_path / "other.safetensors", small_generator(), {"licence": "CC0", "data": "none"})
    other = {"cells.generator": str(tmp_path / "other.safetensors")}
    assert sample(tmp_path / "a", **{"sample.cell_model": str(fit), **other}) == 2
    said = capsys.readouterr().err
    assert "was fitted to another generator" in said
    assert "fix: name that generator, or fit the cells of this one" in said
    assert "with sample.cell_model empty a run fits its own" in said
    assert not (tmp_path / "a" / "sample").exists()


def test_cells_of_another_taxonomy_are_refused_although_some_have_the_same_names(
    fit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seven = {"sample.cell_model": str(fit), "dataset.taxonomy": "fairface7"}
    assert sample(tmp_path / "a", **seven) == 2
    assert "has cells of fairface4, and dataset.taxonomy is fairface7" in capsys.readouterr().err
    assert not (tmp_path / "a" / "sample").exists()


def test_what_belongs_is_told_by_the_digest(fit: Path) -> None:
    cells = CellModel.load(fit)
    check_fitted_to(cells, "x", cells.generator_sha256)
    with pytest.raises(UsageError, match="x: was fitted"):
        check_fitted_to(cells, "x", "0" * 64)


@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_what_is_no_cell_model_is_not_imported(
    content: bytes | None, fit: Path, own_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cells.safetensors"
    if content is None:
        save_generator(file, small_generator(), {"licence": "CC0", "data": "none"})
    else:
        file.write_bytes(content)
    assert imported(file) == 3
    assert "fix: " in capsys.readouterr().err
    assert not own_weights.exists()


def test_shipped_cells_belong_to_what_the_shipped_configurations_draw_with() -> None:
    named = set()
    for path in sorted((Path(__file__).parents[2] / "configs").glob("*.toml")):
        config = load_config(path)
        if config.sample.cell_model:
            cells = CellModel.load(find_weight(config.sample.cell_model, "cells").path)
            check_fitted_to(cells, path.name, find_weight(config.cells.generator, "generator").sha256)
            check_taxonomy(cells, path.name, config.dataset.taxonomy)
            named.add(config.sample.cell_model)
    assert named == set(catalogue("cells"))
