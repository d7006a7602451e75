"""The longest tests start first, so that two test processes end at about the same time; each computes with one thread."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: two processes of two threads wait for each other

LONG = ("test_byte_identity.py", "test_bad_input.py", "test_command_line.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
