"""One thread per test process, and the longest tests first, so that two test processes end at about the same
time.
"""

import os

for _name in (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
):  # before torch and numpy are loaded
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402

LONG = ("test_byte_identity.py", "test_bad_input.py", "test_command_line.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
