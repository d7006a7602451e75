"""What a pickled StyleGAN2-ADA snapshot may name, each as an inert record of ours.

Nothing of torch or numpy is within a pickle's reach: a tensor becomes its bytes and shape, a network its
class name and state. The classes are sealed, because a pickle's BUILD instruction can set attributes on
whatever the file names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from nn.stored_tensors import Latin1, Ordered, Sealed


class Attributes(dict, metaclass=Sealed):
    """dnnlib's EasyDict, as a plain dict."""

    def __setstate__(self, state: Any) -> None:
        """Nothing is kept: its values are its items."""


class StoredBytes(metaclass=Sealed):
    """The argument of `torch.storage._load_from_bytes`, not loaded."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class StoredTensor(metaclass=Sealed):
    """The arguments of `torch._utils._rebuild_tensor_v2`: storage, offset, size, stride."""

    def __init__(
        self, storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride


class Parameter(metaclass=Sealed):
    """`torch._utils._rebuild_parameter`: the tensor itself."""

    def __new__(cls, data: Any, *_: Any) -> Any:
        return data


class StoredModule(metaclass=Sealed):
    """`torch_utils.persistence._reconstruct_persistent_obj(meta)`: class name and state; the source is
    dropped.
    """

    def __init__(self, meta: Mapping[str, Any]) -> None:
        if meta["type"] != "class":
            raise ValueError(f"a persistent object of type {meta['type']!r}")
        self.class_name, self.state = str(meta["class_name"]), dict(meta["state"])

    def __setstate__(self, state: Any) -> None:
        raise TypeError("a module takes no further state")


class Dtype(metaclass=Sealed):
    """`numpy.dtype`: numbers and truth values only."""

    def __init__(self, spec: str, *_: Any) -> None:
        self.spec, self.order = spec, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    def to_numpy(self) -> np.dtype[Any]:
        """The dtype. Raises ValueError where it is none of bool, int, uint, float."""
        dtype = np.dtype(str(self.spec))
        if dtype.kind not in "biuf":
            raise ValueError(f"numpy dtype {self.spec!r}")
        return dtype.newbyteorder(self.order)  # type: ignore[arg-type]


class Scalar(metaclass=Sealed):
    """`numpy.core.multiarray.scalar`: a Python number."""

    def __new__(cls, dtype: Dtype, data: bytes) -> Any:
        return np.frombuffer(data, dtype.to_numpy(), count=1)[0].item()


class Array(metaclass=Sealed):
    """`numpy.core.multiarray._reconstruct` and `numpy.ndarray`: an array of numbers in `values`."""

    def __init__(self, *_: Any) -> None:
        self.values: npt.NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.values = np.frombuffer(data, dtype.to_numpy()).reshape(shape, order="F" if fortran else "C")


class ArrayFromBuffer(Array):
    """`numpy.core.numeric._frombuffer`, as pickle protocol 5 writes arrays."""

    def __init__(
        self,
        data: bytes | bytearray,
        dtype: Dtype,
        shape: tuple[int, ...],
        order: str,
        axes: Any = None,
        *_: Any,
    ) -> None:
        flat = np.frombuffer(bytes(data), dtype.to_numpy())
        self.values = flat.reshape(shape, order="F" if order == "F" else "C")
        if order == "K" and axes is not None:
            self.values = self.values.transpose(axes)


ALLOWED: Mapping[tuple[str, str], type] = MappingProxyType(
    {
        ("collections", "OrderedDict"): Ordered,
        ("builtins", "set"): set,
        ("__builtin__", "set"): set,
        ("_codecs", "encode"): Latin1,
        ("torch._utils", "_rebuild_tensor_v2"): StoredTensor,
        ("torch._utils", "_rebuild_parameter"): Parameter,
        ("torch.storage", "_load_from_bytes"): StoredBytes,
        ("torch_utils.persistence", "_reconstruct_persistent_obj"): StoredModule,
        ("dnnlib.util", "EasyDict"): Attributes,
        ("dnnlib", "EasyDict"): Attributes,
        ("numpy", "dtype"): Dtype,
        ("numpy", "ndarray"): Array,
        ("numpy.core.multiarray", "scalar"): Scalar,
        ("numpy._core.multiarray", "scalar"): Scalar,
        ("numpy.core.multiarray", "_reconstruct"): Array,
        ("numpy._core.multiarray", "_reconstruct"): Array,
        ("numpy.core.numeric", "_frombuffer"): ArrayFromBuffer,
        ("numpy._core.numeric", "_frombuffer"): ArrayFromBuffer,
    }
)
"""(module, name) as a pickle spells it -> what it gets."""
