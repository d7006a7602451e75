"""Every registered adapter, by an import of a small valid input that is damaged in many ways."""

import pytest

from manifests import atomic
from manifests.adapters import ADAPTERS
from tests.fuzz.adapter_inputs import target
from tests.fuzz.harness import fuzz

EXAMPLES = 60


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(atomic, "_fsync", lambda fd: None)


@pytest.mark.parametrize("name", ADAPTERS.names())
def test_adapter(name):
    assert fuzz(target(name, EXAMPLES)) >= EXAMPLES
