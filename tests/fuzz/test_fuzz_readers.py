"""Every reader of pictures, videos, tables, manifests, configurations and weights, on damaged inputs."""

import pytest

from manifests import atomic
from tests.fuzz.harness import fuzz
from tests.fuzz.reader_inputs import config_targets, picture_targets, score_targets, table_targets
from tests.fuzz.weight_inputs import weight_targets

TARGETS = [*picture_targets(), *score_targets(), *table_targets(), *config_targets(), *weight_targets()]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(atomic, "_fsync", lambda fd: None)


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_reader(target):
    assert fuzz(target) >= target.examples
