"""Reasons counted, so that a thousand warnings of one kind are one line with an example and a number."""

from __future__ import annotations

import re

from manifests.escaping import printable

KINDS = 10
"""Kinds of reasons that are printed, at most; the others are one line."""
_OWN = re.compile(r"""'[^']*'|"[^"]*"|\(.*\)|\[.*\]|\{.*\}|[0-9]+(?:\.[0-9]+)?""")


class Tally:
    """Counts reasons by kind: those that differ in quoted values, numbers or brackets are one kind."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, str, str | None]] = {}

    def add(self, reason: str, example: str | None = None) -> None:
        """Count a reason. example: which item it is of; the first one of each kind is shown."""
        count, first, shown = self._kinds.get(kind := _OWN.sub("…", reason), (0, reason, example))
        self._kinds[kind] = (count + 1, first, shown)

    @property
    def count(self) -> int:
        """How many reasons were added."""
        return sum(count for count, _, _ in self._kinds.values())

    def lines(self, what: str, most: int = KINDS) -> list[str]:
        """One line per kind, the most frequent first: `12 items gave no image: is not there (e.g. a.png)`.

        Args:
            what: what is counted, after the number.
            most: kinds that have a line of their own; the rest are one line.
        """
        ranked = sorted(self._kinds.values(), key=lambda entry: -entry[0])
        out = [
            printable(f"{count} {what}: {reason}" + (f" (e.g. {example})" if example is not None else ""))
            for count, reason, example in ranked[:most]
        ]
        rest = sum(count for count, _, _ in ranked[most:])
        return [*out, f"{rest} {what} for {len(ranked) - most} other reasons"] if rest else out
