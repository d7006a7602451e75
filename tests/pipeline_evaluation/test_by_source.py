"""`benchmarks.by_source`: an evaluation's scores, apart by where its people came from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import by_source
from manifests.store import read_manifest
from tests.manifests.manifest_rows import drawn_set


def test_scores_stand_apart_by_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn_set(tmp_path / "a", per_cell=2)
    people = sorted(set(read_manifest(tmp_path / "a", ["identity_id"])["identity_id"].to_pylist()))
    others = [f"other-{k}" for k in range(10)]
    rows = [
        {"identity_id": who, "label": label, "method": "m" if label else "none", "score": score}
        for group, real, fake in ((people, 0.2, 0.8), (others, 0.6, 0.5))
        for who in group
        for label, score in ((0, real), (1, fake))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "scores.parquet")
    command = ["by_source", str(tmp_path), "--threshold", "0.55", "--manifest", str(tmp_path / "a")]
    monkeypatch.setattr(sys, "argv", command)
    by_source.main()
    found = json.loads(capsys.readouterr().out)[str(tmp_path / "a")]
    assert found["people"] == found["FPR"]["n"] == len(people)
    assert found["FPR"]["value"] == 0  # the others' real images, all called fake, do not count
    assert found["AUC"]["m"][0] == 1
    both = by_source.of_people(rows, 0.55)
    assert both["people"] == len(people) + 10
    assert both["FPR"]["value"] == round(10 / both["people"], 4)
    assert both["AUC"]["m"][0] < 1
