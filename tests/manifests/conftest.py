"""The folder's helper modules on the path, and a drawn release for the tests of releases."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    from release_fixture import make_dataset

    make_dataset(folder)
    return folder


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """A release that no test may change."""
    from release_fixture import INFO

    from manifests.release import build_release

    out = tmp_path_factory.mktemp("releases") / "drawn"
    build_release(dataset, out, INFO)
    return out


@pytest.fixture
def release(finished, tmp_path):
    """A release to spoil."""
    return shutil.copytree(finished, tmp_path / "release")
