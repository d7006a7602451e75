"""Feature space `identity`."""

from __future__ import annotations

from pipeline.engine import models
from pipeline.faces.feature_spaces import FEATURE_SPACES, Features, Images, Points, SpaceParams


class IdentityParams(SpaceParams):
    """`model`: an identity model."""

    model: str = "dlib-resnet"


@FEATURE_SPACES.register(
    "identity",
    family="faces",
    params=IdentityParams,
    licence="CC0-1.0 (weights)",
    paper="King, Dlib-ml: a machine learning toolkit, JMLR 2009",
)
class IdentitySpace:
    """Identity embeddings of dlib's face recognition network; 128 numbers, blind to background and little to
    quality.
    """

    def __init__(self, params: IdentityParams) -> None:
        self.model = params.model
        self._model = models.identity_model(params.model, params.device)
        self.dim: int = self._model.dim

    def features(self, images: Images, points: Points) -> Features:
        found: Features = self._model.embed_many(list(images), list(points))
        return found
