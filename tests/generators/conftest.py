"""A module of the official name to pickle with, and pictures to train on."""

import pytest


@pytest.fixture
def persistence(monkeypatch):
    """Writes networks under the official loader's global."""
    from tests.generators.stored_networks import persistence_writer

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
