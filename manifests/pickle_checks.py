"""What a pickle would make, found by following its instructions without executing any of them.

An unpickler that may call nothing can still be made to hang (a tuple of two halves, thirty times over, hashed
as a key), to fill the memory (a memo of four thousand million places, a call on the same long list again and
again) or to end the process (a key nested deeper than the C stack). So the instructions are counted and
weighed first, on a stack of sizes: nothing is allocated but that stack.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
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


class _Box:
    """A container or the result of a call. own: values put in. weight: with those inside what cannot change,
    each time.
    """

    __slots__ = ("depth", "items", "own", "weight")

    def __init__(self, items: list[Any], fixed: bool) -> None:
        self.items, self.own = items, len(items)
        boxes = [item for item in items if item.__class__ is _Box] if fixed else []
        self.weight: int = 1 + len(items) + sum(box.weight for box in boxes)
        self.depth: int = 1 + max((box.depth for box in boxes), default=0)
        if self.depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")


_MARK = object()
_SIZED = {
    pickle.BINUNICODE: 4,
    pickle.SHORT_BINUNICODE: 1,
    pickle.BINUNICODE8: 8,
    pickle.BINBYTES: 4,
    pickle.SHORT_BINBYTES: 1,
    pickle.BINBYTES8: 8,
    pickle.BYTEARRAY8: 8,
    pickle.BINSTRING: 4,
    pickle.SHORT_BINSTRING: 1,
}
"""Texts and bytes: how many bytes say how long they are."""
_NUMBERS = {
    pickle.NONE: 0,
    pickle.NEWTRUE: 0,
    pickle.NEWFALSE: 0,
    pickle.BININT: 4,
    pickle.BININT1: 1,
    pickle.BININT2: 2,
    pickle.BINFLOAT: 8,
}
_LINES = (pickle.INT, pickle.LONG, pickle.FLOAT, pickle.STRING, pickle.UNICODE)
_LONGEST_LINE = {pickle.INT: 80, pickle.LONG: 80, pickle.FLOAT: 80}


class _Scan:
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
            if stack[place] is _MARK:
                items = stack[place + 1 :]
                del stack[place:]
                return items
        raise ValueError("a mark is missing")

    def pop(self) -> Any:
        """The top value."""
        if not self.stack or self.stack[-1] is _MARK:
            raise ValueError("it takes a value that is not there")
        return self.stack.pop()

    def add(self, items: list[Any], keys: list[Any]) -> None:
        """Put items into the container on top; those that are keys must be light ones."""
        for key in keys:
            if key.__class__ is _Box and key.weight > HEAVIEST_KEY:
                raise ValueError(f"a key of more than {HEAVIEST_KEY} values")
        if not self.stack or self.stack[-1].__class__ is not _Box:
            raise ValueError("it adds to what is no container")
        box = self.stack[-1]
        box.items.extend(item for item in items if item.__class__ is _Box)
        box.weight += len(items)
        box.own += len(items)

    def call(self, arguments: list[Any]) -> None:
        """Push the result of a call, whose cost is that of what it is given and of what that holds."""
        cost = 0
        for given in arguments:
            inner = given.items if given.__class__ is _Box else ()
            cost += given.weight * VALUE if inner or given.__class__ is _Box else given
            cost += sum(one.weight * VALUE if one.__class__ is _Box else one for one in inner)
            cost += sum(
                part.weight * VALUE
                for one in inner
                if one.__class__ is _Box
                for part in one.items
                if part.__class__ is _Box
            )
        self.spent += cost
        if self.spent > SPARE + FACTOR * self.end:
            raise ValueError("its calls would take far more memory than the file has")
        self.stack.append(_Box(arguments, True))

    def remember(self, place: int) -> None:
        """Keep the top of the stack."""
        if place > self.count + 256:
            raise ValueError(f"a memo of {place} places")
        if not self.stack or self.stack[-1] is _MARK:
            raise ValueError("it keeps a value that is not there")
        self.memo[place] = self.stack[-1]

    def recall(self, place: int) -> None:
        """Push what was kept."""
        if place not in self.memo:
            raise ValueError("it asks for a value that was not kept")
        self.stack.append(self.memo[place])

    # --- the instructions ---

    def run(self) -> int:
        """Follow them; where the next byte after STOP is."""
        data, steps = self.data, _STEPS
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
    if root.__class__ is not _Box:
        return
    done: dict[int, tuple[int, int]] = {}
    open_now: set[int] = {id(root)}
    path = [(root, iter(root.items))]
    while path:
        box, rest = path[-1]
        child = next((item for item in rest if item.__class__ is _Box and id(item) not in done), None)
        if child is not None:
            if id(child) in open_now:
                raise ValueError("it holds itself")
            open_now.add(id(child))
            path.append((child, iter(child.items)))
            continue
        inside = [done[id(item)] for item in box.items if item.__class__ is _Box]
        size = 1 + box.own + sum(pair[0] for pair in inside)
        depth = 1 + max((pair[1] for pair in inside), default=0)
        if size > MOST_INSTRUCTIONS or depth > DEEPEST:
            raise ValueError(
                f"it is nested more than {DEEPEST} deep, or holds more than {MOST_INSTRUCTIONS} values"
            )
        done[id(box)] = (size, depth)
        open_now.discard(id(box))
        path.pop()


def _pushes(size: int) -> Callable[[_Scan], None]:
    def step(scan: _Scan) -> None:
        scan.skip(size)
        scan.stack.append(8)

    return step


def _sized(width: int) -> Callable[[_Scan], None]:
    def step(scan: _Scan) -> None:
        size = scan.number(width)
        scan.skip(size)
        scan.stack.append(size + 8)

    return step


def _long(width: int) -> Callable[[_Scan], None]:
    def step(scan: _Scan) -> None:
        size = scan.number(width)
        if size > LARGEST_NUMBER:
            raise ValueError(f"a whole number of {size} bytes")
        scan.skip(size)
        scan.stack.append(size + 8)

    return step


def _text(code: bytes) -> Callable[[_Scan], None]:
    longest = _LONGEST_LINE.get(code, 1 << 30)
    return lambda scan: scan.stack.append(8 + scan.line(longest))


def _new(scan: _Scan) -> None:
    scan.stack.append(_Box([], False))


def _tuple_of(count: int) -> Callable[[_Scan], None]:
    def step(scan: _Scan) -> None:
        scan.stack.append(_Box([scan.pop() for _ in range(count)][::-1], True))

    return step


def _tuple(scan: _Scan) -> None:
    scan.stack.append(_Box(scan.above_mark(), True))


def _list(scan: _Scan) -> None:
    scan.stack.append(_Box(scan.above_mark(), False))


def _dict(scan: _Scan) -> None:
    items = scan.above_mark()
    _new(scan)
    scan.add(items, items[::2])


def _frozenset(scan: _Scan) -> None:
    items = scan.above_mark()
    _new(scan)
    scan.add(items, items)
    scan.stack.append(_Box([scan.pop(), *items], True))


def _append(scan: _Scan) -> None:
    scan.add([scan.pop()], [])


def _set_item(scan: _Scan) -> None:
    value, key = scan.pop(), scan.pop()
    scan.add([key, value], [key])


def _appends(scan: _Scan) -> None:
    scan.add(scan.above_mark(), [])


def _set_items(scan: _Scan) -> None:
    items = scan.above_mark()
    scan.add(items, items[::2])


def _add_items(scan: _Scan) -> None:
    items = scan.above_mark()
    scan.add(items, items)


def _global(scan: _Scan) -> None:
    scan.line(1000)
    scan.line(1000)
    scan.stack.append(8)


def _stack_global(scan: _Scan) -> None:
    scan.pop()
    scan.pop()
    scan.stack.append(8)


def _reduce(scan: _Scan) -> None:
    arguments = scan.pop()
    scan.call([scan.pop(), *(arguments.items if arguments.__class__ is _Box else [arguments])])


def _new_object_with_names(scan: _Scan) -> None:
    named, arguments, made = scan.pop(), scan.pop(), scan.pop()
    scan.call([made, arguments, named])


def _build(scan: _Scan) -> None:
    state, made = scan.pop(), scan.pop()
    scan.call([state])
    scan.pop()
    scan.stack.append(made)
    if made.__class__ is _Box:
        scan.add([state], [])


def _persistent(scan: _Scan) -> None:
    scan.call([scan.pop()])


def _pop(scan: _Scan) -> None:
    if not scan.stack:
        raise ValueError("it takes a value that is not there")
    scan.stack.pop()


def _ignore(scan: _Scan) -> None:
    scan.above_mark()


def _twice(scan: _Scan) -> None:
    value = scan.pop()
    scan.stack += [value, value]


def _line_number(scan: _Scan) -> int:
    start = scan.at
    scan.line(20)
    return int(scan.data[start : scan.at])


def _frame(scan: _Scan) -> None:
    if scan.number(8) > scan.end - scan.at:
        raise ValueError("it ends too soon")


_STEPS: dict[int, Callable[[_Scan], None]] = {
    **{code[0]: _pushes(size) for code, size in _NUMBERS.items()},
    **{code[0]: _sized(width) for code, width in _SIZED.items()},
    **{code[0]: _text(code) for code in _LINES},
    pickle.LONG1[0]: _long(1),
    pickle.LONG4[0]: _long(4),
    pickle.EMPTY_DICT[0]: _new,
    pickle.EMPTY_LIST[0]: _new,
    pickle.EMPTY_SET[0]: _new,
    pickle.EMPTY_TUPLE[0]: _tuple_of(0),
    pickle.TUPLE1[0]: _tuple_of(1),
    pickle.TUPLE2[0]: _tuple_of(2),
    pickle.TUPLE3[0]: _tuple_of(3),
    pickle.TUPLE[0]: _tuple,
    pickle.LIST[0]: _list,
    pickle.DICT[0]: _dict,
    pickle.FROZENSET[0]: _frozenset,
    pickle.APPEND[0]: _append,
    pickle.APPENDS[0]: _appends,
    pickle.SETITEM[0]: _set_item,
    pickle.SETITEMS[0]: _set_items,
    pickle.ADDITEMS[0]: _add_items,
    pickle.GLOBAL[0]: _global,
    pickle.STACK_GLOBAL[0]: _stack_global,
    pickle.REDUCE[0]: _reduce,
    pickle.NEWOBJ[0]: _reduce,
    pickle.NEWOBJ_EX[0]: _new_object_with_names,
    pickle.BUILD[0]: _build,
    pickle.BINPERSID[0]: _persistent,
    pickle.MARK[0]: lambda scan: scan.stack.append(_MARK),
    pickle.POP[0]: _pop,
    pickle.POP_MARK[0]: _ignore,
    pickle.DUP[0]: _twice,
    pickle.PUT[0]: lambda scan: scan.remember(_line_number(scan)),
    pickle.BINPUT[0]: lambda scan: scan.remember(scan.number(1)),
    pickle.LONG_BINPUT[0]: lambda scan: scan.remember(scan.number(4)),
    pickle.MEMOIZE[0]: lambda scan: scan.remember(len(scan.memo)),
    pickle.GET[0]: lambda scan: scan.recall(_line_number(scan)),
    pickle.BINGET[0]: lambda scan: scan.recall(scan.number(1)),
    pickle.LONG_BINGET[0]: lambda scan: scan.recall(scan.number(4)),
    pickle.PROTO[0]: lambda scan: scan.skip(1),
    pickle.FRAME[0]: _frame,
}
"""Instruction -> what it does to the stack. INST, OBJ, the extension registry and outside buffers are not
among them.
"""


def check_pickle(data: bytes | mmap, at: int = 0) -> int:
    """Follow the pickle that begins at `at`, executing and building nothing.

    Args:
        data: the bytes of a file.
        at: where the pickle begins.

    Returns:
        Where the byte after its last instruction is.

    Raises:
        ValueError: truncated, no pickle, or it would hold itself, nest too deeply, or take far more time or
            memory than its size.
    """
    return _Scan(data, at).run()
