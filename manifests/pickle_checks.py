"""What a pickle would make, found by following its instructions without executing any of them.

An unpickler that may call nothing can still be made to hang (a tuple of two halves, thirty times over, hashed
as a key), to fill the memory (a memo of four thousand million places, a call on the same long list again and
again) or to end the process (a key nested deeper than the C stack). So the instructions are counted and
weighed first, on a stack of sizes: nothing is allocated but that stack.
"""

from __future__ import annotations

import pickle
from mmap import mmap

from manifests.pickle_scan import LARGEST_NUMBER, MARK, Box, Scan, Step

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


def _pushes(size: int) -> Step:
    def step(scan: Scan) -> None:
        scan.skip(size)
        scan.stack.append(8)

    return step


def _sized(width: int) -> Step:
    def step(scan: Scan) -> None:
        size = scan.number(width)
        scan.skip(size)
        scan.stack.append(size + 8)

    return step


def _long(width: int) -> Step:
    def step(scan: Scan) -> None:
        size = scan.number(width)
        if size > LARGEST_NUMBER:
            raise ValueError(f"a whole number of {size} bytes")
        scan.skip(size)
        scan.stack.append(size + 8)

    return step


def _text(code: bytes) -> Step:
    longest = _LONGEST_LINE.get(code, 1 << 30)
    return lambda scan: scan.stack.append(8 + scan.line(longest))


def _new(scan: Scan) -> None:
    scan.stack.append(Box([], False))


def _tuple_of(count: int) -> Step:
    def step(scan: Scan) -> None:
        scan.stack.append(Box([scan.pop() for _ in range(count)][::-1], True))

    return step


def _tuple(scan: Scan) -> None:
    scan.stack.append(Box(scan.above_mark(), True))


def _list(scan: Scan) -> None:
    scan.stack.append(Box(scan.above_mark(), False))


def _dict(scan: Scan) -> None:
    items = scan.above_mark()
    _new(scan)
    scan.add(items, items[::2])


def _frozenset(scan: Scan) -> None:
    items = scan.above_mark()
    _new(scan)
    scan.add(items, items)
    scan.stack.append(Box([scan.pop(), *items], True))


def _append(scan: Scan) -> None:
    scan.add([scan.pop()], [])


def _set_item(scan: Scan) -> None:
    value, key = scan.pop(), scan.pop()
    scan.add([key, value], [key])


def _appends(scan: Scan) -> None:
    scan.add(scan.above_mark(), [])


def _set_items(scan: Scan) -> None:
    items = scan.above_mark()
    scan.add(items, items[::2])


def _add_items(scan: Scan) -> None:
    items = scan.above_mark()
    scan.add(items, items)


def _global(scan: Scan) -> None:
    scan.line(1000)
    scan.line(1000)
    scan.stack.append(8)


def _stack_global(scan: Scan) -> None:
    scan.pop()
    scan.pop()
    scan.stack.append(8)


def _reduce(scan: Scan) -> None:
    arguments = scan.pop()
    scan.call([scan.pop(), *(arguments.items if arguments.__class__ is Box else [arguments])])


def _new_object_with_names(scan: Scan) -> None:
    named, arguments, made = scan.pop(), scan.pop(), scan.pop()
    scan.call([made, arguments, named])


def _build(scan: Scan) -> None:
    state, made = scan.pop(), scan.pop()
    scan.call([state])
    scan.pop()
    scan.stack.append(made)
    if made.__class__ is Box:
        scan.add([state], [])


def _persistent(scan: Scan) -> None:
    scan.call([scan.pop()])


def _pop(scan: Scan) -> None:
    if not scan.stack:
        raise ValueError("it takes a value that is not there")
    scan.stack.pop()


def _ignore(scan: Scan) -> None:
    scan.above_mark()


def _twice(scan: Scan) -> None:
    value = scan.pop()
    scan.stack += [value, value]


def _line_number(scan: Scan) -> int:
    start = scan.at
    scan.line(20)
    return int(scan.data[start : scan.at])


def _frame(scan: Scan) -> None:
    if scan.number(8) > scan.end - scan.at:
        raise ValueError("it ends too soon")


_STEPS: dict[int, Step] = {
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
    pickle.MARK[0]: lambda scan: scan.stack.append(MARK),
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
    return Scan(data, at).run(_STEPS)
