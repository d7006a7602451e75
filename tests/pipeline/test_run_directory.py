"""A run directory has one writer at a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from manifests.errors import UsageError
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory, read_json


def test_two_runs_at_once_are_refused(tmp_path: Path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.engine.config import Config\n"
        "from pipeline.engine.run_directory import RunDirectory\n"
        "with RunDirectory(Path(sys.argv[1]), Config()).locked():\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    run = RunDirectory(tmp_path, Config())
    with pytest.raises(UsageError, match=f"another run is writing here .pid {holder.pid}"), run.locked():
        raise AssertionError("the lock was given twice")
    holder.kill()
    holder.communicate()
    with run.locked():
        assert str(holder.pid) not in (tmp_path / ".lock").read_text()


def test_record_names_versions_and_seed(tmp_path: Path):
    RunDirectory(tmp_path, Config()).record(["run", "--out", "x"])
    value = json.loads((tmp_path / "run.json").read_text())
    assert value["seed"] == 2026
    assert value["argv"] == ["run", "--out", "x"]
    assert value["versions"]["torch"] != "not installed"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": '])
def test_a_cut_off_json_reads_as_empty(tmp_path: Path, text: str):
    (tmp_path / "x.json").write_text(text)
    assert read_json(tmp_path / "x.json") == {}
    assert read_json(tmp_path / "none.json") == {}
