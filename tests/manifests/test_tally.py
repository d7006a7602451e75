"""A thousand warnings of one kind are one line."""

from manifests.tally import KINDS, Tally


def test_reasons_that_differ_in_their_values_are_one_line():
    tally = Tally()
    for k in range(1000):
        tally.add(f"label is not 0 or 1: 'x{k}'", f"row {k}")
    tally.add("is not there")
    assert tally.count == 1001
    assert tally.lines("of 2000 rows left out") == [
        "1000 of 2000 rows left out: label is not 0 or 1: 'x0' (e.g. row 0)",
        "1 of 2000 rows left out: is not there",
    ]


def test_what_moves_a_cursor_is_not_printed():
    tally = Tally()
    tally.add("is not there", "\x1b[2Ja\n.png")
    assert tally.lines("rows") == ["1 rows: is not there (e.g. \\x1b[2Ja\\n.png)"]


def test_many_kinds_have_one_line_for_the_rest():
    tally = Tally()
    for k in range(KINDS + 4):
        tally.add("reason " + "abcdefghijklmnopqrstuvwxyz"[k])
    lines = tally.lines("rows left out")
    assert len(lines) == KINDS + 1
    assert lines[-1] == "4 rows left out for 4 other reasons"
    assert Tally().lines("rows") == []
