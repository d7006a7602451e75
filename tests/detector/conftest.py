"""Fixtures of the detector's tests: a small manifest, shared and never written to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from detector_fixtures import make_set


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 cells x 7 identities x (1 real + 2 fakes), 32 px PNG."""
    return make_set(tmp_path_factory.mktemp("detector-set"))
