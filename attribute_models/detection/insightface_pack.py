"""InsightFace packs (a folder of ONNX files) through the package `insightface`: SCRFD detection, genderage,
ArcFace.

The package's own router says what each file of the pack is. It works on BGR; everything here takes RGB. The
pretrained packs are for non-commercial research only. Nothing is fetched: the pack must lie on the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from attribute_models.attributes.classifier import FaceClassifier, Probabilities
from attribute_models.batching import check_images
from attribute_models.detection.alignment import fit_similarity, warp
from attribute_models.detection.boxes import DetectedFace
from attribute_models.identity.embeddings import Embedding, Image, five_points, paired
from attribute_models.registry import ATTRIBUTE_MODELS, INSIGHTFACE, PackParams
from manifests.errors import DataError, MissingError, UsageError
from manifests.weights import Weight
from nn.onnx_files import check_model, digest_model, run_session

LICENCE = "InsightFace model: non-commercial research only"
ORIGIN = (
    "Packs (buffalo_l, antelopev2, ...) come with the releases of github.com/deepinsight/insightface; their"
    " models are for non-commercial research only"
)
ARCFACE_SIDE = 112
"""Side in pixels of the crop that ArcFace's template is of."""
FACE_BOX = (0.12, 0.02, 0.88, 0.98)
"""[recon] Where a detector's box lies in an aligned crop, in units of its side: `genderage` cuts 1.5 times
its longer side.
"""


def pack_folder(pack: str) -> Path:
    """The folder of a pack: a path, or a name below `~/.insightface/models`.

    Raises:
        MissingError: no such folder, or no ONNX file in it.
    """
    folder = Path(pack).expanduser()
    folder = folder if folder.is_dir() else Path.home() / ".insightface" / "models" / pack
    if not pack or not folder.is_dir() or not list(folder.glob("*.onnx")):
        raise MissingError(
            f"InsightFace pack {pack!r}",
            "is no folder with ONNX files, here or in ~/.insightface/models",
            ORIGIN,
        )
    return folder


def load_task(pack: str, task: str) -> tuple[Any, Weight]:
    """The package's model for a task (`detection`, `genderage`, `recognition`) out of a pack, on the CPU, and
    its file.

    Raises:
        MissingError: no such pack, or none of its files is for the task. DataError: a file that is no ONNX
            model.
    """
    folder = pack_folder(pack)
    from insightface.model_zoo import get_model
    from onnxruntime.capi.onnxruntime_pybind11_state import (
        Fail,
        InvalidArgument,
        InvalidGraph,
        InvalidProtobuf,
        NoSuchFile,
    )

    for path in sorted(folder.glob("*.onnx")):
        check_model(path)
        try:
            model = get_model(str(path), providers=["CPUExecutionProvider"])
        except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, AssertionError) as error:
            raise DataError(
                str(path), f"is not a model of a pack ({str(error)[:200]})", "fetch the pack again"
            ) from error
        if model is not None and model.taskname == task:
            digest = digest_model(path)
            return model, Weight(f"insightface-{folder.name}-{path.stem}", path, digest, task, LICENCE)
    raise MissingError(f"InsightFace pack {folder}", f"has no file for {task}", ORIGIN)


class Scrfd:
    """SCRFD (Guo et al., ICLR 2022): faces with five points. size: side in pixels at which pictures are
    searched.
    """

    def __init__(self, pack: str, size: int = 640, threshold: float = 0.5) -> None:
        self._model, self.weight = load_task(pack, "detection")
        self._model.prepare(-1, input_size=(size, size), det_thresh=threshold)

    def detect(self, image: Image) -> list[DetectedFace]:
        """Faces of uint8 [H, W, 3] RGB, best score first.

        Raises:
            UsageError: an image of another type or shape. DataError: the pack's detector gives no points.
        """
        check_images(np.asarray(image)[None])
        boxes, points = self._model.detect(np.ascontiguousarray(image[:, :, ::-1]))
        if points is None and len(boxes):
            raise DataError(
                str(self.weight.path),
                "detects faces without five points",
                "use a pack whose detector has them",
            )
        faces = [
            DetectedFace(np.asarray(row[:4], np.float32), float(row[4]), np.asarray(five, np.float32))
            for row, five in zip(boxes, points if len(boxes) else [], strict=True)
        ]
        return sorted(faces, key=lambda face: (-face.score, *face.box.tolist()))


class GenderAge(FaceClassifier):
    """Perceived gender, and age in years, by a pack's `genderage` model. It knows no race: not for cells."""

    def __init__(self, pack: str) -> None:
        self._model, self.weight = load_task(pack, "genderage")
        self.classes = {"gender": ("Female", "Male")}

    def _raw(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """float64 [N, 3]: two gender logits and age / 100, one face at a time."""
        check_images(images)
        model, rows = self._model, []
        for image in images:
            side = image.shape[0], image.shape[1]
            x0, y0, x1, y1 = (share * side[1 - k % 2] for k, share in enumerate(FACE_BOX))
            scale = model.input_size[0] / (1.5 * max(x1 - x0, y1 - y0))
            shift = [model.input_size[0] / 2 - scale * centre for centre in ((x0 + x1) / 2, (y0 + y1) / 2)]
            width, height = model.input_size
            crop = warp(image, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), width, height, "black")
            blob = (crop.astype(np.float32).transpose(2, 0, 1)[None] - model.input_mean) / model.input_std
            found = run_session(
                model.session,
                model.output_names,
                {model.input_name: blob.astype(np.float32)},
                self.weight.path,
            )
            rows.append(found[0][0])
        return np.asarray(rows, np.float64).reshape(-1, 3)

    def predict(self, images: npt.NDArray[np.uint8]) -> dict[str, Probabilities]:
        """Softmax of the gender logits, uncalibrated; see `FaceClassifier.predict`."""
        logits = self._raw(images)[:, :2]
        odds = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
        return {"gender": (odds / odds.sum(1, keepdims=True)).astype(np.float32)}

    def years(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Perceived age in years: float32 [N]. images as `predict`."""
        return (self._raw(images)[:, 2] * 100).astype(np.float32)


class ArcFace:
    """ArcFace (Deng et al., CVPR 2019): unit vectors, float32 [dim] per face; compare by Euclidean
    distance.
    """

    def __init__(self, pack: str) -> None:
        self._model, self.weight = load_task(pack, "recognition")
        from insightface.utils.face_align import arcface_dst

        size = int(self._model.input_size[0])
        if size % ARCFACE_SIDE:
            why, fix = (
                f"takes {size} px, no multiple of {ARCFACE_SIDE}",
                f"use a pack with an ArcFace of {ARCFACE_SIDE} px",
            )
            raise DataError(str(self.weight.path), why, fix)
        self._size, self._template = size, np.asarray(arcface_dst, np.float64) * (size / ARCFACE_SIDE)
        probe = np.zeros((size, size, 3), np.uint8)
        self.dim = int(np.asarray(self._model.get_feat(probe)).size)

    def embed(self, image: Image, points: npt.NDArray[np.floating]) -> Embedding:
        """Embedding of one face: float32 [dim] of length 1.

        Args:
            image: uint8 [H, W, 3] RGB.
            points: float [148, 2] (mesh148) or [5, 2] (five), pixels.

        Raises:
            UsageError: points of another shape, or points that coincide.
        """
        # OpenCV's pixel centres lie at whole numbers, this project's at halves.
        matrix = fit_similarity(five_points(points), self._template + 0.5)
        crop = warp(image, matrix, self._size, self._size, "black")
        found = np.asarray(self._model.get_feat(np.ascontiguousarray(crop[:, :, ::-1])), np.float64).reshape(
            -1
        )
        length = float(np.linalg.norm(found))
        if not np.isfinite(length) or length == 0:
            raise UsageError("face", "has no embedding: the model gave zeros or no numbers", "check the pack")
        return (found / length).astype(np.float32)

    def embed_many(self, images: Sequence[Image], points: Sequence[npt.NDArray[np.floating]]) -> Embedding:
        """Embeddings of many faces: float32 [N, dim], one at a time; errors as `embed`."""
        rows = [self.embed(image, face) for image, face in paired(images, points)]
        return np.stack(rows) if rows else np.zeros((0, self.dim), np.float32)


class ScrfdParams(PackParams):
    """size: side in pixels at which pictures are searched. threshold: least score."""

    size: int = Field(640, ge=64, le=4096, multiple_of=32)
    threshold: float = Field(0.5, ge=0, le=1)


@ATTRIBUTE_MODELS.register(
    "insightface-scrfd",
    family="detection",
    params=ScrfdParams,
    needs=INSIGHTFACE,
    licence="non-commercial research only (the user's pack)",
    paper="Guo et al., Sample and computation redistribution for efficient face detection, ICLR 2022",
)
def insightface_scrfd(params: ScrfdParams) -> Scrfd:
    """Faces with boxes, scores and five points, by the SCRFD detector of an InsightFace pack that you
    bring.
    """
    return Scrfd(params.pack, params.size, params.threshold)


@ATTRIBUTE_MODELS.register(
    "insightface-genderage",
    family="attributes",
    params=PackParams,
    needs=INSIGHTFACE,
    licence="non-commercial research only (the user's pack)",
    paper="InsightFace, github.com/deepinsight/insightface (attribute model of the packs)",
)
def insightface_genderage(params: PackParams) -> GenderAge:
    """Perceived gender, and age in years, by the genderage model of an InsightFace pack that you bring; no
    race.
    """
    return GenderAge(params.pack)


@ATTRIBUTE_MODELS.register(
    "insightface-arcface",
    family="identity",
    params=PackParams,
    needs=INSIGHTFACE,
    licence="non-commercial research only (the user's pack)",
    paper="Deng et al., ArcFace: additive angular margin loss for deep face recognition, CVPR 2019",
)
def insightface_arcface(params: PackParams) -> ArcFace:
    """Unit vectors per face, by the ArcFace model of an InsightFace pack that you bring."""
    return ArcFace(params.pack)
