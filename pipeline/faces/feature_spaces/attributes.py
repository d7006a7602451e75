"""Feature space `attributes`."""

from __future__ import annotations

from pipeline.engine import models
from pipeline.faces.feature_spaces import FEATURE_SPACES, Features, Images, Points, SpaceParams


class AttributeParams(SpaceParams):
    """`model`: an attribute model."""

    model: str = "fairforge-small"


@FEATURE_SPACES.register(
    "attributes",
    family="faces",
    params=AttributeParams,
    paper="Kärkkäinen & Joo, FairFace: face attribute dataset for balanced race, gender, and age, WACV 2021",
)
class AttributeSpace:
    """Pooled features of the embedded network for perceived race, gender and age; 512 numbers, input at 64
    px.
    """

    def __init__(self, params: AttributeParams) -> None:
        self._model = models.attribute_model(params.model, params.device)
        self.dim: int = self._model.network.trunk.num_features

    def features(self, images: Images, points: Points) -> Features:
        found: Features = self._model.features(images)
        return found
