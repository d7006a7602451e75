"""Feature space `pixels`."""

from __future__ import annotations

import numpy as np

from manifests.images import resize
from pipeline.faces.feature_spaces import FEATURE_SPACES, Features, Images, Points, SpaceParams

SIDE = 32


@FEATURE_SPACES.register("pixels", family="sanity", params=SpaceParams)
class PixelSpace:
    """The picture itself at 32 x 32, values 0 to 1; 3072 numbers. A sanity check: it sees colour and blur,
    not faces.
    """

    dim = SIDE * SIDE * 3

    def __init__(self, params: SpaceParams) -> None:
        self.params = params

    def features(self, images: Images, points: Points) -> Features:
        small = [resize(image, SIDE).reshape(-1) for image in images]
        rows = np.stack(small) if small else np.zeros((0, self.dim), np.uint8)
        return rows.astype(np.float32) / np.float32(255)
