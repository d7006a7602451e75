"""Puts this folder's helper modules where its tests can import them; a module of the official name to pickle with."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def persistence(monkeypatch):
    """Writes networks under the official loader's global."""
    from stored_networks import persistence_writer

    return persistence_writer(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    """A folder of 40 small pictures to train on."""
    from tests.generators.training_data import discs, png

    source = tmp_path / "faces"
    source.mkdir()
    for number, image in enumerate(discs(40)):
        (source / f"{number:03d}.png").write_bytes(png(image))
    return source
