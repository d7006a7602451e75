"""Latent methods in the stage `forge`: directions are fitted once, cached, in the key; photographs get a
reason.
"""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from generators.cells.directions import read_directions
from generators.forgeries.shape_model import MEASURES
from manifests.images import read_image, read_mask
from manifests.store import read_table, write_table
from pipeline.__main__ import main
from pipeline.stages.forge import directions

METHODS = ["swap-latent", "edit-latent"]


def forge(out: Path, *methods: str, **sets: object) -> int:
    named = "[" + ", ".join(f'"{name}"' for name in methods) + "]"
    given = {"forge.methods": named, "forge.held_out": "[]", "forge.gates": "false", **sets}
    return main(
        [
            "forge",
            "--out",
            str(out),
            "--executor",
            "local",
            *(part for key, value in given.items() for part in ("--set", f"{key}={value}")),
        ]
    )


def copied(small_run: Path, out: Path) -> Path:
    for name in ("sample", "verify"):
        shutil.copytree(small_run / name, out / name)
    for name in ("config.toml", "run.json"):
        shutil.copy(small_run / name, out / name)
    return out


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(directions, "DRAWS", 96)
    monkeypatch.setattr(directions, "CHUNK", 48)
    monkeypatch.setenv("FAIRFORGE_CACHE", str(tmp_path / "cache"))


def test_latent_methods_run_and_their_directions_are_kept(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    runs = [copied(small_run, tmp_path / name) for name in "ab"]
    said = []
    for run in runs:
        assert forge(run, *METHODS) == 0
        said.append(capsys.readouterr().err)
    assert ["fitting latent directions" in text for text in said] == [True, False]
    assert "taken from the cache" in said[1]
    found = read_directions(runs[0] / "forge" / directions.FILE)
    assert set(MEASURES) | {"age", "gender0"} <= set(found.names)
    tables = [read_table(run / "forge" / "fakes.parquet") for run in runs]
    assert tables[0].equals(tables[1])
    rows = tables[0].to_pylist()
    made = {
        method: [row for row in rows if row["method"] == method and row["status"] == "accepted"]
        for method in METHODS
    }
    assert all(made.values()), {row["reason"] for row in rows}
    faces = {row["image_id"]: row for row in read_table(small_run / "verify" / "faces.parquet").to_pylist()}
    for row in rows[:20]:
        if row["status"] == "accepted":
            target = read_image(small_run / "sample" / faces[row["target_id"]]["sample_path"])
            fake, mask = (
                read_image(runs[0] / "forge" / row["path"]),
                read_mask(runs[0] / "forge" / row["mask_path"]),
            )
            np.testing.assert_array_equal(fake[mask == 0], target[mask == 0])
            assert 1 < np.abs(fake.astype(int) - target)[mask > 200].mean() < 90
    again = read_directions(runs[1] / "forge" / directions.FILE)
    np.testing.assert_array_equal(found.steps, again.steps)


def test_faces_without_latent_are_rows_with_a_reason(small_run: Path, tmp_path: Path):
    run = copied(small_run, tmp_path / "run")
    path = run / "sample" / "candidates.parquet"
    table = read_table(path)
    at = table.schema.get_field_index("w")
    write_table(
        table.set_column(at, table.schema.field("w"), pa.nulls(table.num_rows, table.schema.field("w").type)),
        path,
    )
    assert forge(run, "swap-latent", **{"execute.digests": "none"}) == 0
    rows = read_table(run / "forge" / "fakes.parquet").to_pylist()
    assert rows
    assert {row["reason"] for row in rows if row["reason"] != "no_partner_in_cell_and_split"} == {"no_latent"}


def test_missing_weights_end_the_stage_before_any_fake(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = copied(small_run, tmp_path / "run")
    assert forge(run, "swap-inswapper") == 3
    said = capsys.readouterr().err
    assert "inswapper_128.onnx" in said
    assert "non-commercial" in said
    assert "forge.params.swap-inswapper.model=PATH" in said
    assert not list((run / "forge").glob("part-*"))
