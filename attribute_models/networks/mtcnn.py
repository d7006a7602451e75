"""The three networks of MTCNN, each looking at what the one before it left: boxes, scores and five points.

Zhang et al., "Joint face detection and alignment using multi-task cascaded convolutional networks", IEEE SPL
2016, with the weights and conventions of facenet-pytorch 2.5.3 (pixels counted from 1 where a box is cut out,
means over whole pixels). A summed-area table of the picture gives every scale of the pyramid and every
cut-out, exactly, at four look-ups a value; the networks run channels-last, where pooling is vectorised.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import nms

from attribute_models.user_weights import read_state
from manifests.errors import DataError

Array = npt.NDArray[np.float32]
Bounds = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
SHRINK = 0.709
"""From one scale of the pyramid to the next."""
_CELL, _STRIDE = 12, 2
"""Field of view and step of the first network, pixels of its scale."""
_SIDES = (24, 48)
"""Sides of the cut-outs that the second and third network see."""
_OVERLAPS = (0.5, 0.7, 0.7, 0.7)
"""Boxes overlapping more than this are one face: within a scale, over all scales, after the second and third
network.
"""
_ROWS = 512
"""Cut-outs that a network sees at once, which bounds the memory."""


class _Shape(NamedTuple):
    """pools: side of the pooling after each convolution, 0 for none. dense: number of the dense layer, 0 for
    none. heads: names.
    """

    pools: tuple[int, ...]
    dense: int
    heads: tuple[str, ...]


_SHAPES = {
    "p": _Shape((2, 0, 0), 0, ("conv4_1", "conv4_2")),
    "r": _Shape((3, 3, 0), 4, ("dense5_1", "dense5_2")),
    "o": _Shape((3, 3, 2, 0), 5, ("dense6_1", "dense6_2", "dense6_3")),
}


class _Network:
    """One of the networks: float32 [N, 3, H, W] to the face's probability [N, ...] and its other heads [N, K,
    ...].

    Raises:
        DataError: the file is no state dict of it.
    """

    def __init__(self, shape: _Shape, path: Path, device: torch.device) -> None:
        found = read_state(path)
        hidden = [f"{number}" for number in range(1, len(shape.pools) + bool(shape.dense) + 1)]
        layers = [f"conv{number}" for number in hidden[: len(shape.pools)]] + [
            f"dense{n}" for n in hidden[len(shape.pools) :]
        ]
        wanted = {f"{layer}.{part}" for layer in (*layers, *shape.heads) for part in ("weight", "bias")}
        if set(found) != wanted | {f"prelu{number}.weight" for number in hidden}:
            raise DataError(
                str(path),
                "is not this network of MTCNN",
                "pip install --force-reinstall facenet-pytorch==2.5.3",
            )
        self.shape = shape
        self.tensors = {
            name: (value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value).to(
                device
            )
            for name, value in found.items()
        }

    def _parts(self, layer: str) -> tuple[Tensor, Tensor]:
        return self.tensors[f"{layer}.weight"], self.tensors[f"{layer}.bias"]

    def __call__(self, x: Tensor) -> list[Tensor]:
        x = x.contiguous(memory_format=torch.channels_last)
        for number, pool in enumerate(self.shape.pools, 1):
            x = functional.prelu(
                functional.conv2d(x, *self._parts(f"conv{number}")), self.tensors[f"prelu{number}.weight"]
            )
            if pool:
                x = functional.max_pool2d(x, pool, 2, ceil_mode=True)
        if self.shape.dense:
            x = x.permute(0, 3, 2, 1).flatten(1)
            x = functional.linear(x, *self._parts(f"dense{self.shape.dense}"))
            x = functional.prelu(x, self.tensors[f"prelu{self.shape.dense}.weight"])
        layer = functional.linear if self.shape.dense else functional.conv2d
        first, *others = (layer(x, *self._parts(name)) for name in self.shape.heads)
        return [first.softmax(1)[:, 1], *others]


def _cells(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], side: int) -> Bounds:
    """Where the `side` cells of the intervals [low, high) begin and end, in whole pixels: int64 [K, side]
    each.
    """
    length, cell = (high - low)[:, None], np.arange(side)
    return low[:, None] + cell * length // side, low[:, None] - (-(cell + 1) * length // side)


class _Picture:
    """A picture whose rectangles are averaged at once. image: uint8 [H, W, 3]."""

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        self.height, self.width = image.shape[:2]
        # Sums are right modulo 2**32, and so are differences of them, as long as a cell has less than 2**24
        # pixels.
        self.sums = np.zeros((self.height + 1, self.width + 1, 3), np.uint32)
        np.cumsum(image, 0, np.uint32, out=self.sums[1:, 1:])
        np.cumsum(self.sums[1:, 1:], 1, np.uint32, out=self.sums[1:, 1:])

    def means(self, boxes: npt.NDArray[np.int64], height: int, width: int) -> Tensor:
        """Each box resampled to height x width by means over its pixels, scaled to about [-1, 1]: float32 [K,
        3, height, width].

        Args:
            boxes: int64 [K, 4], x0 y0 x1 y1, the last pixel not included.
            height: of what comes out, pixels.
            width: of what comes out, pixels.
        """
        (left, right), (top, bottom) = (
            _cells(boxes[:, 0], boxes[:, 2], width),
            _cells(boxes[:, 1], boxes[:, 3], height),
        )
        flat, row = self.sums.reshape(-1, 3), self.width + 1

        def at(y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
            return flat.take(y[:, :, None] * row + x[:, None, :], axis=0)

        total = at(bottom, right)
        total -= at(top, right)
        total -= at(bottom, left)
        total += at(top, left)
        area = ((bottom - top)[:, :, None] * (right - left)[:, None, :]).astype(np.float32)
        mean = total.astype(np.float32)
        mean /= area[..., None]
        mean -= np.float32(127.5)
        mean *= np.float32(1 / 128)
        return torch.from_numpy(mean).permute(0, 3, 1, 2)


def _kept(boxes: Array, scores: Array, overlap: float) -> npt.NDArray[np.int64]:
    """Indices of the best box of each face, best first; overlap is intersection over union."""
    return nms(torch.from_numpy(boxes), torch.from_numpy(scores), overlap).numpy()


def _kept_of_nested(boxes: Array, scores: Array, overlap: float) -> list[int]:
    """As `_kept`, but overlap is the intersection's share of the smaller box, so that a box inside another
    goes.
    """
    size = boxes[:, 2:] - boxes[:, :2] + 1
    area, left = size.prod(1), np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        sides = (
            np.minimum(boxes[best, 2:], boxes[left, 2:]) - np.maximum(boxes[best, :2], boxes[left, :2]) + 1
        )
        shared = sides.clip(0).prod(1) / np.minimum(area[best], area[left])
        left = left[shared <= overlap]
    return kept


def _moved(boxes: Array, by: Array, extra: int) -> Array:
    """Boxes moved by the network's offsets, which are in units of the box's size (of its last less its first
    pixel, plus extra).
    """
    size = boxes[:, 2:] - boxes[:, :2] + np.float32(extra)
    return boxes + by * np.concatenate([size, size], 1)


def _squared(boxes: Array) -> Array:
    """Squares around the boxes' centres with their longer side."""
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.max(1, keepdims=True)
    corner = boxes[:, :2] + size * np.float32(0.5) - side * np.float32(0.5)
    return np.concatenate([corner, corner + side], 1)


@dataclass(frozen=True)
class Found:
    """Faces of a picture, best first: boxes float32 [K, 4], scores float32 [K], points float32 [K, 5, 2],
    pixels.
    """

    boxes: Array
    scores: Array
    points: Array


class Cascade:
    """The three networks.

    Args:
        folder: with `pnet.pt`, `rnet.pt` and `onet.pt`.
        min_face: smallest face, pixels.
        thresholds: of the networks in turn.
        device: where they run.

    Raises:
        DataError: a file is no state dict of its network.
    """

    def __init__(
        self, folder: Path, min_face: int, thresholds: tuple[float, float, float], device: torch.device
    ) -> None:
        self.min_face, self.thresholds, self.device = min_face, thresholds, device
        self._networks = {
            name: _Network(shape, folder / f"{name}net.pt", device) for name, shape in _SHAPES.items()
        }

    @torch.inference_mode()
    def find(self, image: npt.NDArray[np.uint8]) -> Found:
        """The faces of uint8 [H, W, 3], RGB."""
        picture = _Picture(image)
        boxes, scores = self._proposed(picture)
        boxes, scores, (by,) = self._judged("r", picture, boxes, self.thresholds[1], _SIDES[0])
        kept = _kept(boxes, scores, _OVERLAPS[2])
        boxes = _squared(_moved(boxes[kept], by[kept], 1))
        boxes, scores, (by, marks) = self._judged("o", picture, boxes, self.thresholds[2], _SIDES[1])
        size = boxes[:, 2:] - boxes[:, :2] + 1
        points = marks.reshape(-1, 2, 5).transpose(0, 2, 1) * size[:, None] + boxes[:, None, :2] - 1
        boxes = _moved(boxes, by, 1)
        last = _kept_of_nested(boxes, scores, _OVERLAPS[3])
        return Found(boxes[last], scores[last], points[last])

    def _see(self, name: str, x: Tensor) -> list[Array]:
        parts = [self._networks[name](rows.to(self.device)) for rows in x.split(_ROWS)]
        return [torch.cat(heads).cpu().numpy() for heads in zip(*parts, strict=True)]

    def _proposed(self, picture: _Picture) -> tuple[Array, Array]:
        """Squares that the first network takes for faces, over all scales: float32 [K, 4], and their
        probabilities [K].
        """
        scale = _CELL / self.min_face
        whole = np.array([[0, 0, picture.width, picture.height]])
        found = [np.zeros((0, 9), np.float32)]
        while min(picture.height, picture.width) * scale >= _CELL:
            sides = int(picture.height * scale + 1), int(picture.width * scale + 1)
            score, by = self._see("p", picture.means(whole, *sides))
            down, right = np.nonzero(score[0] >= self.thresholds[0])
            place = np.stack([right, down], 1)
            corners = np.concatenate([_STRIDE * place + 1, _STRIDE * place + _CELL], 1)
            rows = np.concatenate(
                [
                    np.floor(corners.astype(np.float32) / np.float32(scale)),
                    score[0, down, right][:, None],
                    by[0][:, down, right].T,
                ],
                1,
                dtype=np.float32,
            )
            found.append(rows[_kept(rows[:, :4], rows[:, 4], _OVERLAPS[0])])
            scale *= SHRINK
        rows = np.concatenate(found)
        rows = rows[_kept(rows[:, :4], rows[:, 4], _OVERLAPS[1])]
        return _squared(_moved(rows[:, :4], rows[:, 5:], 0)), rows[:, 4]

    def _judged(
        self,
        name: str,
        picture: _Picture,
        boxes: Array,
        threshold: float,
        side: int,
    ) -> tuple[Array, Array, list[Array]]:
        """The boxes that a network takes for faces, their probabilities, and its other heads for them."""
        cut = boxes.astype(np.int64)
        cut[:, :2] = cut[:, :2].clip(1) - 1
        cut[:, 2:] = np.minimum(cut[:, 2:], [picture.width, picture.height])
        inside = (cut[:, 2:] > cut[:, :2]).all(1)
        scores, *heads = self._see(name, picture.means(cut[inside], side, side))
        passed = scores > threshold
        return boxes[inside][passed], scores[passed], [head[passed] for head in heads]
