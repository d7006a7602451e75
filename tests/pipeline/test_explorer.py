"""`fairforge look`: what it writes for Spotlight and FiftyOne, how it starts them, and Spotlight's own server
where it is there.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.errors import DataError, MissingError
from manifests.images import encode
from manifests.store import read_manifest, write_manifest
from pipeline.commands.look import command_of, start, write_look
from pipeline.commands.look import opening as opening_module
from pipeline.engine.config import Config
from tests.pipeline.report_run import make_run

CONFIG = Config.model_validate({"dataset": {"image_size": 32, "only": ["White/Male", "Black/Female"]}})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a mask of every fake and an embedding of every real image."""
    root = make_run(tmp_path_factory.mktemp("look") / "run", CONFIG, splits={"train": 1, "test": 2}).root
    table = read_manifest(root / "dataset").to_pandas()
    masks = [None if row.label == 0 else f"images/{row.image_id}.mask.png" for row in table.itertuples()]
    for name in filter(None, masks):
        (root / "dataset" / name).write_bytes(encode(np.full((32, 32, 3), 200, np.uint8), "png", None))
    found = read_manifest(root / "dataset")
    place = found.schema.get_field_index("mask_path")
    changed = found.set_column(place, found.schema.field(place), pa.array(masks, pa.string()))
    write_manifest(changed, root / "dataset/manifest.parquet")
    real = [one for one, label in zip(table.image_id, table.label, strict=True) if label == 0]
    vectors = pa.array([[float(k), 1.0, -float(k)] for k in range(len(real))], pa.list_(pa.float32()))
    pq.write_table(pa.table({"image_id": real, "embedding": vectors}), root / "verify/faces.parquet")
    return root


def test_a_run_has_pairs_masks_scores_and_embeddings(run, tmp_path):
    found = write_look(run, tmp_path / "look")
    rows = pq.read_table(found.folder / "images.parquet").to_pylist()
    manifest = {row["image_id"]: row for row in read_manifest(run / "dataset").to_pylist()}
    scores = {
        row["image_id"]: row["score"]
        for row in pq.read_table(run / "evaluate/scores.parquet").to_pylist()
        if row["dataset"] in ("test", "test-heldout")
    }
    assert {row["image_id"] for row in rows} == set(manifest)
    assert found.counts == {
        "images": len(rows),
        "pairs": 6,
        "with mask": 16,
        "with score": len(scores),
        "with embedding": 6,
    }
    for row in rows:
        source = manifest[row["image_id"]]
        assert row["image"] == f"./{source['path']}"
        assert (found.root / row["image"]).is_file()
        assert row["score"] == (pytest.approx(scores[row["image_id"]]) if row["image_id"] in scores else None)
        if row["label"] == "fake":
            assert row["real"] == f"./{manifest[row['pair'] + '-none']['path']}"
            assert (found.root / row["mask"]).is_file()
        else:
            assert (row["real"], row["mask"], len(row["embedding"])) == (None, None, 3)
        called = (
            "not scored"
            if row["score"] is None
            else {
                ("real", False): "real, called real",
                ("real", True): "real, called fake",
                ("fake", False): "fake, missed",
                ("fake", True): "fake, called fake",
            }[row["label"], row["score"] >= 0.5]
        )
        assert row["outcome"] == called
    pairs = [row["pair"] for row in rows]
    assert pairs == sorted(pairs), "a pair's images are neighbours"


def test_fiftyone_gets_one_group_per_pair_with_a_slice_per_method(run, tmp_path):
    groups = json.loads((write_look(run, tmp_path).folder / "groups.json").read_text())
    slices = {}
    for sample in groups["samples"]:
        assert (Path(groups["root"]) / sample["path"]).is_file()
        slices.setdefault(sample["group"], []).append(sample["slice"])
    assert len(slices) == 6
    for name, found in slices.items():
        held = ["reenact-warp"] if name.startswith("test") else []
        assert sorted(found) == sorted(["real", "swap-delaunay", "blend-self", *held])
    assert groups["default_slice"] == "real"
    compile((tmp_path / "open_in_fiftyone.py").read_text(), "open_in_fiftyone.py", "exec")


def test_a_manifest_with_somebodys_scores(run, tmp_path):
    ids = [row["image_id"] for row in read_manifest(run / "dataset").to_pylist()]
    (tmp_path / "s.csv").write_text("image_id,score\n" + "\n".join(f"{one},0.75" for one in ids[:4]))
    found = write_look(run / "dataset" / "manifest.parquet", tmp_path / "a", tmp_path / "s.csv")
    table = pq.read_table(found.folder / "images.parquet")
    assert found.counts["with score"] == 4
    assert "embedding" not in table.column_names, "nothing is shown that is not there"
    assert "embedding" not in found.types
    bare = write_look(run / "dataset", tmp_path / "b")
    assert "score" not in pq.read_table(bare.folder / "images.parquet").column_names


def test_what_cannot_be_used_is_named(run, tmp_path):
    with pytest.raises(MissingError, match="nowhere"):
        write_look(tmp_path / "nowhere", tmp_path / "o")
    with pytest.raises(MissingError, match=r"s\.csv"):
        write_look(run, tmp_path / "o", tmp_path / "s.csv")
    (tmp_path / "bad.csv").write_text("image_id,score\nx,high\n")
    with pytest.raises(DataError, match="high"):
        write_look(run, tmp_path / "o", tmp_path / "bad.csv")
    ragged = pa.array([[1.0], [1.0, 2.0]], pa.list_(pa.float32()))
    ids = [row["image_id"] for row in read_manifest(run / "dataset").to_pylist()][:2]
    pq.write_table(pa.table({"image_id": ids, "embedding": ragged}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="1 to 2 numbers"):
        write_look(run, tmp_path / "o", None, tmp_path / "e.parquet")
    pq.write_table(pa.table({"image_id": ids, "embedding": ["a", "b"]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="embedding is string"):
        write_look(run, tmp_path / "o", None, tmp_path / "e.parquet")


def test_no_path_leads_out_or_is_fetched(run, tmp_path):
    shutil.copytree(run / "dataset", tmp_path / "d")
    found = read_manifest(tmp_path / "d")
    place = found.schema.get_field_index("mask_path")

    def with_mask(name):
        masks = [name, *[None] * (found.num_rows - 1)]
        changed = found.set_column(place, found.schema.field(place), pa.array(masks, pa.string()))
        pq.write_table(changed, tmp_path / "d/manifest.parquet")
        return write_look(tmp_path / "d", tmp_path / "o")

    with pytest.raises(DataError):
        with_mask("../../../etc/passwd")
    try:
        folder = with_mask("http://example.org/x.png").folder
    except DataError:
        return
    shown = [one for one in pq.read_table(folder / "images.parquet")["mask"].to_pylist() if one]
    assert shown == ["./http://example.org/x.png"], "a file of the folder, no address"


def test_the_command_is_of_the_one_that_is_installed(run, tmp_path, monkeypatch):
    look = write_look(run, tmp_path)
    there = {"spotlight": "/opt/x/spotlight"}
    monkeypatch.setattr(opening_module.shutil, "which", there.get)
    monkeypatch.setattr(opening_module, "_has", lambda name: False)
    command = command_of(look, "auto", 7000, browser=False)
    assert command[:2] == ["/opt/x/spotlight", str(look.folder / "images.parquet")]
    assert command[-3:] == ["7000", "--no-filebrowsing", "--no-browser"]
    assert command[command.index("--host") + 1] == "localhost"
    assert {"image=Image", "real=Image", "mask=Image", "embedding=Embedding"} <= set(command)
    with pytest.raises(MissingError, match="fiftyone") as caught:
        command_of(look, "fiftyone")
    assert "pipx install fiftyone" in caught.value.fix
    there.clear()
    with pytest.raises(MissingError, match="spotlight or fiftyone"):
        command_of(look, "auto")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("")
    there["fiftyone"] = str(tmp_path / "bin/fiftyone")
    assert command_of(look, "auto", 5000)[:2] == [
        str(tmp_path / "bin/python"),
        str(look.folder / "open_in_fiftyone.py"),
    ]


def test_it_is_started_in_the_manifests_folder_and_tells_nobody(tmp_path):
    said = "os.environ['SPOTLIGHT_OPT_OUT'] + os.environ['FIFTYONE_DO_NOT_TRACK']"
    code = f"import os, sys; open('seen', 'w').write({said}); sys.exit(3)"
    assert start([sys.executable, "-c", code], tmp_path) == 3
    assert (tmp_path / "seen").read_text() == "truetrue"


def _get(port: int, path: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://localhost:{port}{path}", timeout=20) as answer:
        return answer.read()


@pytest.mark.skipif(
    shutil.which("spotlight") is None, reason="needs Renumics Spotlight, in any environment on the PATH"
)
def test_spotlights_own_server_shows_the_images(run, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "look",
        str(run),
        "--out",
        str(tmp_path),
        "--port",
        str(port),
        "--no-browser",
        "--with",
        "spotlight",
    ]
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(
        command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    )
    try:
        for _ in range(240):
            try:
                table = json.loads(_get(port, "/api/table/"))
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.5)
        columns = {one["name"]: one for one in table["columns"]}
        assert {columns[name]["dtype"]["name"] for name in ("image", "real", "mask")} == {"Image"}
        assert columns["embedding"]["dtype"]["name"] == "Embedding"
        fake = columns["label"]["values"].index(columns["label"]["dtype"]["categories"]["fake"])
        for name in ("image", "real", "mask"):
            assert len(_get(port, f"/api/table/{name}/{fake}?generation_id={table['generation_id']}")) > 50
        layout = json.loads(_get(port, "/api/layout/"))
        assert "real image of its pair" in json.dumps(layout)
    finally:
        process.terminate()
        process.wait(20)
        log.close()
