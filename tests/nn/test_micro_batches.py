"""Micro-batches have one shape, hold every sample once, and their size is measured."""

import numpy as np
import pytest

from manifests.errors import UsageError
from nn.micro_batches import fastest_rows, micro_batches


@pytest.mark.parametrize(("count", "rows"), [(0, 4), (1, 4), (4, 4), (5, 4), (9, 2), (3, 1)])
def test_each_sample_stands_once_at_the_front_and_the_rest_are_repeats(count: int, rows: int):
    seen = []
    for at, kept in micro_batches(count, rows):
        assert at.shape == (rows,)
        assert set(at) == set(at[:kept])
        seen += at[:kept].tolist()
    assert seen == list(range(count))


def test_no_rows_is_an_error():
    with pytest.raises(UsageError, match="not positive"):
        list(micro_batches(3, 0))


def test_the_fastest_size_is_first_by_the_best_of_the_rounds():
    now, calls = [0.0], []
    cost = {4: 8.0, 8: 8.0, 16: 48.0}

    def run(rows: int) -> None:
        calls.append(rows)
        now[0] += cost[rows] * (5 if len(calls) > 6 else 1)

    found = fastest_rows(run, (4, 8, 16), rounds=2, clock=lambda: now[0])
    assert list(found.items()) == [(8, 1.0), (4, 2.0), (16, 3.0)]
    assert calls == [4, 8, 16] * 3
    assert np.isfinite(list(found.values())).all()
