"""`benchmarks.scale` on small tables: every step runs on what a run would give it, and what is not linear
is said.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scale, scale_steps
from benchmarks.costs import Amounts, Machines, table
from benchmarks.unit_costs import Unit
from manifests.store import read_manifest

ROWS = 400


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn tables of a small manifest."""
    folder = tmp_path_factory.mktemp("scale")
    scale_steps.prepare(folder, ROWS)
    return folder


@pytest.mark.parametrize("step", [name for name in scale_steps.STEPS if name != "evaluate: measuring"])
def test_every_step_runs(tables: Path, step: str) -> None:
    scale_steps.STEPS[step](tables, ROWS)()


def test_the_chosen_pairs_are_those_of_the_manifest(tables: Path) -> None:
    tasks = scale_steps.choosing(tables, ROWS)()
    pairs = {group.real.image_id for task in tasks for group in task.payload.groups}
    assert pairs == set(read_manifest(tables)["pair_id"].to_pylist())


def test_growth_and_memory_beyond_the_limits_are_said() -> None:
    def at(seconds: float, mib: float) -> dict[str, float]:
        return {"seconds": seconds, "peak_mib": mib}

    assert scale.judge({10: at(2, 300), 100: at(21, 1500)}) == []
    assert "grow 20.0 times" in scale.judge({10: at(2, 300), 100: at(40, 300)})[0]
    assert "3000 MiB" in scale.judge({10: at(2, 1000), 100: at(2, 3000)})[0]


def test_a_plan_adds_up() -> None:
    steps = Amounts(1, 1, 1.0, 1.0, 1).times()
    units = {name: Unit(0.0) for name in steps} | {"pair: encode": Unit(3600.0)}
    text = table(units, Amounts(1000, 4, 1.0, 1.0, 1), {"ten cores": Machines(10, 2.0)})
    assert "ten cores: 500.0 hours, 10,000 at 2" in text
    assert "pair: encode takes 100 %" in text
