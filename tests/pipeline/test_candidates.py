"""Candidates by every strategy, in counterfactual sets, for chosen and weighted cells; all on the small run's
cell model.
"""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manifests import read_manifest
from manifests.balance import check_balance
from manifests.schema import metadata_of
from pipeline.__main__ import main
from pipeline.engine.run_directory import read_json
from tests.pipeline.conftest import SMALL

CELLS = ("White/Female", "Asian/Female")


@pytest.fixture
def run(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAIRFORGE_DATA", "")

    def start(verb: str, out: str = "r", **sets: object) -> int:
        given = {
            **SMALL,
            "sample.cell_model": str(small_run / "cells" / "model.safetensors"),
            "execute.executor": "local",
            "dataset.only": json.dumps(CELLS),
            "dataset.per_cell": 2,
            "sample.shard_size": 16,
            "verify.slack": 3.0,
            **sets,
        }
        flags = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
        return main([verb, "--out", str(tmp_path / out), "--quiet", *flags])

    return start


def rows(tmp_path: Path, name: str, out: str = "r") -> list[dict]:
    return pq.read_table(tmp_path / out / name).to_pylist()


@pytest.mark.parametrize("strategy", ["rejection", "search", "screening"])
def test_other_strategies_fill_the_cells_too(run, tmp_path, strategy):
    for out, shards in (("r", 16), ("s", 7)):
        assert run("sample", out, **{"sample.strategy": strategy, "sample.shard_size": shards}) == 0
    assert run("verify", **{"sample.strategy": strategy}) == 0
    candidates = rows(tmp_path, "sample/candidates.parquet")
    again = {row["image_id"]: row["sha256"] for row in rows(tmp_path, "sample/candidates.parquet", "s")}
    assert {row["image_id"]: row["sha256"] for row in candidates} == again  # whatever the shards
    reasons = Counter(row["reason"] for row in candidates)
    if strategy == "rejection":
        assert reasons["other_cell"] > 0
        assert reasons["low_confidence"] > 0
        assert {row["cell"] for row in candidates if row["status"] == "ok"} == set(CELLS)
    else:
        assert set(reasons) == {None}
    accepted = Counter(
        row["cell"] for row in rows(tmp_path, "verify/faces.parquet") if row["status"] == "accepted"
    )
    assert set(accepted) == set(CELLS)
    assert min(accepted.values()) >= 2


def test_counterfactual_sets_stay_whole_and_in_one_split(run, tmp_path):
    for verb in ("sample", "verify", "forge", "pair"):
        assert run(verb, **{"sample.counterfactual": "true", "dataset.per_cell": 3}) == 0
    sets = defaultdict(list)
    for row in read_manifest(tmp_path / "r" / "dataset").to_pylist():
        if row["label"] == 0:
            sets[row["counterfactual_id"]].append(row)
    assert len(sets) == 3
    for members in sets.values():
        assert sorted(row["cell"] for row in members) == sorted(CELLS)
        assert len({row["split"] for row in members}) == 1
        assert len({row["identity_id"] for row in members}) == 1
    reasons = read_json(tmp_path / "r" / "verify" / "acceptance.json")
    assert set(reasons) == set(CELLS)


def test_a_set_without_all_its_members_is_refused():
    from pipeline.stages.verify.faces import VerifiedFace
    from pipeline.stages.verify.selection import settle

    def row(image_id, cell, group, status="accepted", embedding=0.0):
        return VerifiedFace(
            image_id, cell=cell, counterfactual_id=group, status=status, embedding=[embedding]
        )

    members = [
        row("a", "x", "1"),
        row("b", "y", "1"),
        row("c", "x", "2", embedding=5.0),
        row("d", "y", "2", "rejected"),
        row("e", "x", "3", embedding=0.01),
        row("f", "y", "3", embedding=9.0),
        row("g", "x", "4", embedding=20.0),
        row("h", "y", "4", embedding=20.0),
        row("i", "x", "5", embedding=30.0),
        row("j", "y", "5", embedding=30.0),
    ]
    settled = settle(members, {"x": 2, "y": 2}, 0.1)
    found = {face.image_id: "kept" if face.accepted else face.reason for face in settled}
    assert found == {
        "a": "kept",
        "b": "kept",
        "c": "incomplete_set",
        "d": None,
        "e": "duplicate_identity",
        "f": "duplicate_identity",
        "g": "kept",
        "h": "kept",
        "i": "surplus",
        "j": "surplus",
    }


def test_weighted_cells_are_as_many_as_planned(run, tmp_path):
    weights = {"White/Female": 2.0}
    for verb in ("sample", "verify", "forge", "pair"):
        assert (
            run(
                verb,
                **{
                    "dataset.weights": json.dumps(weights).replace(
                        '"White/Female": 2.0', '"White/Female" = 2.0'
                    ),
                    "dataset.splits": "{train=0.5, test=0.5}",
                },
            )
            == 0
        )
    table = read_manifest(tmp_path / "r" / "dataset")
    counts = Counter((row["split"], row["cell"]) for row in table.to_pylist() if row["label"] == 0)
    white, asian = "White/Female", "Asian/Female"
    assert counts == {("train", white): 2, ("test", white): 2, ("train", asian): 1, ("test", asian): 1}
    assert not check_balance(table)
    assert json.loads(metadata_of(table)["plan"])["train"] == {"White/Female": 2, "Asian/Female": 1}
    fewer = table.slice(0, table.num_rows - 1)
    assert check_balance(fewer)


@pytest.mark.parametrize(
    ("sets", "code", "words"),
    [
        ({"dataset.only": '["White/Both"]'}, 2, "is no cell of fairface4"),
        ({"dataset.weights": '{"Green/Male" = 2.0}'}, 2, "is no cell"),
        ({"sample.strategy": "guess"}, 2, "strategy"),
        ({"sample.strategy": "search", "sample.counterfactual": "true"}, 2, "no counterfactual sets"),
    ],
)
def test_what_cannot_be_drawn_is_named(run, capsys, sets, code, words):
    assert run("sample", **sets) == code
    assert words in capsys.readouterr().err
