"""A few kills at random moments over the commands that need no torch; `python -m benchmarks.kills` has all of
them, 60 kills.
"""

from pathlib import Path

import pytest

from benchmarks.kill_jobs import JOBS
from benchmarks.kills import kill

SEED = 2026


@pytest.mark.parametrize("name", ["import", "release", "export-webdataset"])
def test_killed_and_started_again_ends_in_the_same_bytes(tmp_path: Path, name: str):
    (found,) = kill([name], 1, SEED, tmp_path)
    assert found["files"] > 5
    assert found["differ"] == {}


def test_every_long_command_is_a_job():
    from manifests.exporters import EXPORTERS

    commands = {
        "import",
        "gather",
        "release",
        "train",
        "evaluate",
        "train-generator",
        "train-attributes",
        "train-landmarks",
        "run",
        "train-autoencoder",
    }
    assert set(JOBS) == commands | {f"export-{name}" for name in EXPORTERS.names()}
