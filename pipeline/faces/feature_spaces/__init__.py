"""Feature spaces: what images are turned into before generators are compared; one file each, all offline but
one.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from manifests.registry import Params, Registry

Images = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]


class SpaceParams(Params):
    """Parameters that every feature space takes."""

    device: str = "cpu"


class FeatureSpace(Protocol):
    """What a feature space offers. `dim`: numbers per image; compare by Euclidean distance."""

    dim: int

    def features(self, images: Images, points: Points) -> Features:
        """float32 [N, dim] of aligned faces.

        Args:
            images: uint8 [N, S, S, 3] RGB, aligned to the template.
            points: float32 [N, 148, 2], pixels (mesh148).
        """
        ...


FEATURE_SPACES: Registry[Any] = Registry("feature-spaces", "pipeline.faces.feature_spaces")
