"""`fairforge identities`: one row per image, who is there twice, and how near an index is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from attribute_models.identity.index import IdentityIndex
from generators import load_generator
from generators.sampling import draw_z, map_latents, synthesize
from manifests.images import encode, read_image
from manifests.store import read_table
from pipeline.__main__ import main
from pipeline.commands.identities.index import embed_face
from pipeline.engine import models


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four faces, the first one twice under another identity and once more as a fake of itself, and a grey
    picture.
    """
    folder = tmp_path_factory.mktemp("identities")
    (folder / "own").mkdir()
    model = load_generator("starter64")
    faces = list(
        synthesize(
            model, map_latents(model, draw_z(3, [("face", k) for k in range(4)], model.z_dim), psi=0.7)
        )
    )
    lines = ["path,label,identity_id"]
    for name, image, label, who in [
        *[(f"f{k}", face, "real", f"p{k}") for k, face in enumerate(faces)],
        ("twin", faces[0], "real", "q"),
        ("fake", faces[0], "fake", "p0"),
        ("grey", np.full((64, 64, 3), 90, np.uint8), "real", "g"),
    ]:
        (folder / "own" / f"{name}.png").write_bytes(encode(image, "png"))
        lines.append(f"{name}.png,{label},{who}")
    (folder / "own" / "labels.csv").write_text("\n".join(lines))
    assert main(["import", "folder", str(folder / "own"), "--out", str(folder / "set")]) == 0
    return folder / "set"


def test_embeddings_duplicates_and_the_distance_to_an_index(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    paths = {row["image_id"]: row["path"] for row in read_table(dataset / "manifest.parquet").to_pylist()}
    weight = models.identity_model("dlib-resnet").weight
    rows = read_table(dataset / "manifest.parquet").to_pylist()
    known = next(row["image_id"] for row in rows if row["identity_id"] == "p1")
    embedding = embed_face(read_image(dataset / paths[known]), "dlib-resnet", "cpu")
    assert embedding is not None
    index = IdentityIndex(128, model="dlib-resnet", model_sha256=weight.sha256)
    index.add(embedding, "somebody")
    index.save(tmp_path / "one.index")
    capsys.readouterr()
    assert (
        main(["identities", str(dataset), "--index", str(tmp_path / "one.index"), "--json", "--quiet"]) == 0
    )
    value = json.loads(capsys.readouterr().out)
    rows = {row["image_id"]: row for row in read_table(dataset / "identities.parquet").to_pylist()}
    assert set(rows) == set(paths)
    assert value["failed"] == {"no_face": 1}
    (pair,) = value["duplicates"]
    assert pair["distance"] == 0
    assert {rows[pair["image_id"]]["identity_id"], rows[pair["like"]]["identity_id"]} == {"p0", "q"}
    assert (rows[known]["index_id"], rows[known]["index_distance"]) == ("somebody", 0)
    np.testing.assert_array_equal(np.float32(rows[known]["embedding"]), embedding)
    assert sum(row["near_id"] is not None for row in rows.values()) == 4, (
        "five real faces, the first has none before it"
    )


def test_an_index_of_another_model_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = IdentityIndex(128, model="other", model_sha256="0" * 64)
    other.add(np.zeros(128, np.float32), "x")
    other.save(tmp_path / "other.index")
    assert main(["identities", str(dataset), "--index", str(tmp_path / "other.index"), "--quiet"]) == 2
    assert "made with other" in capsys.readouterr().err
    assert main(["identities", str(tmp_path / "nowhere"), "--quiet"]) == 3
