"""What the pickle of a `torch.save` file may name, each as an inert record; and a record as a tensor, its
bounds checked.

Nothing of torch can be called from a pickle but what makes a size, a device or a dtype of plain values. The
classes are sealed and refuse a state: a pickle's BUILD instruction sets attributes on whatever the file
names.
"""

from __future__ import annotations

import argparse
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor


class Refused(Exception):
    """A global that is not allowed; carries its dotted name."""


class Sealed(type):
    """Metaclass of classes that cannot be changed once made."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise TypeError(f"{cls.__name__} is sealed")


class StorageType(metaclass=Sealed):
    """`torch.FloatStorage` and the like: the type of the values."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        raise TypeError("a type takes no state")


class Stored(metaclass=Sealed):
    """A storage, not read yet: `count` values of a type at a key. part: start and length of a view of it."""

    def __init__(self, dtype: torch.dtype, key: str, count: int, part: tuple[int, int] | None = None) -> None:
        self.dtype, self.key, self.count, self.part = dtype, key, count, part

    def __setstate__(self, state: Any) -> None:
        raise TypeError("a storage takes no state")

    def flat(self, data: bytearray) -> Tensor:
        """Its values out of the stored bytes, which it shares: [count].

        Raises:
            ValueError: fewer bytes than it says.
        """
        if self.count < 0 or self.count * self.dtype.itemsize > len(data):
            raise ValueError(f"a storage of {self.count} values has {len(data)} bytes")
        if self.count == 0:
            return torch.empty(0, dtype=self.dtype)
        found = torch.frombuffer(data, dtype=self.dtype, count=self.count)
        if self.part is None:
            return found
        start, length = self.part
        if min(start, length) < 0 or start + length > self.count:
            raise ValueError("a view beyond its storage")
        return found[start : start + length]


class Record(metaclass=Sealed):
    """`torch._utils._rebuild_tensor_v2` and `_v3`: storage, offset, size, stride; the type where the storage
    has none.
    """

    def __init__(
        self,
        storage: Any,
        offset: int,
        size: Any,
        stride: Any,
        _grad: Any = None,
        _hooks: Any = None,
        dtype: Any = None,
        *_: Any,
    ) -> None:
        if not isinstance(storage, Stored):
            raise ValueError("a tensor of what is no storage")
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride
        self.dtype = dtype if isinstance(dtype, torch.dtype) else None

    def __setstate__(self, state: Any) -> None:
        """A tensor's own attributes are left aside."""


class Parameter(metaclass=Sealed):
    """`torch._utils._rebuild_parameter` (also with a state): the tensor itself."""

    def __new__(cls, data: Any, *_: Any) -> Any:
        if not isinstance(data, Record):
            raise ValueError("a parameter of what is no tensor")
        return data


class OfType(metaclass=Sealed):
    """`torch._tensor._rebuild_from_type_v2`: the tensor, without its Python class and attributes."""

    def __new__(cls, function: Any, _type: Any, arguments: Any, *_: Any) -> Any:
        if function not in (Record, Parameter):
            raise ValueError("a tensor made by another function")
        return function(*arguments)


class Ordered(OrderedDict, metaclass=Sealed):  # type: ignore[type-arg]
    """`collections.OrderedDict` whose attributes (a state dict's `_metadata`) are left aside."""

    def __reduce__(self) -> Any:
        raise TypeError("is read, never written")

    def __setstate__(self, state: Any) -> None:
        """Nothing is kept."""


class Tally(Counter, metaclass=Sealed):  # type: ignore[type-arg]
    """`collections.Counter`, as learning-rate schedules keep their milestones."""

    def __setstate__(self, state: Any) -> None:
        """Nothing is kept."""


class Arguments(metaclass=Sealed):
    """`argparse.Namespace`: training scripts put their arguments beside the weights."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise ValueError("arguments that are no mapping")
        self.values = state


class Latin1(metaclass=Sealed):
    """`_codecs.encode` as old pickle protocols use it: text to bytes, Latin-1 only."""

    def __new__(cls, text: str, encoding: str = "latin1") -> Any:
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(f"codec {encoding!r}")
        return text.encode("latin1")


class Octets(metaclass=Sealed):
    """`bytearray` of bytes that the pickle holds; never of a number, which would be as many zeros."""

    def __new__(cls, data: bytes = b"", *_: Any) -> Any:
        if not isinstance(data, bytes | bytearray):
            raise ValueError("a bytearray of what are no bytes")
        return bytearray(data)


class Named(metaclass=Sealed):
    """A size, a device or a layout: kept as the plain values that make it."""

    def __new__(cls, *values: Any) -> Any:
        return values[0] if len(values) == 1 else tuple(values)


_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
_DTYPES = [name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype)]
_ENTRIES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Ordered,
    ("collections", "Counter"): Tally,
    ("_codecs", "encode"): Latin1,
    ("argparse", "Namespace"): Arguments,
    ("torch._utils", "_rebuild_tensor"): Record,
    ("torch._utils", "_rebuild_tensor_v2"): Record,
    ("torch._utils", "_rebuild_tensor_v3"): Record,
    ("torch._utils", "_rebuild_parameter"): Parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): Parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): OfType,
    ("torch", "Tensor"): Named,
    ("torch.nn.parameter", "Parameter"): Named,
    ("torch", "Size"): Named,
    ("torch", "device"): Named,
    ("torch.serialization", "_get_layout"): Named,
    ("torch.storage", "UntypedStorage"): StorageType(torch.uint8),
    ("torch", "UntypedStorage"): StorageType(torch.uint8),
    **{("torch", f"{name}Storage"): StorageType(dtype) for name, dtype in _STORAGES.items()},
    **{("torch.cuda", f"{name}Storage"): StorageType(dtype) for name, dtype in _STORAGES.items()},
    **{
        (module, name): kind
        for module in ("builtins", "__builtin__")
        for name, kind in {"set": set, "complex": complex, "bytearray": Octets}.items()
    },
    **{("torch", name): getattr(torch, name) for name in _DTYPES},
}
ALLOWED: Mapping[tuple[str, str], Any] = MappingProxyType(_ENTRIES)
"""(module, name) as a pickle spells it -> what it gets."""


def as_tensor(flat: Tensor, offset: Any, size: Any, stride: Any) -> Tensor:
    """A view of stored values: no larger than what is stored, and inside it.

    Args:
        flat: [count], the stored values.
        offset: of the first value.
        size: lengths of the axes.
        stride: steps of the axes, in values.

    Raises:
        ValueError: numbers that are none, or a shape that does not fit the stored values, or repeats them.
        TypeError: no sequences of numbers.
    """
    size, stride, offset = tuple(map(int, size)), tuple(map(int, stride)), int(offset)
    if len(size) > 16 or len(size) != len(stride) or max((offset, *size, *stride), default=0) >= 1 << 48:
        raise ValueError(f"a shape of {len(size)} axes that is none")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= flat.numel()):
        raise ValueError(f"shape {list(size)} does not fit its {flat.numel()} stored values")
    count = 1
    for n in size:
        count *= n
    if count > flat.numel():
        raise ValueError(f"shape {list(size)} repeats its {flat.numel()} stored values")
    return flat.as_strided(size, stride, offset)


def plain(value: Any, fetch: Callable[[Stored], Tensor]) -> Any:
    """A copy of what an unpickler made: plain containers, records as tensors; what is shared stays shared.

    Args:
        value: at most `manifests.pickle_checks.DEEPEST` deep.
        fetch: the stored values of a storage, [count].

    Raises:
        ValueError, TypeError: a tensor that does not fit its storage, or a value of another kind.
    """
    known: dict[int, Any] = {}

    def copy(one: Any) -> Any:
        if isinstance(one, Record | Stored | dict | list | Arguments):
            if id(one) not in known:
                known[id(one)] = made(one)
            return known[id(one)]
        if isinstance(one, tuple):
            return tuple(map(copy, one))
        if isinstance(one, StorageType):
            return one.dtype
        return one

    def made(one: Any) -> Any:
        if isinstance(one, Stored):
            return fetch(one)
        if isinstance(one, Record):
            flat = fetch(one.storage)
            return as_tensor(
                flat if one.dtype is None else flat.view(one.dtype), one.offset, one.size, one.stride
            )
        if isinstance(one, Arguments):
            return argparse.Namespace(**{str(key): copy(item) for key, item in one.values.items()})
        if isinstance(one, list):
            return [copy(item) for item in one]
        kind = OrderedDict if isinstance(one, OrderedDict) else Counter if isinstance(one, Counter) else dict
        out: Any = kind()
        for key, item in dict.items(one):
            out[copy(key)] = copy(item)
        return out

    return copy(value)
