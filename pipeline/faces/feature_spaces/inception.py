"""Feature space `inception`: the one that published FID and KID figures use, where its weights are at
hand.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from manifests.errors import DataError, MissingError
from manifests.registry import Need
from manifests.weights import user_folder
from pipeline.faces.feature_spaces import FEATURE_SPACES, Features, Images, Points, SpaceParams

FILE = "weights-inception-2015-12-05-6726825d.pth"
SOURCE = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
ROWS = 16


class InceptionParams(SpaceParams):
    """`weights`: the network's file; by default looked for in the folder of imported weights."""

    weights: str = ""


@FEATURE_SPACES.register(
    "inception",
    family="general",
    params=InceptionParams,
    needs=(Need("torch_fidelity", "inception"),),
    paper=(
        "Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium,"
        " NeurIPS 2017"
    ),
)
class InceptionSpace:
    """Pool features of the Inception network of published FIDs, by torch-fidelity; 2048 numbers. Never
    downloads.
    """

    dim = 2048

    def __init__(self, params: InceptionParams) -> None:
        path = Path(params.weights) if params.weights else user_folder() / FILE
        if not path.is_file():
            raise MissingError(
                f"weights of feature space 'inception' ({path})",
                "are not there, and are not fetched for you",
                f"fetch {SOURCE}, put it into {user_folder()}, or choose --space attributes",
            )
        import torch
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        try:
            self._network = FeatureExtractorInceptionV3(
                "inception-v3-compat",
                ["2048"],
                feature_extractor_weights_path=str(path),
            ).to(torch.device(params.device))
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError(
                str(path), f"is not the Inception network ({error})", f"fetch {SOURCE}"
            ) from error
        self._device = torch.device(params.device)

    def features(self, images: Images, points: Points) -> Features:
        import torch

        out = [np.zeros((0, self.dim), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(images), ROWS):
                batch = torch.from_numpy(
                    np.ascontiguousarray(images[start : start + ROWS].transpose(0, 3, 1, 2))
                )
                out.append(self._network(batch.to(self._device))[0].float().cpu().numpy())
        return np.concatenate(out)
