"""Adapters of models that the user brings, through the libraries' real classes on small files made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet34

from attribute_models import align, batching, load_attribute_model, load_face_detector, load_identity_model
from attribute_models.batching import ROWS
from attribute_models.detection.alignment import TEMPLATE
from manifests.errors import DataError, MissingError, UsageError
from manifests.taxonomy import get_taxonomy

FIVE = TEMPLATE * 90 + 20


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Micro-batches of two rows: large networks need not be fed sixteen."""
    monkeypatch.setattr(batching, "ROWS", 2)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)


@pytest.fixture(scope="module")
def fairface_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("fairface") / "res34.pt"
    torch.save({f"module.{key}": value for key, value in resnet34(num_classes=18).state_dict().items()}, path)
    return path


def test_fairface_resnet34_is_torchvisions(fairface_file: Path, pictures: np.ndarray, small_batches: None):
    from torchvision.transforms import Compose, Normalize, Resize, ToTensor

    model = load_attribute_model("fairface-resnet34", file=str(fairface_file))
    network = resnet34(num_classes=18)
    network.load_state_dict(
        {k.removeprefix("module."): v for k, v in torch.load(fairface_file, weights_only=True).items()}
    )
    network.eval()
    large = np.stack(
        [np.kron(p[:112, :112], np.ones((2, 2, 1), np.uint8)) for p in pictures]
    )  # 224 px: nothing to resample
    shaped = Compose(
        [ToTensor(), Resize(224, antialias=True), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )
    with torch.inference_mode():
        expected = network(torch.stack([shaped(p) for p in large]))
    found = model.predict(large)
    for head, part in zip(("race", "gender", "age"), expected.split([7, 2, 9], 1), strict=True):
        np.testing.assert_allclose(found[head], part.softmax(1).numpy(), atol=2e-5)
    assert model.classes["race"][0] == "White"
    assert model.own_taxonomy().name == "fairface7"
    assert model.crop == 224
    assert model.axes(found, get_taxonomy("ffpp"))["race"].sum(1) == pytest.approx(1, abs=1e-5)
    assert model.label_source.startswith("model:res34@")


def test_missing_and_wrong_weights_say_where_they_come_from(tmp_path: Path, fairface_file: Path):
    with pytest.raises(MissingError, match="do not come with") as caught:
        load_attribute_model("fairface-resnet34")
    assert "CC BY 4.0" in caught.value.fix
    with pytest.raises(MissingError, match="is not there"):
        load_identity_model("inception-resnet-v1", file=str(tmp_path / "none.pt"))
    with pytest.raises(DataError, match="does not fit the network"):
        load_identity_model("inception-resnet-v1", file=str(fairface_file))
    torch.save(torch.nn.Linear(2, 2), tmp_path / "code.pt")
    (tmp_path / "cut.pt").write_bytes(fairface_file.read_bytes()[:1000])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("no")
    for name in ("code.pt", "cut.pt", "empty.pt", "text.safetensors"):
        with pytest.raises(
            DataError, match=r"is not readable as plain tensors|is not a readable safetensors file"
        ):
            load_attribute_model("fairface-resnet34", file=str(tmp_path / name))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DataError, match="is not a state dict"):
        load_attribute_model("fairface-resnet34", file=str(tmp_path / "list.pt"))
    with pytest.raises(UsageError, match="takes no file"):
        load_attribute_model(str(fairface_file), file="x")


def test_inception_resnet_is_facenet_pytorchs(tmp_path: Path, pictures: np.ndarray, small_batches: None):
    from facenet_pytorch import InceptionResnetV1, fixed_image_standardization

    torch.manual_seed(1)
    reference = InceptionResnetV1(classify=False).eval()
    state = {**reference.state_dict(), "logits.weight": torch.zeros(5, 512), "logits.bias": torch.zeros(5)}
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "faces.safetensors")
    model = load_identity_model("inception-resnet-v1", file=str(tmp_path / "faces.safetensors"))
    crops = np.stack([align(picture, FIVE, 160) for picture in pictures])
    with torch.inference_mode():
        expected = reference(
            fixed_image_standardization(torch.from_numpy(crops).permute(0, 3, 1, 2).float())
        ).numpy()
    found = model.embed_many(list(pictures), [FIVE] * 3)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(model.embed(pictures[1], FIVE), found[1])
    assert model.embed_many([], []).shape == (0, model.dim)
    with pytest.raises(UsageError, match="neither mesh148 nor five"):
        model.embed(pictures[0], np.zeros((7, 2)))
    with pytest.raises(UsageError, match="came with 1 sets"):
        model.embed_many(list(pictures), [FIVE])


# --- ONNX classifiers ---

RACES = get_taxonomy("fairface4").races


def graph(path: Path, batch: int | str = "n", layout: str = "NCHW", columns: int = 7) -> np.ndarray:
    """An ONNX model: the mean of each channel times a matrix; returns the matrix, float32 [3, columns]."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(2).normal(0, 2, (3, columns)).astype(np.float32)
    shape = [batch, 3, 32, 32] if layout == "NCHW" else [batch, 32, 32, 3]
    axes = np.array([2, 3] if layout == "NCHW" else [1, 2], np.int64)
    nodes = [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weight"], ["scores"]),
    ]
    made = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, columns])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(axes, "axes")],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return weight


DESCRIPTION = """
name = "tiny"
file = "tiny.onnx"
licence = "CC0-1.0"
{more}
[input]
size = 32
layout = "{layout}"
colour = "{colour}"
mean = [0.5, 0.4, 0.3]
std = [0.2, 0.25, 0.3]
[heads.race]
classes = ["White", "Black", "Asian", "Indian"]
temperature = 2.0
[heads.gender]
classes = ["Male", "Female"]
start = 4
{gender}
"""


def described(
    folder: Path, layout: str = "NCHW", colour: str = "RGB", gender: str = "", more: str = ""
) -> Path:
    (folder / "tiny.toml").write_text(
        DESCRIPTION.format(layout=layout, colour=colour, gender=gender, more=more)
    )
    return folder / "tiny.toml"


@pytest.mark.parametrize(
    ("batch", "layout", "colour"), [("n", "NCHW", "RGB"), (1, "NHWC", "BGR"), (4, "NCHW", "BGR")]
)
def test_onnx_classifiers_follow_their_description(
    tmp_path: Path, batch: int | str, layout: str, colour: str
):
    weight = graph(tmp_path / "tiny.onnx", batch, layout)
    model = load_attribute_model(described(tmp_path, layout, colour, 'activation = "sigmoid"\nsingle = true'))
    images = np.random.default_rng(3).integers(0, 256, (ROWS + 2, 32, 32, 3), np.uint8)
    means = images.astype(np.float64).mean((1, 2)) / 255
    ordered = means[:, ::-1] if colour == "BGR" else means
    scores = ((ordered - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.3]) @ weight
    odds = np.exp(scores[:, :4] / 2)
    found = model.predict(images)
    np.testing.assert_allclose(found["race"], odds / odds.sum(1, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(found["gender"][:, 1], 1 / (1 + np.exp(-scores[:, 4])), atol=1e-4)
    np.testing.assert_array_equal(model.predict(images[5:6])["race"], found["race"][5:6])
    assert model.predict(images[:0])["race"].shape == (0, 4)
    assert model.own_taxonomy().name == "fairface4"
    assert model.predict_cells(images, "ffpp")[0].shape == (ROWS + 2, 4)
    with pytest.raises(UsageError, match="has no age bands"):
        model.predict_cells(images, "fairface4-ages")


def test_a_changed_description_is_another_source(tmp_path: Path):
    graph(tmp_path / "tiny.onnx")
    one = load_attribute_model(described(tmp_path)).label_source
    assert one.startswith("model:tiny@")
    assert load_attribute_model(described(tmp_path, colour="BGR")).label_source != one


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"gender": "start = 9"}, UsageError, "is not TOML"),
        ({"gender": 'output = "other"'}, UsageError, "it has scores"),
        ({"gender": 'activation = "sigmoid"\nsingle = true\ncolour = 1'}, UsageError, "heads.gender.colour"),
        ({"gender": "single = true"}, UsageError, "single = true is for"),
        ({"layout": "NHWC"}, UsageError, "says NHWC at 32 px"),
        ({"more": "crop = 0"}, UsageError, "crop"),
    ],
)
def test_descriptions_that_are_wrong_or_do_not_fit(tmp_path: Path, changes: dict, error: type, message: str):
    graph(tmp_path / "tiny.onnx")
    with pytest.raises(error, match=message):
        load_attribute_model(described(tmp_path, **changes))


def test_onnx_files_that_are_missing_broken_or_give_no_probabilities(tmp_path: Path):
    with pytest.raises(MissingError, match=r"and tiny\.toml names it"):
        load_attribute_model(described(tmp_path))
    (tmp_path / "tiny.onnx").write_bytes(b"no model")
    with pytest.raises(DataError, match="is no ONNX model that can be run"):
        load_attribute_model(described(tmp_path))
    graph(tmp_path / "tiny.onnx", columns=5)
    with pytest.raises(UsageError, match="wants columns 4 to 5"):
        load_attribute_model(described(tmp_path))
    graph(tmp_path / "tiny.onnx")
    model = load_attribute_model(described(tmp_path, gender='activation = "none"'))
    with pytest.raises(DataError, match="gave no probabilities"):
        model.predict(np.full((1, 32, 32, 3), 200, np.uint8))
    with pytest.raises(UsageError, match="needs the TOML file"):
        load_attribute_model("onnx-classifier")


@pytest.mark.parametrize(
    "load",
    [
        lambda: load_face_detector("insightface-scrfd", pack="nowhere"),
        lambda: load_identity_model("insightface-arcface", pack="nowhere"),
        lambda: load_attribute_model("insightface-genderage", pack="nowhere"),
    ],
)
def test_packs_that_are_not_there(load):
    with pytest.raises(MissingError) as caught:
        load()
    assert "non-commercial research only" in caught.value.fix or "fairforge[insightface]" in caught.value.fix
