"""Neural swaps by the conventions of their ONNX files: `swap-inswapper`, `swap-simswap`, `swap-ghost`.

All take the target's aligned crop and the source's ArcFace embedding; sizes, ranges and what is done to the
embedding differ. Another engine of this kind is one more class here, or in a file of its own.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from generators.forgeries import onnx_parts
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.onnx_parts import Part
from manifests.errors import DataError
from manifests.records import Face
from manifests.registry import Params

INSIGHTFACE = "InsightFace models: non-commercial research only"
SIMSWAP = "SimSwap: CC BY-NC 4.0, non-commercial"
GHOST = "ghost: Apache-2.0"
ARCFACE_SIZE = 112
HALF = (0.5, 0.5, 0.5)


class OnnxSwapParams(Params):
    """model, arcface: the ONNX files of the engine and of the identity embedding it was trained with. Ranges
    are drawn uniformly:

    feather: width of the mask's soft edge, in face widths. top: how far the mask goes from the brows (0) to
    the upper end of the face oval (1). sides: scale of the oval.
    """

    model: str = ""
    arcface: str = ""
    feather: tuple[float, float] = (0.08, 0.14)
    top: tuple[float, float] = (0.5, 0.9)
    sides: tuple[float, float] = (0.95, 1.03)


class OnnxSwap(Forger):
    """Base: crop, embed, run, paste back. Subclasses say the engine's convention.

    size: side of the crop, pixels. mean, deviation: of the crop's channels, on [0, 1]. made_mean,
    made_deviation: of the output's. arcface_mean, arcface_deviation: of the embedding's input.
    """

    parts: ClassVar[tuple[Part, ...]]
    size: ClassVar[int]
    mean: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0)
    deviation: ClassVar[tuple[float, ...]] = (1.0, 1.0, 1.0)
    made_mean: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0)
    made_deviation: ClassVar[tuple[float, ...]] = (1.0, 1.0, 1.0)
    arcface_mean: ClassVar[tuple[float, ...]] = HALF
    arcface_deviation: ClassVar[tuple[float, ...]] = HALF

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.paths = onnx_parts.find_parts(self.name, self.parts, params)

    def identity(self, embedding: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What the engine is given for the source: float32 [1, D], out of ArcFace's raw embedding [1, D]."""
        return embedding / max(float(np.linalg.norm(embedding)), 1e-9)

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The engine's face in the target; see `Forger.layers`.

        Raises:
            DataError: a file is not the engine's.
        """
        assert other is not None
        assert target.landmarks is not None
        assert other.landmarks is not None
        drawn: dict[str, Any] = {
            name: round(float(rng.uniform(*getattr(self.params, name))), 4)
            for name in ("feather", "top", "sides")
        }
        drawn["digests"] = onnx_parts.digests(self.paths)
        points = target.landmarks.astype(np.float32)
        chip, _ = onnx_parts.crop(
            other.image, other.landmarks.astype(np.float32), onnx_parts.template(ARCFACE_SIZE), ARCFACE_SIZE
        )
        embedding = onnx_parts.run(
            self.paths["arcface"], {"0": onnx_parts.to_blob(chip, self.arcface_mean, self.arcface_deviation)}
        )[0]
        image, matrix = onnx_parts.crop(target.image, points, onnx_parts.template(self.size), self.size)
        blob = onnx_parts.to_blob(image, self.mean, self.deviation)
        out = onnx_parts.run(
            self.paths["model"], self._inputs(blob, self.identity(embedding.reshape(1, -1)))
        )[0]
        made = onnx_parts.from_blob(out, self.paths["model"], self.made_mean, self.made_deviation)
        if made.shape[0] != self.size:
            raise DataError(
                self.paths["model"],
                f"gave {made.shape[0]} pixels, not {self.size}",
                "give the file of this engine",
            )
        picture, box = onnx_parts.pasted(made, matrix, *target.image.shape[:2])
        return Layers(
            picture, onnx_parts.face_alpha(points, box, drawn["top"], drawn["sides"], drawn["feather"]), drawn
        )

    def _inputs(
        self,
        blob: npt.NDArray[np.float32],
        identity: npt.NDArray[np.float32],
    ) -> dict[str, npt.NDArray[np.float32]]:
        """The picture goes where the graph takes four dimensions, the identity where it takes two."""
        first_is_image = len(onnx_parts.input_shape(self.paths["model"], 0)) == 4
        return {"0": blob, "1": identity} if first_is_image else {"0": identity, "1": blob}


def _parts(
    file: str, source: str, licence: str, arcface: str, arcface_source: str, arcface_licence: str
) -> tuple[Part, ...]:
    return Part("model", file, source, licence), Part("arcface", arcface, arcface_source, arcface_licence)


@forgery(
    "swap-inswapper",
    family="swap",
    uses="source",
    params=OnnxSwapParams,
    needs=onnx_parts.NEEDS,
    licence=INSIGHTFACE,
    paper="InsightFace inswapper, github.com/deepinsight/insightface",
    files=("model", "arcface"),
)
class Inswapper(OnnxSwap):
    """Neural swap by InsightFace's inswapper: 128 pixels, ArcFace embedding times `emap`; bring the files
    yourself.
    """

    parts = _parts(
        "inswapper_128.onnx",
        "InsightFace, github.com/deepinsight/insightface",
        INSIGHTFACE,
        "w600k_r50.onnx",
        "InsightFace pack buffalo_l, github.com/deepinsight/insightface/tree/master/model_zoo",
        INSIGHTFACE,
    )
    size = 128

    def identity(self, embedding: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The normalised embedding times `emap`, normalised again."""
        emap = onnx_parts.last_initializer(self.paths["model"])
        if emap.shape[0] != embedding.shape[1]:
            raise DataError(
                self.paths["arcface"],
                f"gives {embedding.shape[1]} numbers, the emap takes {emap.shape[0]}",
                "give w600k_r50.onnx",
            )
        latent = super().identity(embedding) @ emap
        return latent / max(float(np.linalg.norm(latent)), 1e-9)


@forgery(
    "swap-simswap",
    family="swap",
    uses="source",
    params=OnnxSwapParams,
    needs=onnx_parts.NEEDS,
    licence=SIMSWAP,
    paper="Chen et al., SimSwap: an efficient framework for high fidelity face swapping, ACM MM 2020",
    files=("model", "arcface"),
)
class SimSwap(OnnxSwap):
    """Neural swap by SimSwap: 224 pixels in [0, 1], normalised ArcFace embedding; bring the files
    yourself.
    """

    parts = _parts(
        "simswap.onnx",
        "exported from github.com/neuralchen/SimSwap",
        SIMSWAP,
        "arcface_checkpoint.onnx",
        "exported from github.com/neuralchen/SimSwap",
        SIMSWAP,
    )
    size = 224
    arcface_mean = (0.485, 0.456, 0.406)
    arcface_deviation = (0.229, 0.224, 0.225)


@forgery(
    "swap-ghost",
    family="swap",
    uses="source",
    params=OnnxSwapParams,
    needs=onnx_parts.NEEDS,
    licence=GHOST,
    paper="Groshev et al., GHOST: a new face swap approach for image and video domains, IEEE Access 2022",
    files=("model", "arcface"),
)
class Ghost(OnnxSwap):
    """Neural swap by ghost (AEI-Net): 256 pixels in [-1, 1], ArcFace embedding as it is; bring the files
    yourself.
    """

    parts = _parts(
        "ghost.onnx",
        "exported from github.com/ai-forever/ghost",
        GHOST,
        "backbone.onnx",
        "exported from github.com/ai-forever/ghost",
        GHOST,
    )
    size = 256
    mean = deviation = made_mean = made_deviation = HALF

    def identity(self, embedding: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The embedding itself."""
        return embedding
