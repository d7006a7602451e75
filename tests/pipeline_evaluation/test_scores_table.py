"""Scores are one table whose columns are checked once; rows are taken together."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.stages.evaluate.measuring import constant
from pipeline.stages.evaluate.scores import Scores


def some() -> Scores:
    return Scores.of(
        "set",
        ["a", "b", "c"],
        [0, 1, 1],
        np.float32([0.25, 0.5, 0.75]),
        {"race": ["x", None, "y"]},
        ["a.png", "", "c.png"],
        cluster=["p", "p", None],
        method=["none", "m", "m"],
        set=[None, None, None],
        warnings=("odd",),
    )


def test_columns_come_back_and_those_without_a_value_are_none():
    scores = some()
    assert (scores.keys, scores.paths, len(scores)) == (["a", "b", "c"], ["a.png", "", "c.png"], 3)
    assert (scores.label.dtype, scores.score.dtype) == (np.int64, np.float64)
    assert scores.score.tolist() == [0.25, 0.5, 0.75]
    assert scores.groups == {"race": ["x", None, "y"]}
    assert (scores.clusters, scores.methods) == (["p", "p", None], ["none", "m", "m"])
    assert (scores.sets, scores.videos) == (None, None)


def test_rows_are_taken_in_all_columns_and_scores_replaced_in_one():
    scores = some().taken([2, 0])
    assert (scores.keys, scores.score.tolist()) == (["c", "a"], [0.75, 0.25])
    assert (scores.groups["race"], scores.methods, scores.clusters) == (
        ["y", "x"],
        ["m", "none"],
        [None, "p"],
    )
    assert (scores.warnings, scores.name) == (("odd",), "set")
    fake = constant(scores)
    assert fake.score.tolist() == [1.0, 1.0]
    assert (fake.keys, scores.score.tolist()) == (["c", "a"], [0.75, 0.25])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["path"]), "need a column path"),
        (lambda t: t.set_column(1, "label", pa.array([0.0, 1.0, 1.0])), "need a column label of int64"),
        (lambda t: t.set_column(0, "key", pa.array(["a", None, "c"])), "a row without key"),
        (lambda t: t.append_column("extra", pa.array(["a", "b", "c"])), "no column extra"),
        (lambda t: t.append_column("group:age", pa.array([1, 2, 3])), "no column group:age of int64"),
    ],
)
def test_another_table_is_refused(change, message: str):
    with pytest.raises(ValueError, match=message):
        Scores("set", change(some().table))


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(pa.ArrowInvalid):
        Scores.of("set", ["a", "b"], [0, 1, 1], [0.1, 0.2, 0.3], {}, ["", "", ""])
