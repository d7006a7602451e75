"""The command line: every command has help, results on stdout, progress on stderr, exit codes, quick
`--help`.
"""

import json
import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from detector.training.settings import TrainSettings
from pipeline.__main__ import main
from pipeline.cli import build
from pipeline.engine.registries import KINDS, REGISTRIES, registry_of
from pipeline.engine.stages import all_stages
from tests.pipeline.conftest import command, environment

STAGES = [stage for stage in all_stages() if not stage.optional]


def commands() -> list[list[str]]:
    """Every command and sub-command."""
    app = build()
    out = [[c.name or c.callback.__name__] for c in app.registered_commands]
    for group in app.registered_groups:
        out += [[group.name, c.name or c.callback.__name__] for c in group.typer_instance.registered_commands]
    return out


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage:" in text
    assert len(text.splitlines()[2].strip()) > 15, "a command's help says what it does"


def seconds_of(words: list[str]) -> float:
    """Seconds of the processor of one run, which other programs lengthen little."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick():
    """On a machine of any speed: not much more than what any program with typer's help takes."""
    plain = (
        "import typer\nimport rich.console\napp = typer.Typer()\n"
        "@app.command()\ndef run(name: str = 'x') -> None: 'Help.'\n"
        "app(['--help'], standalone_mode=False)"
    )
    least, taken = float("inf"), float("inf")
    for _ in range(5):  # in turns, the least of each: other programs share caches and clock
        least = min(least, seconds_of([sys.executable, "-c", plain]))
        taken = min(taken, seconds_of(command(["--help"])))
    assert taken < 2 * least, (taken, least)


def test_help_loads_nothing_heavy():
    script = (
        "import sys\nfrom pipeline.__main__ import main\nmain(['--help'])\nheavy = {'torch', 'numpy',"
        " 'pyarrow', 'pydantic', 'PIL', 'cv2'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_json_goes_to_stdout_and_progress_to_stderr(small_run: Path):
    done = subprocess.run(
        command(["report", "--out", str(small_run), "--json"]),
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    value = json.loads(done.stdout)
    assert value["output"].endswith("report/index.html")
    assert "report: done already" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("made ")
    quiet = subprocess.run(
        command(["report", "--out", str(small_run), "--quiet"]),
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert quiet.stderr == ""
    assert quiet.stdout.strip().endswith("index.html")


def test_plan_and_status_and_dry_run(
    small_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    assert main(["plan", "--out", str(small_run), "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    assert [p["state"] for p in plans] == ["done"] * len(STAGES)
    assert main(["plan", "--out", str(small_run), "--set", "train.lr=0.5"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "train stale config.train.lr" in text
    assert "-> 0.5" in text
    assert "evaluate stale train will be made again" in text
    assert "verify done" in text
    before = sorted(os.listdir(small_run))
    assert main(["run", "--out", str(small_run), "--set", "run.seed=8", "--dry-run"]) == 0
    assert "cells stale seed 7 -> 8" in " ".join(capsys.readouterr().out.split())
    assert sorted(os.listdir(small_run)) == before
    assert main(["status", "--out", str(small_run), "--json"]) == 0
    status = {s["stage"]: s for s in json.loads(capsys.readouterr().out)}
    assert status["verify"]["state"] == "finished"
    assert status["verify"]["summary"]["accepted"] >= 24


def test_inspect_tells_where_an_image_comes_from(small_run: Path, capsys: pytest.CaptureFixture[str]):
    from manifests import read_manifest

    rows = read_manifest(small_run / "dataset").to_pylist()
    fake = next(row for row in rows if row["method"] == "swap-delaunay")
    assert main(["inspect", fake["image_id"], "--out", str(small_run), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["image"]["source_id"] == fake["source_id"]
    assert value["candidate"]["image_id"] == fake["target_id"]
    assert value["forgery"]["status"] == "accepted"
    assert main(["inspect", "zzzz", "--out", str(small_run)]) == 3
    assert main(["inspect", "", "--out", str(small_run)]) == 2


ONE_OF = {
    "forgeries": "swap-delaunay",
    "clip-forgeries": "av-shift",
    "generator-formats": "official-pickle",
    "families": "swap",
    "strategies": "rejection",
    "attribute-models": "mtcnn",
    "backbones": "resnet10t-narrow",
    "architectures": "single",
    "losses": "daw-fdd",
    "audits": "balance",
    "adapters": "ffpp",
    "exporters": "webdataset",
    "feature-networks": "fairforge-mesh148",
    "feature-spaces": "identity",
    "stages": "verify",
    "generators": "starter64",
    "executors": "process",
    "taxonomies": "fairface4",
    "trackers": "tensorboard",
}


@pytest.mark.parametrize("kind", KINDS)
def test_list_of_every_kind(kind: str, capsys: pytest.CaptureFixture[str]):
    assert main(["list", kind, "--json"]) == 0
    names = [value["name"] for value in json.loads(capsys.readouterr().out)]
    assert ONE_OF[kind] in names
    assert len(set(names)) == len(names)
    if kind in REGISTRIES:
        assert names == registry_of(kind).names()


def test_list_of_an_unknown_kind_names_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert main(["list", "forgerys"]) == 2
    error = capsys.readouterr().err
    assert "did you mean forgeries" in error
    assert error.count("error:") == error.count("fix:") == 1


def test_doctor_and_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "MISSING" not in text
    assert "weight fairforge-small" in text
    assert main(["weights", "verify"]) == 0
    capsys.readouterr()
    assert main(["weights", "list", "--json"]) == 0
    weights = {value["name"]: value for value in json.loads(capsys.readouterr().out)}
    assert {"starter64", "fairforge-small", "fairforge-mesh148"} <= set(weights)
    assert weights["fairforge-small"]["measured"]["race4_balanced_accuracy"] > 0.7


def test_config_show_is_what_a_run_resolves(
    small_run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    assert main(["config", "show", "--config", str(small_run / "config.toml")]) == 0
    file = tmp_path / "again.toml"
    file.write_text(capsys.readouterr().out)
    shown, kept = (tomllib.loads(path.read_text()) for path in (file, small_run / "config.toml"))
    assert shown == kept
    assert set(kept["train"]) == set(TrainSettings.model_fields)
    assert (kept["train"]["epochs"], kept["train"]["seed"], kept["run"]["seed"]) == (2, "auto", 7)
    facts = json.loads((small_run / "detector" / "training.json").read_text())
    assert facts["settings"]["seed"] == 7, "the detector's training follows the run's seed"
    assert main(["config", "validate", str(file)]) == 0
    assert "no errors" in capsys.readouterr().out


def test_predict_goes_on_after_an_unreadable_image(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    import shutil

    images = sorted((small_run / "dataset" / "images").rglob("*.jpg"))[:3]
    for number, image in zip("134", images, strict=True):
        shutil.copy(image, tmp_path / f"{number}.jpg")
    (tmp_path / "2.jpg").write_bytes(images[0].read_bytes()[:200])
    checkpoint = small_run / "detector" / "checkpoint.safetensors"
    assert main(["predict", str(tmp_path), "--checkpoint", str(checkpoint), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "ok"]
    assert "not a readable image" in rows[1]["reason"]
    assert all(0 <= row["fake"] <= 1 for row in rows if row["status"] == "ok")
