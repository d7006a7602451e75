"""ONNX models that a user brings: what they consist of is looked at before anything runs, and a run can be
stopped.

onnxruntime computes what a graph says, in a thread that no signal reaches: a loop without an end, also while
it only simplifies the graph, would hold the process for good. So loops must be counted by a constant,
functions must not multiply, and what a tensor declares must be stored. Weights may lie in files beside the
model: they belong to its digest.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.atomic import digest_file, digest_value
from manifests.errors import DataError, MissingError

MOST_NODES = 200_000
"""Operators of a graph, with every function counted where it is called."""
MOST_ROUNDS = 100_000
"""Rounds of a loop, those around it counted."""
LARGEST = 1 << 31
"""Values of a tensor that a constant asks for: more than any network of faces has."""
SECONDS, WAKE = 600.0, 0.25
"""One run takes less; so often an interruption is looked for."""
SHAPED = {"ConstantOfShape": 0, "Expand": 1, "Reshape": 1, "Tile": 1}
"""Operators whose result is as large as a constant input says: which input."""
FIX = "fetch the file again"


def _wrong(path: Path, why: str, fix: str = FIX) -> DataError:
    return DataError(str(path), f"is no ONNX model that can be run ({why})", fix)


def _read(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise MissingError(str(path), "is not there", "check the path")
    try:
        return onnx.load_model(str(path), load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise _wrong(path, f"{type(error).__name__}: {str(error)[:200]}") from error


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor that is stored: initializers, and constants of operators; in subgraphs and functions
    too.
    """
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        part = waiting.pop()
        yield from getattr(part, "initializer", ())
        for one in getattr(part, "sparse_initializer", ()):
            yield from (one.values, one.indices)
        for node in part.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
            waiting.extend(_subgraphs(node))


def _outside(path: Path, tensor: Any) -> Path | None:
    """The file beside the model that holds a tensor; None where the model holds it.

    Raises:
        DataError: a place outside the model's folder, or beyond the file. MissingError: no such file.
    """
    if not tensor.external_data and tensor.data_location != 1:
        return None
    said = {entry.key: entry.value for entry in tensor.external_data}
    folder, name = Path(os.path.realpath(path.parent)), said.get("location", "")
    place = Path(os.path.realpath(folder / name)) if name and "\0" not in name else folder
    if place == folder or not place.is_relative_to(folder) or Path(name).is_absolute():
        raise _wrong(path, f"tensor {tensor.name:.80} lies outside its folder, at {name!r:.200}")
    if not place.is_file():
        raise MissingError(
            str(place), f"is not there, and {path.name} has weights in it", "put it beside the model"
        )
    numbers = [said.get(key, "0") for key in ("offset", "length")]
    if (
        not all(number.isascii() and number.isdigit() and len(number) < 19 for number in numbers)
        or sum(map(int, numbers)) > place.stat().st_size
    ):
        raise _wrong(path, f"tensor {tensor.name:.80} lies beyond the end of {place.name}")
    return place


def _check_tensor(path: Path, tensor: Any, outside: Path | None) -> None:
    """Whether a tensor's values are stored; four bits each at least."""
    count = math.prod(tensor.dims)
    if outside is not None:
        stored = outside.stat().st_size
    else:
        typed = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
        stored = len(tensor.raw_data) + 8 * sum(len(getattr(tensor, name)) for name in typed)
    if min(tensor.dims, default=0) < 0 or count > 2 * stored:
        raise _wrong(path, f"tensor {tensor.name:.80} of {list(tensor.dims)[:8]} has {stored} bytes")


class _Graphs:
    """Counts what a model would do: operators, and rounds of loops."""

    def __init__(self, path: Path, model: Any) -> None:
        self.path = path
        self.functions = {(one.domain, one.name): one for one in model.functions}
        self.sizes: dict[tuple[str, str], int] = {}
        self.open_now: set[tuple[str, str]] = set()
        self.count(model.graph, {}, 1)

    def _constants(self, graph: Any, outer: Mapping[str, Any]) -> dict[str, Any]:
        """Stored values by name, as far as they are small: those of the graph, and those around it."""
        found = {one.name: one for one in getattr(graph, "initializer", ())}
        for node in graph.node:
            for one in node.attribute:
                if node.op_type == "Constant" and len(node.output) == 1 and one.HasField("t"):
                    found[node.output[0]] = one.t
        return {**outer, **found}

    def _values(self, tensor: Any) -> npt.NDArray[Any] | None:
        import onnx

        if tensor is None or tensor.external_data or math.prod(tensor.dims) > 16:
            return None
        try:
            return np.asarray(onnx.numpy_helper.to_array(tensor)).reshape(-1)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise _wrong(self.path, f"constant {tensor.name:.80}: {str(error)[:100]}") from error

    def count(self, graph: Any, outer: Mapping[str, Any], rounds: int) -> int:
        """Operators of a graph or function, each function in it counted.

        Raises:
            DataError: too many, a loop that no constant counts, or a result that is larger than any.
        """
        constants, total = self._constants(graph, outer), len(graph.node)
        for node in graph.node:
            inside = rounds
            if node.op_type == "Loop" and node.domain in ("", "ai.onnx"):
                values = self._values(constants.get(node.input[0]) if node.input else None)
                if values is None or len(values) != 1 or not 0 <= int(values[0]) * rounds <= MOST_ROUNDS:
                    raise _wrong(
                        self.path,
                        "it has a loop whose rounds are not a small constant",
                        "export the model without loops",
                    )
                inside = max(1, rounds * int(values[0]))
            elif node.op_type in SHAPED and len(node.input) > SHAPED[node.op_type]:
                values = self._values(constants.get(node.input[SHAPED[node.op_type]]))
                if values is not None and math.prod(abs(float(value)) or 1 for value in values) > LARGEST:
                    raise _wrong(self.path, f"a {node.op_type} of {values.tolist()}")
            for part in _subgraphs(node):
                total += self.count(part, constants, inside)
            total += self._function((node.domain, node.op_type), rounds)
            if total > MOST_NODES:
                raise _wrong(self.path, f"it has more than {MOST_NODES} operators")
        return total

    def _function(self, name: tuple[str, str], rounds: int) -> int:
        if name not in self.functions:
            return 0
        if name in self.open_now:
            raise _wrong(self.path, f"function {name[1]:.80} calls itself")
        if name not in self.sizes:
            self.open_now.add(name)
            self.sizes[name] = self.count(self.functions[name], {}, rounds)
            self.open_now.discard(name)
        return self.sizes[name]


Place = tuple[Path, int, int]
"""A file, when it was changed, and its size."""


def _place(path: Path) -> Place:
    about = path.stat()
    return path, about.st_mtime_ns, about.st_size


def _looked_at(path: Path) -> tuple[Path, ...]:
    model = _read(path)
    found: dict[Path, None] = {}
    for tensor in _tensors(model):
        outside = _outside(path, tensor)
        _check_tensor(path, tensor, outside)
        if outside is not None:
            found[outside] = None
    _Graphs(path, model)
    return tuple(sorted(found))


@lru_cache(maxsize=32)
def _known(place: Place) -> tuple[Place, ...]:
    return tuple(map(_place, _looked_at(place[0])))


def check_model(path: Path) -> tuple[Path, ...]:
    """Look at a model without running it; the files beside it that hold its weights, sorted.

    Args:
        path: the `.onnx` file.

    Raises:
        MissingError: it, or a file of its weights, is not there.
        DataError: not ONNX, weights outside its folder, tensors that are not stored, or a graph without an
            end.
    """
    if not path.is_file():
        raise MissingError(str(path), "is not there", "check the path")
    known = _known(_place(path))
    if all(place.is_file() and _place(place) == (place, *facts) for place, *facts in known):
        return tuple(place for place, *_ in known)
    return _looked_at(path)


@lru_cache(maxsize=32)
def _digest(places: tuple[Place, ...]) -> str:
    (model, *_), *others = places
    if not others:
        return digest_file(model)
    return digest_value(
        {"model": digest_file(model), **{f"weights {p.name}": digest_file(p) for p, *_ in others}}
    )


def digest_model(path: Path) -> str:
    """The sha256 of a model; where weights lie beside it, of all its files. Errors as `check_model`."""
    return _digest(tuple(map(_place, (path, *check_model(path)))))


def open_session(path: Path) -> Any:
    """An onnxruntime session on one CPU thread.

    Raises:
        MissingError, DataError: as `check_model`, or onnxruntime cannot run it.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    check_model(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except (
        states.Fail,
        states.InvalidArgument,
        states.InvalidProtobuf,
        states.InvalidGraph,
        states.NotImplemented,
        states.NoSuchFile,
        states.RuntimeException,
        ValueError,  # also where its own message is not UTF-8
    ) as error:
        raise _wrong(path, str(error)[:200]) from error


def run_session(
    session: Any,
    names: Sequence[str] | None,
    inputs: Mapping[str, npt.NDArray[Any]],
    path: Path,
    seconds: float = SECONDS,
) -> list[Any]:
    """The outputs of a run, which Ctrl-C and a limit of time can stop.

    Args:
        session: as `open_session` gave it.
        names: of outputs; None for all.
        inputs: by name.
        path: of the model, for words.
        seconds: that it may take.

    Raises:
        DataError: it fails on these inputs, or takes longer.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    options = onnxruntime.RunOptions()
    made: list[Any] = []
    failed: list[Exception] = []
    ended = (
        threading.Event()
    )  # not `Thread.is_alive`: Python 3.11 takes a thread for ended if its `join` is interrupted

    def work() -> None:
        try:
            made.append(session.run(names, dict(inputs), options))
        except (states.Fail, states.InvalidArgument, states.RuntimeException, ValueError) as error:
            failed.append(error)
        finally:
            ended.set()

    threading.Thread(target=work, daemon=True).start()
    end = time.monotonic() + seconds
    try:
        while not ended.is_set() and time.monotonic() < end:
            ended.wait(
                min(seconds, WAKE)
            )  # a signal that another thread was given is seen between two of these
    finally:
        late = not ended.is_set()
        options.terminate = late
        ended.wait()
    if late:
        raise DataError(
            str(path), f"takes longer than {seconds:g} s for one run", "give the model that this is for"
        )
    if failed or not made:
        raise DataError(
            str(path),
            f"fails on its inputs ({str(failed[0])[:200] if failed else 'no result'})",
            "give the model that this is for",
        )
    odd = [
        type(value).__name__
        for value in made[0]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf"
    ]
    if odd:
        raise DataError(
            str(path),
            f"gives {', '.join(odd)} where arrays of numbers belong",
            "give the model that this is for",
        )
    return list(made[0])
