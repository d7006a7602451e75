"""Bad input gets a clear error with its exit code, and nothing that was finished is lost."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from manifests import atomic, read_manifest
from manifests.store import write_table
from pipeline.__main__ import main
from pipeline.engine.run_directory import read_json
from tests.pipeline.conftest import small_arguments


def arguments(out: Path, *extra: str, verb: str = "run") -> list[str]:
    return [verb, *small_arguments(out, executor="local", workers=1)[1:], *extra]


@pytest.fixture
def run_copy(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small run that a test may break."""
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    return Path(shutil.copytree(small_run, tmp_path / "run"))


def errors(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert "error: " in text
    assert "fix: " in text
    return text


def test_unknown_config_key_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", "--out", str(tmp_path / "r"), "--set", "verify.min_race_pob=0.5"]) == 2
    assert "did you mean min_race_prob" in errors(capsys)
    assert not (tmp_path / "r").exists()


def test_corrupt_generator_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all" + bytes(100))
    assert main(arguments(tmp_path / "r", "--set", f"cells.generator={bad}", "--to", "cells")) == 3
    assert "bad.safetensors" in errors(capsys)


def test_corrupt_pickle_is_not_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR.")
    assert main(["weights", "import", str(bad), "--licence", "CC0 1.0"]) == 3
    assert "system" in errors(capsys)
    assert not (tmp_path / "owned").exists()


def test_corrupt_detector_checkpoint(run_copy: Path, capsys: pytest.CaptureFixture[str]):
    checkpoint = run_copy / "detector" / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    image = next((run_copy / "dataset" / "images").rglob("*.jpg"))
    assert main(["predict", str(image), "--checkpoint", str(checkpoint)]) == 3
    assert "checkpoint.safetensors" in errors(capsys)


def test_a_cell_that_cannot_be_filled(run_copy: Path, capsys: pytest.CaptureFixture[str]):
    faces = (run_copy / "cells" / "model.safetensors").read_bytes()
    assert main(arguments(run_copy, "--set", "verify.min_sharpness=1e9", "--to", "verify")) == 4
    text = errors(capsys)
    assert "4 cells cannot be filled" in text
    assert "'blurred'" in text
    assert "sample.oversample" in text
    assert (run_copy / "cells" / "model.safetensors").read_bytes() == faces
    table = json.loads((run_copy / "verify" / "acceptance.json").read_text())
    assert all(cell["accepted"] == 0 for cell in table.values())


def test_an_unreadable_image_in_the_middle(run_copy: Path, capsys: pytest.CaptureFixture[str]):
    rows = read_manifest(run_copy / "dataset").to_pylist()
    victim = rows[len(rows) // 2]["path"]
    (run_copy / "dataset" / victim).write_bytes(b"no image")
    assert main(arguments(run_copy, "--fresh", verb="audit")) == 3
    assert victim in errors(capsys)


def test_a_manifest_path_that_leaves_its_folder(run_copy: Path, capsys: pytest.CaptureFixture[str]):
    manifest = run_copy / "dataset" / "manifest.parquet"
    table = pq.ParquetFile(manifest).read()
    paths = table.column("path").to_pylist()
    paths[3] = "../../secret.jpg"
    broken = table.set_column(table.column_names.index("path"), table.schema.field("path"), [paths])
    write_table(broken, manifest)
    assert main(arguments(run_copy, "--fresh", verb="audit")) == 3
    assert "manifest.parquet: is missing or was changed since stage pair made it" in errors(capsys)
    assert main(arguments(run_copy, "--fresh", "--set", "execute.digests=none", verb="audit")) == 3
    text = errors(capsys)
    assert "leaves the manifest's folder" in text
    assert table.column("image_id")[3].as_py() in text


def test_a_full_disk_keeps_what_is_finished(
    run_copy: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    before = read_json(run_copy / "verify" / "done" / "stage.json")
    whole = read_json(run_copy / "forge" / "done" / "stage.json")["digest"]
    calls = 0

    def fills_up(_fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 100:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "_fsync", fills_up)
    assert main(arguments(run_copy, "--fresh", verb="forge")) == 5
    assert "disk is full" in errors(capsys)
    assert read_json(run_copy / "verify" / "done" / "stage.json") == before
    assert not list(run_copy.rglob("*.tmp"))
    finished = sorted(p.name for p in (run_copy / "forge" / "done").glob("0*.json"))
    assert finished
    monkeypatch.undo()
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    assert main(arguments(run_copy, verb="forge")) == 0
    assert read_json(run_copy / "forge" / "done" / "stage.json")["digest"] == whole


def test_a_changed_output_is_noticed_and_made_again(run_copy: Path):
    path = run_copy / "forge" / "fakes.parquet"
    digest = read_json(run_copy / "forge" / "done" / "stage.json")["digest"]
    path.write_bytes(path.read_bytes()[:-20])
    assert main(arguments(run_copy, verb="forge")) == 0
    assert read_json(run_copy / "forge" / "done" / "stage.json")["digest"] == digest
    pq.ParquetFile(path)


def test_two_hosts_share_a_stage(run_copy: Path, capsys: pytest.CaptureFixture[str]):
    digest = read_json(run_copy / "dataset" / "done" / "stage.json")["digest"]
    assert main(arguments(run_copy, "--fresh", "--shard", "1/2", verb="pair")) == 5
    assert "left to other hosts" in errors(capsys)
    assert main(arguments(run_copy, "--shard", "2/2", verb="pair")) == 0
    assert read_json(run_copy / "dataset" / "done" / "stage.json")["digest"] == digest


def test_two_hosts_work_at_the_same_time(run_copy: Path):
    digest = read_json(run_copy / "forge" / "done" / "stage.json")["digest"]
    (run_copy / "forge" / "done" / "stage.json").unlink()
    for marker in (run_copy / "forge" / "done").glob("*.json"):
        marker.unlink()
    stale = run_copy / "forge" / "fakes" / ".killed.png.abcdefgh.tmp"
    stale.parent.mkdir(exist_ok=True)
    stale.write_bytes(b"half a picture")
    hosts = [
        subprocess.Popen(
            [sys.executable, "-m", "pipeline", *arguments(run_copy, "--shard", f"{i}/2", verb="forge")],
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in (1, 2)
    ]
    errors_of = [host.communicate()[1] for host in hosts]
    assert {host.returncode for host in hosts} <= {0, 5}, errors_of
    assert 0 in {host.returncode for host in hosts}, errors_of
    assert read_json(run_copy / "forge" / "done" / "stage.json")["digest"] == digest
    assert not list((run_copy / "forge").rglob("*.tmp"))


def test_unfinished_input_names_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", "--out", str(tmp_path / "r")]) == 3
    text = errors(capsys)
    assert "stage pair" in text
    assert "fairforge run" in text


def test_allow_short_records_the_shortfall(run_copy: Path):
    rows = (
        pq.ParquetFile(run_copy / "verify" / "faces.parquet")
        .read(["cell", "sharpness", "status", "reason"])
        .to_pylist()
    )
    good = [row for row in rows if row["status"] == "accepted" or row["reason"] == "surplus"]
    usable = sorted(row["sharpness"] for row in good if row["cell"] == "Asian/Female")
    limit = usable[-4]  # Asian/Female keeps four faces
    assert (
        main(arguments(run_copy, "--set", f"verify.min_sharpness={limit}", "--allow-short", "--to", "audit"))
        == 0
    )
    counts = read_json(run_copy / "dataset" / "counts.json")
    assert counts["shortfall"]
    metadata = pq.ParquetFile(run_copy / "dataset" / "manifest.parquet").schema_arrow.metadata
    assert json.loads(metadata[b"fairforge.shortfall"]) == counts["shortfall"]


def test_a_killed_stage_keeps_its_finished_shards(run_copy: Path, capsys: pytest.CaptureFixture[str]):
    """Taking a stage's marker away is what a kill leaves behind: the shards that are there must not be made
    again.
    """
    for stage in ("sample", "verify", "forge", "dataset"):
        (run_copy / stage / "done" / "stage.json").unlink()
        (run_copy / stage / "done" / "00000.json").unlink()
    assert main(arguments(run_copy, "--to", "pair")) == 0
    text = capsys.readouterr().err
    for stage in ("sample", "verify", "forge", "pair"):
        assert f"{stage}: 1 of " in text, text
    assert "made again" not in text
