"""The harness fails where a reader does what it must not; the same seed gives the same damage."""

import json
import subprocess
import sys
import time

import pytest

from manifests.errors import DataError, GateError, UsageError
from tests.fuzz import harness
from tests.fuzz.mutations import ANY, BY_ENDING, json_node, mutated


def test_exit_codes_and_bugs(tmp_path):
    def gives(error):
        def read(place):
            raise error

        return harness.exit_code(read, tmp_path)

    assert harness.exit_code(lambda place: None, tmp_path) == 0
    assert gives(DataError("a", "b", "c")) == 3
    assert gives(UsageError("a", "b", "c")) == 2
    assert gives(GateError("a", "b", "c")) not in harness.ALLOWED
    with pytest.raises(ValueError, match="a bug"):
        gives(ValueError("a bug"))
    with pytest.raises(AssertionError):
        gives(DataError("a", "b", ""))


def test_a_process_that_starts_is_seen_even_where_its_failure_is_caught(tmp_path):
    with pytest.raises(AssertionError, match=r"subprocess\.Popen"):
        harness.exit_code(lambda place: subprocess.run([sys.executable, "-c", ""], check=True), tmp_path)


def test_writing_elsewhere_is_seen(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    assert harness.exit_code(lambda place: (place / "a").write_text("x"), inside) == 0
    with pytest.raises(AssertionError, match="for writing"):
        harness.exit_code(lambda place: outside.write_text("x"), inside)


@pytest.mark.parametrize(
    ("limit", "wait"),
    [("SECONDS", lambda: all(iter(lambda: True, False))), ("WAITING", lambda: time.sleep(5))],
)
def test_a_loop_and_a_wait_end(tmp_path, monkeypatch, limit, wait):
    monkeypatch.setattr(harness, limit, 0.2)
    with pytest.raises(harness.Hang):
        harness.exit_code(lambda place: wait(), tmp_path)


def test_memory_is_bounded():
    with harness.bounded_memory(), pytest.raises(MemoryError):
        bytearray(2 * harness.MEMORY)
    assert len(bytearray(1 << 20)) == 1 << 20


def test_the_same_numbers_give_the_same_damage_and_others_another():
    files = {"a.json": json.dumps({"x": [1, {"y": "z"}]}).encode(), "b.bin": bytes(range(256))}
    numbers = [(k * 7919 % 65536, k * 104729 % 65536, k * 1299709 % 65536) for k in range(200)]
    made = [mutated(files, [one]) for one in numbers]
    assert made == [mutated(files, [one]) for one in numbers]
    assert len({json.dumps({k: v.hex() for k, v in one.items()}) for one in made}) > 150
    for ending, kinds in BY_ENDING.items():
        assert set(kinds).isdisjoint(ANY), ending
    replaced = [
        json.loads(json_node(b'{"a": 1}', place, what)) for place in range(2) for what in range(1, 60)
    ]
    assert {type(value) for value in replaced} >= {dict, list, str, bool}
