"""The script of docs/how-to/sweeps.md runs as it is written, and goes on where it stopped."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.detector.detector_fixtures import TINY
from tests.manifests.manifest_rows import drawn_set
from tests.pipeline.conftest import environment

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "sweeps.md"


def test_two_trials_of_the_recipe(tmp_path: Path):
    pytest.importorskip("optuna", reason="needs pip install optuna")
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "sweep.py").write_text(script)
    drawn_set(tmp_path / "set", per_cell=4, size=32)
    settings = {**TINY, "epochs": 1, "batch": 16}
    words = [
        word for key, value in settings.items() for word in ("--set", f"train.{key}={json.dumps(value)}")
    ]
    done = subprocess.run(
        [sys.executable, "sweep.py", "set", "2", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    value, best = done.stdout.strip().split(" ", 1)
    assert set(json.loads(best)) == {"train.lr", "train.rho", "train.label_smoothing"}
    found = []
    for name in ("000", "001"):
        lines = (tmp_path / "runs" / "sweep" / name / "metrics.jsonl").read_text().splitlines()
        found.append(max(json.loads(line)["val_auc"] for line in lines))
    assert float(value) == pytest.approx(max(found), abs=1e-4)
    assert (tmp_path / "runs" / "sweep" / "journal.log").is_file()
