"""Fixtures of the detector's tests: a small manifest, shared and never written to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.detector.detector_fixtures import make_set


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks are fastest on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 cells x 7 identities x (1 real + 2 fakes), 32 px PNG."""
    return make_set(tmp_path_factory.mktemp("detector-set"))
