"""A manifest of drawn faces, all real, with landmarks: what fakes are drawn of. Shared and never written
to.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.online_training.online_set import make_set


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 cells x (6 train + 3 val) real faces of 64 px."""
    return make_set(tmp_path_factory.mktemp("online-set"))
