"""`forge.tries`: more second faces lose fewer targets, and change none of the fakes that there were."""

from pathlib import Path

import pytest

from manifests.store import read_table
from pipeline.__main__ import main
from pipeline.engine.config_fakes import ForgeSection
from pipeline.stages.forge.partners import MOVING, TRIES
from tests.pipeline.test_forge_latents import copied, forge

MOST = MOVING * TRIES
"""Second faces that `moving` methods look among."""


def forged(small_run: Path, out: Path, tries: int) -> dict[str, dict]:
    """The fakes of swaps between faces that must look in nearly the same direction, by their id."""
    sets = {"forge.params.swap-delaunay.max_yaw_gap": 0.02, "forge.tries": tries}
    assert forge(copied(small_run, out), "swap-delaunay", **sets) == 0
    return {row["image_id"]: row for row in read_table(out / "forge" / "fakes.parquet").to_pylist()}


def test_more_tries_keep_every_fake_and_make_more(small_run: Path, tmp_path: Path):
    few, many = (forged(small_run, tmp_path / str(tries), tries) for tries in (1, 2))
    assert few.keys() == many.keys()
    kept = {name: row for name, row in few.items() if row["status"] == "accepted"}
    assert kept
    assert kept == {name: many[name] for name in kept}
    assert sum(row["status"] == "accepted" for row in many.values()) > len(kept)
    for rows, tries in ((few, 1), (many, 2)):
        assert all(len(row["refused"]) <= tries for row in rows.values())
        assert {row["status"] for row in rows.values() if len(row["refused"]) == tries} == {"rejected"}
    for name, row in few.items():
        assert row["refused"] == many[name]["refused"][:1]


@pytest.mark.parametrize("tries", [0, MOST + 1])
def test_tries_beyond_what_is_drawn_are_refused(tmp_path: Path, tries: int):
    assert main(["plan", "--out", str(tmp_path / "run"), "--set", f"forge.tries={tries}"]) == 2


def test_the_section_has_the_default_and_the_limit_of_what_is_drawn():
    assert ForgeSection().tries == TRIES
    assert ForgeSection(tries=MOST).tries == MOST
