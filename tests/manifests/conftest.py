"""A drawn release for the tests of releases."""

import shutil

import pytest


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    from tests.manifests.release_fixture import make_dataset

    make_dataset(folder)
    return folder


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """A release that no test may change."""
    from manifests.release import build_release
    from tests.manifests.release_fixture import INFO

    out = tmp_path_factory.mktemp("releases") / "drawn"
    build_release(dataset, out, INFO)
    return out


@pytest.fixture
def release(finished, tmp_path):
    """A release to spoil."""
    return shutil.copytree(finished, tmp_path / "release")
