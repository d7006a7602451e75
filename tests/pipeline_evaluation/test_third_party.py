"""The documented road of somebody else's forgeries: one crop, size and JPEG quality for both classes, then
their figures.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from detector.inference.checkpoints import save_checkpoint
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from manifests import read_manifest
from manifests.images import encode
from pipeline.__main__ import main
from tests.attribute_models.conftest import _draw
from tests.manifests.manifest_rows import drawn_set

IMPORT = ["--faces", "mtcnn", "--crop", "aligned", "--size", "64", "--codec", "jpeg", "--quality", "90"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces as another lab has them: fakes as PNG of one size, real ones as JPEG of another, one
    without a face.
    """
    root = tmp_path_factory.mktemp("theirs")
    lines = ["path,label,target_path"]
    for k in range(3):
        face = np.roll(_draw(160), k, 1)
        for kind, image in (
            ("real", cv2.resize(face, (200, 200))),
            ("fake", cv2.GaussianBlur(face, (0, 0), 1.5)),
        ):
            path = root / kind / f"{k}.{'jpg' if kind == 'real' else 'png'}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode(image, "jpeg", 70) if kind == "real" else encode(image, "png"))
            lines.append(f"{kind}/{path.name},{kind},{f'real/{k}.jpg' if kind == 'fake' else ''}")
    (root / "real" / "wall.png").write_bytes(encode(np.full((99, 99, 3), 90, np.uint8), "png"))
    (root / "index.csv").write_text("\n".join([*lines, "real/wall.png,0,"]))
    return root


def test_both_classes_leave_alike_and_are_measured(theirs, tmp_path, capsys):
    out = tmp_path / "m"
    given = ["--set", "method=theirs", "--set", "family=swap"]
    assert main(["import", "folder", str(theirs / "index.csv"), "--out", str(out), *IMPORT, *given]) == 0
    rows = read_manifest(out).to_pylist()
    assert len(rows) == 6
    assert {(r["width"], r["height"], r["codec"], r["quality"]) for r in rows} == {(64, 64, "jpeg", 90)}
    assert "no face was found" in (out / "skipped.csv").read_text()
    tables = {tuple(Image.open(io.BytesIO((out / r["path"]).read_bytes())).quantization[0]) for r in rows}
    assert len(tables) == 1
    drawn_set(tmp_path / "val", per_cell=2, size=32)
    config = NetworkConfig(backbone="test_resnet", input_size=32)
    save_checkpoint(tmp_path / "d.safetensors", config, build_network(config, 0).state_dict(), {})
    capsys.readouterr()
    assert (
        main(
            [
                "evaluate",
                "--checkpoint",
                str(tmp_path / "d.safetensors"),
                "--manifest",
                str(out),
                "--validation",
                str(tmp_path / "val"),
                "--threshold",
                "val-fpr@0.05",
                "--replicates",
                "20",
                "--set",
                "evaluate.floors=[]",
                "--out",
                str(tmp_path / "e"),
            ]
        )
        == 0
    )
    assert "TPR" in capsys.readouterr().out
    use = json.loads((tmp_path / "e" / "results.json").read_text())["datasets"]["m"]["utility"]
    assert (use["n_real"], use["n_fake"]) == (3, 3)
    assert set(use["intervals"]) >= {"AUC", "TPR", "FPR"}
    scored = pq.read_table(tmp_path / "e" / "scores.parquet").to_pylist()
    assert len({row["identity_id"] for row in scored}) == 3  # a fake and its target are one cluster
