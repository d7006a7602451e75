"""No piece of real logic stands twice (`make lint` runs the same)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.written_twice import LINES, project_files, twice

BODY = """
def {name}({one}, {two}):
    \"\"\"{name}.\"\"\"
    import math
    total = 0
    for item in {one}:  # each
        if item > {two}:
            total += math.sqrt(item)
        else:
            total -= item
    if total < 0:
        raise ValueError("{name}")
    kept = [value for value in {one} if value]
    first = sorted(kept)[0]
    return total / first
"""


def test_nothing_stands_twice():
    files = project_files()
    assert len(files) > 400
    assert twice(files) == []


def test_a_copy_is_found_by_its_shape(tmp_path: Path):
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    files[0].write_text(BODY.format(name="mean", one="values", two="least"))
    files[1].write_text("x = 1\n" + BODY.format(name="other", one="rows", two="limit"))
    [found] = twice(files)
    assert (found.first.number, found.second.number, found.length) == (5, 6, LINES + 1)
    assert twice(files, names=True) == []
    files[1].write_text(files[1].read_text().replace("math.sqrt", "math.log"))
    assert twice(files) == [], "another function is called"


def test_a_short_run_and_text_are_no_copy(tmp_path: Path):
    one = tmp_path / "one.py"
    one.write_text("def f():\n    a = 1\n    return a\n\ndef g():\n    b = 1\n    return b\n")
    assert twice([one]) == []
    lines = "\n".join(f'        "question {k}",' for k in range(30))
    one.write_text(f"def f():\n    return [\n{lines}\n    ]\n\ndef g():\n    return [\n{lines}\n    ]\n")
    assert twice([one]) == []
