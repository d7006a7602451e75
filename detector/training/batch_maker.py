"""Pixels and masks of a batch: read, forged anew where asked for, augmented, at every quality. Picklable, no
torch.

Worker processes get a copy; a batch is a function of (settings, data, epoch, rows), whichever process makes
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.training.augmentation import AugmentParams, augment_mask, augment_row
from detector.training.data import Indices, SplitData
from detector.training.online import OnlineData
from detector.training.qualities import quality_tuples
from manifests.images import Image
from manifests.seeding import rng_of

UNKNOWN = -1.0
"""What a forgery mask holds where nobody knows it."""


class Ready(NamedTuple):
    """Of a batch: pixels uint8 [qualities x N, S, S, 3]; masks float32 [N, S, S] or None; draws that were
    refused.
    """

    pixels: Image
    masks: npt.NDArray[np.float32] | None
    refused: int


@dataclass
class BatchMaker:
    """What makes batches of a split.

    augmentation: None for none. pairs: the halves of a pair share their draws. masks: forgery masks are
    wanted.
    """

    data: SplitData
    seed: int
    augmentation: AugmentParams | None
    qualities: tuple[Any, ...]
    pairs: bool
    masks: bool

    def key(self, row: int) -> str:
        """What this row's augmentation is drawn for: its pair where pairs are kept together, else itself."""
        pair = self.data.pair_ids[row] if self.pairs else None
        return self.data.ids[row] if pair is None else f"pair {pair}"

    def keys(self, rows: Indices) -> list[str]:
        """`key` of each row."""
        return [self.key(row) for row in rows.tolist()]

    def __call__(self, rows: Indices, epoch: int) -> Ready:
        """The batch of these rows in this epoch.

        Raises:
            DataError: a picture cannot be read, or no fake can be made.
        """
        online = self.data if isinstance(self.data, OnlineData) else None
        if online is not None and online.epoch != epoch:
            online.begin(epoch)
        before = online.refused if online is not None else 0
        images, made = self.data.pictures(rows)
        keys = self.keys(rows)
        if self.augmentation is not None:
            images = np.stack(
                [
                    augment_row(image, self.seed, epoch, key, self.augmentation)
                    for image, key in zip(images, keys, strict=True)
                ]
            )
        if self.qualities:
            images = quality_tuples(images, keys, self.qualities, self.seed, epoch)
        masks = self._masks(rows, epoch, keys, made) if self.masks else None
        return Ready(images, masks, online.refused - before if online is not None else 0)

    def _masks(
        self, rows: Indices, epoch: int, keys: list[str], made: Image | None
    ) -> npt.NDArray[np.float32]:
        """Forgery masks, moved as their images were, in [0, 1]; `UNKNOWN` where they are not known."""
        out = np.full((len(rows), self.data.size, self.data.size), UNKNOWN, np.float32)
        for k, (row, key) in enumerate(zip(rows.tolist(), keys, strict=True)):
            mask = self.data.mask(row) if made is None else made[k]
            if mask is not None and self.augmentation is not None:
                mask = augment_mask(mask, rng_of(self.seed, "augment", epoch, key), self.augmentation)
            if mask is not None:
                out[k] = mask / np.float32(255)
        return out
