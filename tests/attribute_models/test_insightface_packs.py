"""InsightFace packs through the package's own classes, on a pack of tiny ONNX files made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attribute_models import load_attribute_model, load_face_detector, load_identity_model
from attribute_models.detection.alignment import TEMPLATE
from attribute_models.detection.insightface_pack import FACE_BOX
from manifests.errors import DataError, MissingError, UsageError

onnx = pytest.importorskip("onnx")
pytest.importorskip("insightface")

SIDE = 64
FIVE = (TEMPLATE * 40 + 12).astype(np.float32)
BOX = np.array([14, 10, 50, 58], np.float32)


def save(path: Path, side: int, outputs: dict[str, np.ndarray], weight: np.ndarray | None = None) -> None:
    """A model of one picture of `side` px: constant outputs, or channel means times `weight`."""
    from onnx import TensorProto, helper, numpy_helper

    batch = "n" if weight is not None else 1
    tensors, nodes, made = [], [], []
    if weight is not None:
        nodes = [
            helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0, name="reduce"),
            helper.make_node("MatMul", ["means", "weight"], ["found"], name="matrix"),
        ]
        tensors = [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
        ]
        made = [helper.make_tensor_value_info("found", TensorProto.FLOAT, [batch, weight.shape[1]])]
    for name, value in outputs.items():
        tensors.append(numpy_helper.from_array(value.astype(np.float32), f"{name}_value"))
        nodes.append(helper.make_node("Identity", [f"{name}_value"], [name]))
        made.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(value.shape)))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, side, side])
    graph = helper.make_graph(nodes, "tiny", [pixels], made, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that finds one face at BOX with the points FIVE in any picture of 64 px, genderage and
    ArcFace.
    """
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    folder.mkdir()
    outputs: dict[str, dict[int, np.ndarray]] = {"score": {}, "box": {}, "points": {}}
    for stride in (8, 16, 32):
        count = 2 * (SIDE // stride) ** 2
        outputs["score"][stride], outputs["box"][stride] = np.zeros((count, 1)), np.ones((count, 4))
        outputs["points"][stride] = np.zeros((count, 10))
    anchor = 2 * (4 * 8 + 4)
    outputs["score"][8][anchor] = 0.9
    outputs["box"][8][anchor] = np.array([32 - BOX[0], 32 - BOX[1], BOX[2] - 32, BOX[3] - 32]) / 8
    outputs["points"][8][anchor] = (FIVE.reshape(-1) - 32) / 8
    save(
        folder / "det_tiny.onnx",
        SIDE,
        {f"{kind}_{stride}": v for kind, found in outputs.items() for stride, v in found.items()},
    )
    rng = np.random.default_rng(0)
    save(folder / "genderage.onnx", 96, {}, rng.normal(0, 1, (3, 3)).astype(np.float32))
    save(folder / "w600k_tiny.onnx", 112, {}, rng.normal(0, 1, (3, 16)).astype(np.float32))
    return folder


def package_model(pack: Path, name: str):
    from insightface.model_zoo import get_model

    return get_model(str(pack / name), providers=["CPUExecutionProvider"])


def test_scrfd_gives_boxes_and_the_scheme_five(pack: Path):
    detector = load_face_detector("insightface-scrfd", pack=str(pack), size=SIDE)
    (face,) = detector.detect(np.zeros((SIDE, SIDE, 3), np.uint8))
    np.testing.assert_allclose(face.box, BOX, atol=1e-3)
    np.testing.assert_allclose(face.five, FIVE, atol=1e-3)
    assert face.score == pytest.approx(0.9)
    (large,) = detector.detect(np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8))
    np.testing.assert_allclose(large.five, 2 * FIVE, atol=1e-2)
    assert (
        load_face_detector("insightface-scrfd", pack=str(pack), size=SIDE, threshold=0.95).detect(
            np.zeros((SIDE, SIDE, 3), np.uint8)
        )
        == []
    )
    with pytest.raises(UsageError):
        detector.detect(np.zeros((SIDE, SIDE), np.uint8))


def test_arcface_is_the_packages_embedding(pack: Path):
    from insightface.utils.face_align import arcface_dst

    rng = np.random.default_rng(1)
    image = np.kron(rng.integers(0, 256, (24, 24, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    model, direct = (
        load_identity_model("insightface-arcface", pack=str(pack)),
        package_model(pack, "w600k_tiny.onnx"),
    )
    upright = np.asarray(arcface_dst) + 30  # a shift by whole pixels: both crops are exact
    crop = np.ascontiguousarray(image[30:142, 30:142, ::-1])
    expected = direct.get_feat(crop).reshape(-1)
    found = model.embed(image, upright + 0.5)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-4)
    assert model.dim == 16
    np.testing.assert_array_equal(model.embed_many([image, image], [upright + 9, upright + 0.5])[1], found)


def test_genderage_is_the_packages_answer(pack: Path):
    from insightface.app.common import Face

    model, direct = (
        load_attribute_model("insightface-genderage", file=str(pack)),
        package_model(pack, "genderage.onnx"),
    )
    images = np.random.default_rng(2).integers(0, 256, (6, 128, 128, 3), np.uint8)
    images[:, :, :, 0] //= np.arange(1, 7, dtype=np.uint8)[:, None, None]
    prob, years = model.predict(images)["gender"], model.years(images)
    for k, image in enumerate(images):
        gender, age = direct.get(np.ascontiguousarray(image[:, :, ::-1]), Face(bbox=np.array(FACE_BOX) * 128))
        assert model.classes["gender"][int(prob[k].argmax())] == ("Female", "Male")[gender]
        assert years[k] == pytest.approx(age, abs=1)
    np.testing.assert_allclose(prob.sum(1), 1, atol=1e-6)
    assert model.predict(images[:0])["gender"].shape == (0, 2)
    with pytest.raises(UsageError, match="no taxonomy"):
        model.predict_cells(images)


def test_packs_without_a_task_and_broken_files(pack: Path, tmp_path: Path):
    (tmp_path / "genderage.onnx").write_bytes((pack / "genderage.onnx").read_bytes())
    with pytest.raises(MissingError, match="has no file for recognition"):
        load_identity_model("insightface-arcface", pack=str(tmp_path))
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match="is no ONNX model that can be run"):
        load_identity_model("insightface-arcface", pack=str(tmp_path))
