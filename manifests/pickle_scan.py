"""One pass over the instructions of a pickle: on a stack of sizes, what it would make is weighed."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from mmap import mmap
from typing import Any

MOST_INSTRUCTIONS = 4_000_000
"""A file with the optimiser's state of ten thousand tensors has one million."""
DEEPEST = 300
"""Containers inside each other; a network of modules in modules is written some forty deep."""
HEAVIEST_KEY = 1_000
"""Values in a key of a dictionary or in a member of a set, with all that it holds."""
LARGEST_NUMBER = 32
"""Bytes of a whole number."""
SPARE, FACTOR, VALUE = 64 << 20, 4, 64
"""All calls together may take `FACTOR` times the file and `SPARE` bytes; a value in a list counts as `VALUE`
bytes.
"""


class Box:
    """A container or the result of a call. own: values put in. weight: with those inside what cannot change,
    each time.
    """

    __slots__ = ("depth", "items", "own", "weight")

    def __init__(self, items: list[Any], fixed: bool) -> None:
        self.items, self.own = items, len(items)
        boxes = [item for item in items if item.__class__ is Box] if fixed else []
        self.weight: int = 1 + len(items) + sum(box.weight for box in boxes)
        self.depth: int = 1 + max((box.depth for box in boxes), default=0)
        if self.depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")


MARK = object()
"""What opens a group of values on the stack."""
Step = Callable[["Scan"], None]
"""What an instruction does to a scan."""


class Scan:
    """One pass over the instructions from `at` to STOP."""

    def __init__(self, data: bytes | mmap, at: int) -> None:
        self.data, self.at, self.end = data, at, len(data)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.spent = 0
        self.count = 0

    # --- reading ---

    def number(self, size: int) -> int:
        """An unsigned number of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def take(self, size: int) -> bytes:
        """The next bytes."""
        start = self.at
        self.skip(size)
        return self.data[start : self.at]

    def skip(self, size: int) -> None:
        """Past bytes that must be there."""
        self.at += size
        if self.at > self.end:
            raise ValueError("it ends too soon")

    def line(self, longest: int) -> int:
        """Past a line; its length."""
        stop = self.data.find(b"\n", self.at, min(self.end, self.at + longest + 1))
        if stop < 0:
            raise ValueError("a line that does not end")
        size, self.at = stop - self.at, stop + 1
        return size

    # --- the stack ---

    def above_mark(self) -> list[Any]:
        """What lies above the last mark, which goes."""
        stack = self.stack
        for place in range(len(stack) - 1, -1, -1):
            if stack[place] is MARK:
                items = stack[place + 1 :]
                del stack[place:]
                return items
        raise ValueError("a mark is missing")

    def pop(self) -> Any:
        """The top value."""
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("it takes a value that is not there")
        return self.stack.pop()

    def add(self, items: list[Any], keys: list[Any]) -> None:
        """Put items into the container on top; those that are keys must be light ones."""
        for key in keys:
            if key.__class__ is Box and key.weight > HEAVIEST_KEY:
                raise ValueError(f"a key of more than {HEAVIEST_KEY} values")
        if not self.stack or self.stack[-1].__class__ is not Box:
            raise ValueError("it adds to what is no container")
        box = self.stack[-1]
        box.items.extend(item for item in items if item.__class__ is Box)
        box.weight += len(items)
        box.own += len(items)

    def call(self, arguments: list[Any]) -> None:
        """Push the result of a call, whose cost is that of what it is given and of what that holds."""
        cost = 0
        for given in arguments:
            inner = given.items if given.__class__ is Box else ()
            cost += given.weight * VALUE if inner or given.__class__ is Box else given
            cost += sum(one.weight * VALUE if one.__class__ is Box else one for one in inner)
            cost += sum(
                part.weight * VALUE
                for one in inner
                if one.__class__ is Box
                for part in one.items
                if part.__class__ is Box
            )
        self.spent += cost
        if self.spent > SPARE + FACTOR * self.end:
            raise ValueError("its calls would take far more memory than the file has")
        self.stack.append(Box(arguments, True))

    def remember(self, place: int) -> None:
        """Keep the top of the stack."""
        if place > self.count + 256:
            raise ValueError(f"a memo of {place} places")
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("it keeps a value that is not there")
        self.memo[place] = self.stack[-1]

    def recall(self, place: int) -> None:
        """Push what was kept."""
        if place not in self.memo:
            raise ValueError("it asks for a value that was not kept")
        self.stack.append(self.memo[place])

    # --- the instructions ---

    def run(self, steps: Mapping[int, Step]) -> int:
        """Follow them by what each does; where the next byte after STOP is."""
        data = self.data
        while True:
            if self.at >= self.end:
                raise ValueError("it ends too soon")
            code = data[self.at]
            self.at += 1
            self.count += 1
            if self.count > MOST_INSTRUCTIONS:
                raise ValueError(f"it has more than {MOST_INSTRUCTIONS} instructions")
            step = steps.get(code)
            if step is None:
                if code == pickle.STOP[0]:
                    break
                raise ValueError(f"its instruction {bytes([code])!r} is not one of data")
            step(self)
        check_tree(self.pop())
        return self.at


def check_tree(root: Any) -> None:
    """Whether a tree of boxes ends, is not too deep, and has not too many values where shared ones count each
    time.
    """
    if root.__class__ is not Box:
        return
    done: dict[int, tuple[int, int]] = {}
    open_now: set[int] = {id(root)}
    path = [(root, iter(root.items))]
    while path:
        box, rest = path[-1]
        child = next((item for item in rest if item.__class__ is Box and id(item) not in done), None)
        if child is not None:
            if id(child) in open_now:
                raise ValueError("it holds itself")
            open_now.add(id(child))
            path.append((child, iter(child.items)))
            continue
        inside = [done[id(item)] for item in box.items if item.__class__ is Box]
        size = 1 + box.own + sum(pair[0] for pair in inside)
        depth = 1 + max((pair[1] for pair in inside), default=0)
        if size > MOST_INSTRUCTIONS or depth > DEEPEST:
            raise ValueError(
                f"it is nested more than {DEEPEST} deep, or holds more than {MOST_INSTRUCTIONS} values"
            )
        done[id(box)] = (size, depth)
        open_now.discard(id(box))
        path.pop()
