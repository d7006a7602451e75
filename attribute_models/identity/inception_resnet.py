"""Identity embeddings by the InceptionResnetV1 of facenet-pytorch; the user's file.

Schroff, Kalenichenko & Philbin, "FaceNet", CVPR 2015; Szegedy et al., AAAI 2017 (the network). 160 px, (x -
127.5) / 128. The authors crop by the box of MTCNN; here the face is aligned to the template first, so
distances are not those of their papers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from attribute_models.batching import in_micro_batches
from attribute_models.detection.alignment import align
from attribute_models.identity.embeddings import Embedding, Image, five_points, paired
from attribute_models.registry import ATTRIBUTE_MODELS, FileParams
from manifests.errors import MissingError
from manifests.weights import Weight
from nn.devices import torch_device

SIZE = 160


class InceptionResnet:
    """float32 [512] of length 1 per face; compare by Euclidean distance.

    Raises:
        MissingError: facenet-pytorch is not installed. DataError: the file does not fit. UsageError,
            MissingError: the device.
    """

    dim = 512

    def __init__(self, weight: Weight, device: str = "cpu") -> None:
        try:
            from facenet_pytorch import InceptionResnetV1
        except ModuleNotFoundError as error:
            raise MissingError(
                "identity model 'inception-resnet-v1'",
                f"needs the package {error.name}, which is not installed",
                "pip install --no-deps facenet-pytorch==2.5.3",
            ) from error
        from attribute_models.user_weights import fill

        self.weight, self.device = weight, torch_device(device)
        self._network = fill(
            InceptionResnetV1(pretrained=None, classify=False), weight.path, ("logits.",)
        ).to(self.device)

    def embed(self, image: Image, points: npt.NDArray[np.floating]) -> Embedding:
        """Embedding of one face: float32 [512].

        Args:
            image: uint8 [H, W, 3] RGB.
            points: float [148, 2] (mesh148) or [5, 2] (five), pixels.

        Raises:
            UsageError: points of another shape, or points that coincide.
        """
        return self.embed_many([image], [points])[0]

    def embed_many(self, images: Sequence[Image], points: Sequence[npt.NDArray[np.floating]]) -> Embedding:
        """Embeddings of many faces: float32 [N, 512]; a row never depends on its neighbours. Errors as
        `embed`.
        """
        crops = [align(image, five_points(face), SIZE) for image, face in paired(images, points)]
        if not crops:
            return np.zeros((0, self.dim), np.float32)
        return in_micro_batches(
            np.stack(crops), SIZE, self.device, lambda x: self._network(x * (127.5 / 128))
        )


NAME = "inception-resnet-v1"
ORIGIN = (
    "It is 20180402-114759-vggface2.pt or 20180408-102900-casia-webface.pt of the releases of"
    " github.com/timesler/facenet-pytorch (code MIT; trained on VGGFace2 or CASIA-WebFace, both for research"
    " only)"
)


@ATTRIBUTE_MODELS.register(
    NAME,
    family="identity",
    params=FileParams,
    licence="MIT; training data for research only (the user's file)",
    paper=(
        "Schroff, Kalenichenko & Philbin, FaceNet: a unified embedding for face recognition and clustering,"
        " CVPR 2015"
    ),
)
def inception_resnet_v1(params: FileParams) -> InceptionResnet:
    """512 numbers per face by facenet-pytorch's InceptionResnetV1; you bring the file."""
    from attribute_models.user_weights import user_weight

    return InceptionResnet(user_weight(NAME, params.file, "identity", ORIGIN), params.device)
