"""Flags of `fit-cells` and `sample`: each is the `--set` that its help names; wrong ones are refused before
any work.
"""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from manifests.errors import GateError
from pipeline.__main__ import main
from pipeline.engine.config import Config
from pipeline.engine.config_file import load_config
from pipeline.engine.runner import select
from pipeline.stages.sample.stage import SampleStage


def planned(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The stages that a call would run."""
    assert main([*arguments, "--dry-run"]) == 0
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Configurations of the calls, which do nothing else."""
    seen: list[Config] = []
    monkeypatch.setattr(
        "pipeline.cli.cell_commands.perform", lambda shared, *_, **__: seen.append(shared.run().config)
    )
    return seen


def test_every_flag_is_its_key(tmp_path: Path, resolved: list[Config]):
    out = ["--out", str(tmp_path / "r"), "--quiet"]
    assert (
        main(
            [
                "sample",
                *out,
                "--generator",
                "g",
                "--taxonomy",
                "fairface7-ages",
                "--per-cell",
                "5000",
                "--strategy",
                "search",
                "--only",
                "Black-Female-20-39",
                "--only",
                "East Asian/Male/60+",
                "--cell-model",
                "m.safetensors",
            ]
        )
        == 0
    )
    assert main(["sample", *out, "--counterfactual", "--set", "dataset.per_cell=7"]) == 0
    assert main(["sample", *out, "--independent"]) == 0
    assert (
        main(["fit-cells", *out, "--generator", "g", "--taxonomy", "fairface7", "--strategy", "rejection"])
        == 0
    )
    drawn, sets, single, fitted = resolved
    assert (drawn.cells.generator, drawn.dataset.taxonomy, drawn.dataset.per_cell) == (
        "g",
        "fairface7-ages",
        5000,
    )
    assert (drawn.sample.strategy, drawn.sample.cell_model) == ("search", "m.safetensors")
    assert drawn.dataset.cells == ("Black/Female/20-39", "East Asian/Male/60+")
    assert (sets.sample.counterfactual, sets.dataset.per_cell, single.sample.counterfactual) == (
        True,
        7,
        False,
    )
    assert (fitted.cells.generator, fitted.dataset.taxonomy, fitted.sample.strategy) == (
        "g",
        "fairface7",
        "rejection",
    )


def test_cells_are_fitted_on_first_use_and_never_for_a_model_that_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = ["--out", str(tmp_path / "r")]
    assert planned(["sample", *out], capsys) == ["cells", "sample"]
    assert planned(["sample", *out, "--cell-model", "m.safetensors"], capsys) == ["sample"]
    assert planned(["sample", *out, "--set", "sample.source=photographs"], capsys) == ["sample"]


def test_a_run_fits_cells_only_where_something_draws_from_its_fit(tmp_path, monkeypatch):
    def names(first=None, last=None, **values):
        return [stage.name for stage in select(first, last, Config.model_validate(values))]

    monkeypatch.delenv("FAIRFORGE_DATA", raising=False)
    photographs = tmp_path / "faces.parquet"
    photographs.write_bytes(b"")
    own, other = {"source": "photographs", "photographs": "f.parquet"}, {"photographs": str(photographs)}
    assert names()[0] == "cells"
    assert names(sample=own)[0] == names(sample=own, cross=other)[0] == "sample"
    assert (
        names(sample=own, cross={"source": "generator"})[0] == "cells"
    )  # the second dataset is drawn from it
    assert names(sample={**own, "source": "both"}, cross=other)[0] == "cells"
    assert names(cross=other)[0] == "cells"
    assert names(sample={"cell_model": "m.safetensors"})[0] == "sample"
    assert names("cells", "cells", sample={"cell_model": "m.safetensors"}) == ["cells"]
    assert names(last="pair", sample=own) == [
        "sample",
        "verify",
        "forge",
        "pair",
    ]  # no stage of these reads a fit
    assert names(last="cells", sample=own)[0] == names(last="pair")[0] == "cells"
    assert names(last="cross", sample=own, cross={"source": "generator"})[0] == "cells"


def test_weights_take_both_spellings_of_a_cell():
    config = load_config(sets=['dataset.weights={"Black-Female"=2, "White/Male"=0.5}', "dataset.per_cell=10"])
    assert {cell: config.dataset.wanted(cell) for cell in ("Black/Female", "White/Male", "Asian/Male")} == {
        "Black/Female": 20,
        "White/Male": 5,
        "Asian/Male": 10,
    }


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--only", "Black-Femal"], "is no cell of fairface4"),
        (["--taxonomy", "fairface5"], "unknown taxonomy"),
        (["--strategy", "guess"], "sample.strategy"),
        (["--taxonomy", "fairface4-ages", "--only", "Black-Female"], "is no cell"),
    ],
)
def test_wrong_flags_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
):
    assert main(["sample", "--out", str(tmp_path / "r"), *flags]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def items_of(rates: dict[str, float], **sample: object) -> list[tuple[str, int]]:
    """What the stage `sample` would draw from cells with these hit rates, five identities each."""
    context = SimpleNamespace(
        config=Config().with_values(dataset={"per_cell": 5, "only": tuple(rates)}, sample=sample)
    )
    cells = SimpleNamespace(
        check=lambda _: None, hit_rates=rates, shares={cell: rate / 10 for cell, rate in rates.items()}
    )
    return [(item.cell, item.index) for item in SampleStage()._items(context, cells)]


def test_candidates_are_as_many_as_the_hit_rate_asks_for():
    drawn = Counter(cell for cell, _ in items_of({"White/Male": 0.8, "Black/Female": 0.2}))
    assert drawn["Black/Female"] / drawn["White/Male"] == pytest.approx(4, rel=0.1)
    assert drawn["White/Male"] > 6 / 0.8  # the quota, and something over
    sets = Counter(
        cell for cell, _ in items_of({"White/Male": 0.5, "Black/Female": 0.5}, counterfactual=True)
    )
    alone = Counter(cell for cell, _ in items_of({"White/Male": 0.25}))
    assert set(sets.values()) == set(alone.values()), "a set is whole with the product of its members' rates"
    assert len(items_of({"White/Male": 0.8, "Black/Female": 0.2}, strategy="rejection")) == pytest.approx(
        10 * drawn["Black/Female"], rel=0.02
    )


def test_a_cell_that_cannot_be_filled_is_named_with_its_count():
    rates = {"White/Male": 0.8, "Black/Female": 0.02}
    with pytest.raises(
        GateError, match=r"1 of 2 cells.*Black/Female needs \d{3} \(hit rate 0\.0200\)"
    ) as caught:
        items_of(rates, max_per_cell=50)
    assert "White/Male" not in str(caught.value)
    assert caught.value.exit_code == 4
    assert "sample.max_per_cell" in caught.value.fix
