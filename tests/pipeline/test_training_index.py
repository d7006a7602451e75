"""`fairforge identity-index`, and verify refusing faces near the training data; without an index nothing
changes.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from attribute_models.identity.index import IdentityIndex
from generators import load_generator
from generators.sampling import draw_z, map_latents, synthesize
from manifests.atomic import digest_file
from manifests.errors import MissingError, UsageError
from manifests.images import encode
from manifests.store import write_table
from pipeline.__main__ import main
from pipeline.engine import models
from pipeline.engine.config import Config
from pipeline.engine.config_file import dump_config, load_config
from pipeline.engine.executors import Executor
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.stage import Context
from pipeline.stages.cross.stage import CrossVerify
from pipeline.stages.sample.candidates import SCHEMA as SAMPLE_SCHEMA
from pipeline.stages.verify.stage import VerifyStage

N = 8


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of generated faces."""
    model = load_generator("starter64")
    folder = tmp_path_factory.mktemp("faces")
    w = map_latents(model, draw_z(3, [("face", i) for i in range(N)], model.z_dim), psi=0.7)
    for i, image in enumerate(synthesize(model, w)):
        (folder / f"{i}.png").write_bytes(encode(image, "png"))
    (folder / "black.png").write_bytes(encode(np.zeros((64, 64, 3), np.uint8), "png"))
    (folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def index(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("index") / "train.index"
    assert main(["identity-index", "--data", str(faces), "--out", str(out), "--quiet"]) == 0
    return out


def configured(**verify: object) -> Config:
    return Config().with_values(
        verify={"min_race_prob": 0.0, "min_gender_prob": 0.0, "min_sharpness": 0.0, **verify}
    )


def candidates(root: Path, faces: Path, config: Config) -> RunDirectory:
    """A run whose sample stage made the faces as candidates; annotated, so that no cell refuses them."""
    import pyarrow as pa

    run = RunDirectory(root, config)
    rows = [
        {
            "image_id": f"{i}",
            "path": f"{i}.png",
            "cell": "White/Male",
            "identity_id": f"{i}",
            "status": "ok",
            "attribute_source": "annotation:test",
        }
        for i in range(N)
    ]
    write_table(pa.Table.from_pylist(rows, schema=SAMPLE_SCHEMA), run.folder("sample") / "candidates.parquet")
    for row in rows:
        shutil.copy(faces / row["path"], run.folder("sample"))
    return run


def verdicts(run: RunDirectory) -> list[dict]:
    context = Context(run, Executor("local", 1), Reporter(quiet=True))
    (task,) = VerifyStage().tasks(context, "key")
    return task.call(task).to_pylist()


def test_an_index_holds_the_faces_that_verify_would_embed(faces, index, tmp_path):
    loaded = IdentityIndex.load(index)
    assert 6 <= len(loaded) <= N
    assert not {"black.png", "broken.png"} & set(loaded.ids)
    assert loaded.model_sha256 == models.identity_model("dlib-resnet").weight.sha256
    rows = verdicts(candidates(tmp_path, faces, configured()))
    accepted = [row for row in rows if row["status"] == "accepted"]
    assert len(accepted) >= 6
    for row in accepted:
        distance, name = loaded.nearest(np.asarray(row["embedding"], np.float32))
        assert (distance, name) == (0.0, f"{row['image_id']}.png")


def test_verify_refuses_a_training_face_and_keeps_the_others(faces, index, tmp_path):
    before = verdicts(candidates(tmp_path / "a", faces, configured()))
    loaded = IdentityIndex.load(index)
    known = next(row["image_id"] for row in before if row["status"] == "accepted")
    at = loaded.ids.index(f"{known}.png")
    one = IdentityIndex(128, model=loaded.model, model_sha256=loaded.model_sha256)
    near = loaded.embeddings()[at].copy()
    near[0] += 0.1
    one.add(near, "somebody")
    one.save(tmp_path / "one.index")
    config = configured(training_index=str(tmp_path / "one.index"), min_training_distance=0.12)
    after = verdicts(candidates(tmp_path / "b", faces, config))
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert [(a["image_id"], b["status"], b["reason"]) for a, b in changed] == [
        (known, "rejected", "near_training")
    ]
    assert changed[0][1]["embedding"] == changed[0][0]["embedding"]
    looser = configured(training_index=str(tmp_path / "one.index"), min_training_distance=0.08)
    assert verdicts(candidates(tmp_path / "c", faces, looser)) == before


def test_the_digest_of_the_index_enters_the_cache_keys(index, tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "model.safetensors").write_bytes(b"a fit")
    stage, plain = VerifyStage(), RunDirectory(tmp_path, configured())
    assert stage.files(plain) == {}
    run = RunDirectory(tmp_path, configured(training_index=str(index)))
    assert stage.files(run) == {"training_index": digest_file(index)}
    assert CrossVerify().files(run) == {"training_index": digest_file(index)}
    assert stage.config(run)["verify"]["min_training_distance"] == Config().verify.min_training_distance
    gone = RunDirectory(tmp_path, configured(training_index="nowhere.index"))
    with pytest.raises(MissingError) as caught:
        stage.files(gone)
    assert "fairforge identity-index" in caught.value.fix


def test_without_an_index_the_key_is_that_of_before(tmp_path):
    assert not {"training_index", "min_training_distance"} & set(
        VerifyStage().config(RunDirectory(tmp_path, Config()))["verify"]
    )
    given = configured(training_index="t.index", min_training_distance=0.2)
    (tmp_path / "config.toml").write_text(dump_config(given))
    assert load_config(tmp_path / "config.toml") == given


def test_an_index_of_another_model_is_refused(faces, tmp_path):
    other = IdentityIndex(128, model="other", model_sha256="0" * 64)
    other.add(np.zeros(128), "x")
    other.save(tmp_path / "other.index")
    run = candidates(tmp_path, faces, configured(training_index=str(tmp_path / "other.index")))
    with pytest.raises(UsageError, match="made with other"):
        VerifyStage().tasks(Context(run, Executor("local", 1), Reporter(quiet=True)), "key")


def test_identity_index_counts_what_it_skips_and_refuses_what_has_no_face(faces, tmp_path, capsys):
    out = tmp_path / "some.index"
    small = ["--resolution", "48", "--limit", "4", "--seed", "1"]
    assert main(["identity-index", "--data", str(faces), "--out", str(out), "--json", "--quiet", *small]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["faces"] + sum(value["skipped"].values()) == 4
    assert value["sha256"] == digest_file(out)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["identity-index", "--data", str(empty), "--out", str(out)]) == 3
    (empty / "black.png").write_bytes(encode(np.zeros((64, 64, 3), np.uint8), "png"))
    assert main(["identity-index", "--data", str(empty), "--out", str(tmp_path / "no.index"), "--quiet"]) == 3
    assert "no_face 1" in capsys.readouterr().err
    assert not (tmp_path / "no.index").exists()


def test_workers_are_told_which_index(index, faces, tmp_path):
    """The payload that reaches workers names the index's digest, so that a worker never serves a stale
    one.
    """
    run = candidates(tmp_path, faces, configured(training_index=str(index)))
    (task,) = VerifyStage().tasks(Context(run, Executor("local", 1), Reporter(quiet=True)), "key")
    assert task.payload.training_sha256 == digest_file(index)
