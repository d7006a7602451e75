"""`fairforge talk` on the faces of the small run: balanced, traceable, the same bytes however it is done."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from manifests.atomic import digest_file
from manifests.audit import audit_manifest
from manifests.clips.facts import clip_facts
from manifests.mesh148 import INDICES
from manifests.schema import SPLITS, metadata_of
from manifests.store import read_manifest, read_table, validate
from pipeline.__main__ import main
from pipeline.commands.talking import RECORDS
from pipeline.commands.talking.planning import plan_clips, unsuited
from pipeline.commands.talking.stage import FACES
from tests.pipeline.conftest import command, environment
from tests.talking.speakers import NEEDS_ESPEAK

pytestmark = NEEDS_ESPEAK
METHODS = ("av-foreign", "av-shift", "av-face-swap")


def arguments(out: Path, faces: Path, *more: str) -> list[str]:
    named = [part for method in METHODS for part in ("--methods", method)]
    sets = [
        "--set",
        'dataset.only=["White/Male", "Asian/Male"]',
        "--set",
        "dataset.splits={train=0.5, test=0.5}",
    ]
    return [
        "talk",
        "--out",
        str(out),
        "--run",
        str(faces),
        "--per-cell",
        "2",
        "--seconds",
        "1",
        "--size",
        "64",
        *named,
        *sets,
        "--quiet",
        *more,
    ]


@pytest.fixture(scope="module")
def faces(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run with enough faces in train and test: those of val are of test."""
    import pyarrow as pa

    from manifests.atomic import write_json
    from manifests.store import write_table

    root = tmp_path_factory.mktemp("faces") / "run"
    for name in ("sample", "verify"):
        shutil.copytree(small_run / name, root / name)
    shutil.copy(small_run / "config.toml", root)
    file = root / "verify" / "faces.parquet"
    table = read_table(file)
    split = ["test" if one == "val" else one for one in table["split"].to_pylist()]
    write_table(
        table.set_column(table.column_names.index("split"), "split", pa.array(split, pa.string())), file
    )
    marker = root / "verify" / "done" / "stage.json"
    value = json.loads(marker.read_text())
    value["outputs"]["faces.parquet"] = digest_file(file)
    write_json(marker, value)
    return root


@pytest.fixture(scope="module")
def made(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("talk") / "t"
    assert main(arguments(out, faces, "--workers", "1")) == 0
    return out


def files(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): digest_file(path)
        for path in sorted((out / "dataset").rglob("*"))
        if path.is_file()
    }


def test_clips_are_balanced_in_step_and_through_one_encoder(made: Path):
    table = read_manifest(made / "dataset")
    rows = table.to_pylist()
    assert len(rows) == 2 * 2 * (1 + len(METHODS))
    assert validate(made / "dataset") == []
    report = audit_manifest(made / "dataset", ["balance", "leaks"], {}, 0)
    assert report["passed"]
    assert {row["split"] for row in rows} == {"train", "test"} < set(SPLITS)
    assert {(row["media"], row["frames"], row["duration"], row["codec"], row["width"]) for row in rows} == {
        ("video", 25, 1.0, "h264+aac", 64)
    }
    kinds = set()
    for row in rows:
        facts = clip_facts(made / "dataset" / row["path"])
        kinds.add(
            (
                facts.codec,
                facts.frames,
                facts.width,
                facts.sound.codec,
                facts.sound.sample_rate,
                facts.sound.duration,
            )
        )
        assert (row["fake_segments"] is None) == (row["label"] == 0)
    assert len(kinds) == 1
    assert metadata_of(table)["taxonomy"] == "fairface4"


def test_a_clip_leads_back_to_its_face_and_its_parameters(
    made: Path, faces: Path, capsys: pytest.CaptureFixture[str]
):
    rows = read_manifest(made / "dataset").to_pylist()
    records = json.loads((made / "dataset" / RECORDS).read_text())
    known = {row["image_id"]: row for row in read_table(faces / "verify" / "faces.parquet").to_pylist()}
    assert set(records) == {row["image_id"] for row in rows}
    for row in rows:
        record = records[row["image_id"]]
        assert known[record["face_id"]]["identity_id"] == row["identity_id"]
        assert known[record["face_id"]]["cell"] == row["cell"]
        if row["method"] == "av-face-swap":
            assert known[record["other_face_id"]]["cell"] == row["cell"]
            assert known[record["other_face_id"]]["split"] == row["split"]
        if row["method"] == "av-foreign":
            assert known[record["other_face_id"]]["gender"] == row["gender"]
            assert known[record["other_face_id"]]["identity_id"] != row["identity_id"]
    shifted = next(row for row in rows if row["method"] == "av-shift")
    capsys.readouterr()
    assert main(["inspect", shifted["image_id"], "--out", str(made), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "shift" in json.loads(told["clip"]["params"])


def test_killed_and_gone_on_with_by_two_workers_it_makes_the_same_bytes(
    made: Path, faces: Path, tmp_path: Path
):
    out = tmp_path / "t"
    process = subprocess.Popen(
        command(arguments(out, faces, "--workers", "1")),
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not list(out.glob("dataset/done/0*.json")) and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, 9)
    process.wait()
    done = len(list(out.glob("dataset/done/0*.json")))
    assert 0 < done < 4
    assert main(arguments(out, faces, "--workers", "2")) == 0
    assert files(out) == files(made)


def test_a_dry_run_writes_nothing(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(arguments(tmp_path / "t", faces, "--dry-run")) == 0
    assert "talk" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_or_does_not_fit_is_told(
    faces: Path,
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    from generators.talking import speech

    assert main(arguments(tmp_path / "t", tmp_path / "nowhere")) == 3
    assert main(["talk", "--out", str(tmp_path / "t"), "--run", str(faces), "--methods", "av-none"]) == 2
    assert "av-none" in capsys.readouterr().err
    assert main(["talk", "--out", str(small_run), "--run", str(faces)]) == 2
    assert "holds a dataset of pictures" in capsys.readouterr().err
    assert main([*arguments(tmp_path / "t", faces), "--per-cell", "400"]) == 4
    assert "faces that can speak" in capsys.readouterr().err
    monkeypatch.setattr(speech, "espeak_library", lambda: None)
    assert main(arguments(tmp_path / "t", faces)) == 3
    assert "apt-get install espeak-ng" in capsys.readouterr().err


def test_faces_that_look_away_or_laugh_are_left_out_with_reasons(faces: Path):
    rows = [
        row
        for row in read_table(faces / "verify" / "faces.parquet").select([*FACES, "status"]).to_pylist()
        if row["status"] == "accepted" and row["cell"] == "White/Male"
    ]
    wanted = {"train": {"White/Male": 1}}
    first = plan_clips(rows, wanted, 7, False).items[0]["face"]["image_id"]
    turned = [dict(row) for row in rows]
    for row in turned:
        if row["image_id"] == first:
            points = list(row["landmarks"])
            nose = 2 * INDICES.index(1)
            points[nose] += 40
            row["landmarks"] = points
    planned = plan_clips(turned, wanted, 7, False)
    assert (first, "turned_away") in planned.skipped
    assert planned.items[0]["face"]["image_id"] != first
    assert unsuited({**rows[0], "landmarks": None}) == "no_landmarks"
    assert unsuited({**rows[0], "origin": "photograph"}) == "photograph"


def test_clips_that_failed_are_for_the_same_command(tmp_path: Path, small_run: Path, capsys):
    """What `retry` lacks is what `talk` was given: the clips' own flags."""
    out = tmp_path / "talk"
    (out / "dataset" / "failed").mkdir(parents=True)
    shutil.copy(small_run / "config.toml", out)
    (out / "dataset" / "key.json").write_text(json.dumps({"config": {"talk": {}}}))
    (out / "dataset" / "failed" / "00003.json").write_text(json.dumps({"error": "no breath"}))
    assert main(["retry", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "1 clips of `fairforge talk` failed (the first: no breath)" in said
    assert "fix: give the same `fairforge talk` command: it makes" in said
    assert main(["status", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "do the failed clips again: the same `fairforge talk` command" in said
    assert "fairforge retry" not in said
