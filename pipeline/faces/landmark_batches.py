"""Landmarks of many fakes in one batch, although each fake is judged by itself.

The landmark model computes 16 rows whatever it is given, so one face at a time costs as much as 16. Work that
needs landmarks is therefore a generator: it yields the face it asks about and is sent the points. `together`
runs several, and answers all that wait at once; a row depends on its picture alone, so the points are those
that each would get by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol, TypeVar

from manifests.records import Image, Points

Result = TypeVar("Result")
Ask = tuple[Image, Points]
"""A picture, and about where the face's landmarks are: float32 [148, 2], pixels."""
Work = Generator[Ask, Points, Result]


class Reader(Protocol):
    """What answers."""

    def points_of(self, asks: Sequence[Ask]) -> list[Points]:
        """Landmarks of each face."""
        ...


def alone(reader: Reader | None, work: Work[Result]) -> Result:
    """Run one piece of work to its end."""
    return together(reader, [work])[0]


def together(reader: Reader | None, works: Sequence[Work[Result]]) -> list[Result]:
    """Run pieces of work side by side to their ends; results in their order.

    Args:
        reader: None where no work asks.
        works: generators that have not begun.

    Raises:
        What a piece of work raises.
    """
    results: dict[int, Result] = {}
    asks: dict[int, Ask] = {}

    def go_on(number: int, answer: Points | None) -> None:
        try:
            asks[number] = next(works[number]) if answer is None else works[number].send(answer)
        except StopIteration as end:
            results[number] = end.value

    for number in range(len(works)):
        go_on(number, None)
    while asks:
        waiting = list(asks)
        assert reader is not None
        answers = reader.points_of([asks.pop(number) for number in waiting])
        for number, answer in zip(waiting, answers, strict=True):
            go_on(number, answer)
    return [results[number] for number in range(len(works))]
