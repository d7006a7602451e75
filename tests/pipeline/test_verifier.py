"""A verification policy in the verify stage: what it accepts, why it abstains, and what the dataset card says
of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tomli_w

from generators import load_generator
from generators.sampling import draw_z, map_latents, synthesize
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import encode
from manifests.release.card import _verifier
from manifests.store import write_table
from manifests.taxonomy import get_taxonomy
from pipeline.__main__ import main
from pipeline.engine import models
from pipeline.engine.config import Config
from pipeline.engine.executors import Executor
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.stage import Context
from pipeline.stages.sample.candidates import SCHEMA as SAMPLE_SCHEMA
from pipeline.stages.verify.faces import VerifiedFace
from pipeline.stages.verify.stage import VerifyStage
from pipeline.stages.verify.verifier import read_policy, verifier_figures

N = 6
FOUR = get_taxonomy("fairface4")


def document(threshold: float = 0.0, **more: object) -> dict:
    weight = models.weight_of("fairforge-small", "attributes")
    share = {"n": 40, "value": 0.95, "lower": 0.83, "upper": 0.99}
    counts = (np.eye(8, dtype=int) * 38 + np.roll(np.eye(8, dtype=int) * 2, 2, axis=1)).tolist()
    return {
        "taxonomy": "fairface4",
        "target": 0.95,
        "attribute_model": f"model:{weight.name}@{weight.digest8}",
        "second_model": "",
        "data": "labelled.parquet",
        "cells": {cell: {"threshold": threshold, "margin": 0.0, "reached": True} for cell in FOUR.cells},
        "confusion": {"cells": list(FOUR.cells), "counts": counts},
        "held_out": {
            "precision": share,
            "coverage": share,
            "cells": {cell: {"precision": share, "coverage": share} for cell in FOUR.cells},
        },
        **more,
    }


def written(path: Path, values: dict) -> str:
    path.write_text(tomli_w.dumps(values))
    return str(path)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = load_generator("starter64")
    folder = tmp_path_factory.mktemp("faces")
    w = map_latents(model, draw_z(3, [("face", k) for k in range(N)], model.z_dim), psi=0.7)
    for i, image in enumerate(synthesize(model, w)):
        (folder / f"{i}.png").write_bytes(encode(image, "png"))
    return folder


def verdicts(root: Path, faces: Path, source: str = "", **verify: object) -> list[dict]:
    config = Config().with_values(
        verify={"min_race_prob": 0.0, "min_gender_prob": 0.0, "min_sharpness": 0.0, **verify}
    )
    run = RunDirectory(root, config)
    rows = [
        {
            "image_id": f"{i}",
            "path": f"{i}.png",
            "cell": FOUR.cells[i],
            "identity_id": f"{i}",
            "status": "ok",
            "attribute_source": source or None,
        }
        for i in range(N)
    ]
    write_table(pa.Table.from_pylist(rows, schema=SAMPLE_SCHEMA), run.folder("sample") / "candidates.parquet")
    (task,) = VerifyStage().tasks(Context(run, Executor("local", 1), Reporter(quiet=True)), "key")
    return task.call(replace(task, payload=replace(task.payload, sample_folder=faces))).to_pylist()


def test_a_policy_takes_the_place_of_the_minima(faces: Path, tmp_path: Path):
    plain = verdicts(tmp_path / "a", faces)
    assert "perceived" not in plain[0]
    open_ = verdicts(
        tmp_path / "b", faces, policy=written(tmp_path / "open.toml", document()), min_race_prob=1.0
    )
    read = [row for row in open_ if row["race"]]
    assert len(read) >= 4
    assert [row["perceived"] for row in read] == [f"{row['race']}/{row['gender']}" for row in read]
    assert [(row["status"], row["reason"]) for row in open_] == [
        (row["status"], row["reason"]) for row in plain
    ]
    middle = float(np.median([row["race_prob"] * row["gender_prob"] for row in read]))
    some = verdicts(tmp_path / "c", faces, policy=written(tmp_path / "some.toml", document(middle)))
    for row in some:
        if row["race"]:
            sure = row["race_prob"] * row["gender_prob"] >= middle
            assert (row["perceived"] is not None) == sure
            assert (row["reason"] == "low_confidence") != sure
    assert 0 < sum(row["perceived"] is not None for row in some) < len(read)


def test_a_second_model_that_sees_another_cell_makes_it_abstain(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    same = written(tmp_path / "same.toml", document(second_model="fairforge-small"))
    assert not [
        row for row in verdicts(tmp_path / "a", faces, policy=same) if row["reason"] == "models_disagree"
    ]
    first = models.attribute_model("fairforge-small", "cpu")

    class Contrary:
        def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
            found = first.predict(images)
            return {**found, "gender": found["gender"][:, ::-1]}

        axes = staticmethod(first.axes)

    given = iter([first, Contrary()])
    monkeypatch.setattr(models, "attribute_model", lambda name, device: next(given))
    rows = verdicts(tmp_path / "b", faces, policy=same)
    assert {row["reason"] for row in rows if row["race"]} == {"models_disagree"}


def test_annotated_faces_keep_their_annotation(faces: Path, tmp_path: Path):
    rows = verdicts(
        tmp_path / "a", faces, "annotation:test", policy=written(tmp_path / "none.toml", document(1.01))
    )
    assert {row["status"] for row in rows if row["race"]} == {"accepted"}
    assert {row["perceived"] for row in rows} == {None}


def test_policies_of_other_models_taxonomies_or_shapes_are_refused(tmp_path: Path):
    def files(values: dict | None) -> None:
        path = str(tmp_path / "missing.toml") if values is None else written(tmp_path / "p.toml", values)
        VerifyStage().files(RunDirectory(tmp_path / "run", Config().with_values(verify={"policy": path})))

    with pytest.raises(MissingError):
        files(None)
    with pytest.raises(UsageError, match="was made for model:other@1"):
        files(document(attribute_model="model:other@1"))
    with pytest.raises(UsageError, match="is for taxonomy 'ffpp'"):
        files(document(taxonomy="ffpp"))
    with pytest.raises(DataError, match="lacks threshold"):
        files(document(cells={}))
    with pytest.raises(DataError, match="confusion of other cells"):
        files(document(confusion={"cells": ["a"], "counts": [[1]]}))
    files(document())
    assert "policy" not in VerifyStage().config(RunDirectory(tmp_path, Config()))["verify"]


def test_the_card_says_how_the_verifier_errs(tmp_path: Path):
    path = Path(written(tmp_path / "p.toml", document()))

    def judged(cell: str, perceived: str | None, reason: str | None = None) -> VerifiedFace:
        status = "rejected" if reason else "accepted"
        return VerifiedFace("i", cell=cell, perceived=perceived, status=status, reason=reason)

    rows = [judged(cell, cell) for cell in FOUR.cells[:2] for _ in range(50)]
    rows += [judged("White/Male", "Black/Male", "wrong_cell")] * 30
    rows += [judged("White/Male", "Black/Male", "blurred")] * 1000
    rows += [judged("White/Male", None, "low_confidence")]
    found = verifier_figures(path, FOUR, rows)
    assert found["seen"][0][:3] == [50, 0, 30]
    counts = {one["cell"]: one for one in found["counts"]}
    assert set(counts) == {"White/Male", "White/Female"}
    assert counts["White/Male"]["n"] == 50
    assert counts["White/Male"]["value"] < 52
    text = "\n".join(_verifier(json.loads(json.dumps(found))))
    assert "precision 0.950 [0.830, 0.990]" in text
    assert f"| White/Male | 50 | {counts['White/Male']['value']} |" in text
    assert "counts" not in verifier_figures(path, FOUR, [])


def test_the_command_writes_a_policy_that_the_stage_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(0)
    seven, ages = get_taxonomy("fairface7").races, ("20-29", "30-39")
    rows = [
        {
            "file": f"{i}.png",
            "race": seven[i % 7],
            "gender": ("Male", "Female")[i % 2],
            "age": ages[i % 2],
            "image": encode(rng.integers(0, 255, (24, 24, 3), np.uint8), "png"),
        }
        for i in range(160)
    ]
    data = tmp_path / "labelled.parquet"
    write_table(pa.Table.from_pylist(rows), data)
    out = tmp_path / "policy.toml"
    assert (
        main(["verification-policy", "--data", str(data), "--out", str(out), "--quiet", "--target", "0.9"])
        == 0
    )
    text = capsys.readouterr().out
    assert "halves swapped" in text
    assert "target not reached" in text, "noise has no race"
    policy = read_policy(out, "fairface4")
    assert policy.model == document()["attribute_model"]
    assert not any(rule.reached for rule in policy.rules.values())
    figures = tmp_path / "e.json"
    arguments = ["--taxonomy", "fairface4-ages", "--out", str(figures), "--quiet"]
    assert main(["attributes", "--evaluate", str(data), *arguments]) == 0
    found = json.loads(figures.read_text())
    assert found["n"] == 160
    assert set(found["cells"]) == set(get_taxonomy("fairface4-ages").cells)
    assert np.sum(found["confusion"]["counts"]) == 160
    assert main(["attributes", "--evaluate", str(data), "--taxonomy", "monk3", "--quiet"]) == 2
    assert main(["verification-policy", "--data", str(data), "--out", str(tmp_path / "p.json")]) == 2
