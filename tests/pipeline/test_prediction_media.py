"""Prediction of pictures, folders and videos: which crop, which score, reasons; heat maps; the ONNX file."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from attribute_models.detection.alignment import TEMPLATE
from detector.inference import onnx_export
from detector.inference.checkpoints import save_checkpoint
from detector.inference.heatmaps import grad_cam, overlay
from detector.inference.onnx_export import export_onnx
from detector.inference.prediction import load_detector
from detector.models.network import build_network, normalise
from detector.models.network_config import NetworkConfig
from manifests.errors import DataError, MissingError
from manifests.images import encode
from manifests.seeding import rng_of
from pipeline.__main__ import main
from pipeline.commands import prediction
from pipeline.engine import models
from pipeline.faces.crops import FaceCropper

CONFIG = NetworkConfig(
    backbone="test_resnet", input_size=32, mirror=True, residual_input=True, heads={"race": ("a", "b")}
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "checkpoint.safetensors"
    network = build_network(CONFIG, 1)
    with torch.no_grad():
        network.fake.weight.mul_(40)
    save_checkpoint(path, CONFIG, network.state_dict(), {"taxonomy": "none"})
    return path


def noise(key: object, height: int = 80, width: int = 96) -> np.ndarray:
    coarse = rng_of(3, "prediction", key).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def face(x: float, y: float, side: float, score: float = 0.99) -> SimpleNamespace:
    five = (TEMPLATE * side + [x, y]).astype(np.float32)
    return SimpleNamespace(box=np.array([x, y, x + side, y + side], np.float32), score=score, five=five)


class Search:
    """Finds what it is told to."""

    def __init__(self, *faces: SimpleNamespace) -> None:
        self.faces = faces

    def detect(self, image: np.ndarray) -> list[SimpleNamespace]:
        return list(self.faces)


def use(monkeypatch: pytest.MonkeyPatch, *faces: SimpleNamespace) -> None:
    monkeypatch.setattr(models, "face_detector", lambda name, device: Search(*faces))


def make_video(path: Path, pictures: list[np.ndarray]) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in [av.VideoFrame.from_ndarray(p, format="rgb24") for p in pictures] + [None]:
            for packet in stream.encode(frame):
                container.mux(packet)


def test_a_face_on_the_template_is_cut_out_pixel_for_pixel() -> None:
    image = noise("cut", 80, 96)
    (crop,) = FaceCropper(Search(face(16, 24, 32)), 32).crops(image)
    assert not crop.whole
    assert crop.box == (16, 24, 48, 56)
    assert np.array_equal(crop.image, image[24:56, 16:48])


@pytest.mark.parametrize(
    ("faces", "side", "found", "whole"),
    [
        ("auto", 40, [face(0, 0, 40)], [True]),
        ("auto", 40, [face(1, 1, 38)], [True]),
        ("auto", 80, [face(10, 10, 40)], [False]),
        ("auto", 40, [face(0, 0, 40), face(20, 0, 20)], [False, False]),
        ("auto", 40, [], [True]),
        ("auto", 400, [], []),
        ("auto", 40, [face(0, 0, 40, score=0.5)], [True]),
        ("always", 40, [face(0, 0, 40)], [False]),
        ("always", 40, [], []),
        ("never", 80, [face(10, 10, 40)], [True]),
    ],
)
def test_which_pictures_are_taken_whole(faces: Any, side: int, found: list[Any], whole: list[bool]) -> None:
    crops = FaceCropper(Search(*found), 32, faces).crops(noise("whole", side, side))
    assert [crop.whole for crop in crops] == whole
    assert all(crop.image.shape == (32, 32, 3) for crop in crops)


def test_a_face_of_a_huge_picture_is_drawn() -> None:
    (crop,) = FaceCropper(Search(face(0, 0, 1600)), 32, "always").crops(noise("huge", 1600, 1600))
    assert crop.image.shape == (32, 32, 3)


def test_scores_are_those_of_the_detector_on_the_crops(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faces = [face(16, 24, 32), face(48, 8, 32)]
    use(monkeypatch, *faces)
    monkeypatch.setattr(prediction, "BATCH", 3)
    images = [noise(k) for k in range(4)]
    for k, image in enumerate(images):
        (tmp_path / f"{k}.png").write_bytes(encode(image, "png"))
    rows = prediction.predict([tmp_path], checkpoint)
    model = load_detector(checkpoint)
    for image, row in zip(images, rows, strict=True):
        want = model.predict(np.stack([image[24:56, 16:48], image[8:40, 48:80]]))
        assert [f["fake"] for f in row["faces"]] == want.tolist()
        assert row["fake"] == want.max()
        assert row["faces"][1]["box"] == [48, 8, 80, 40]
    assert len({row["fake"] for row in rows}) == 4


def test_a_video_is_the_mean_of_its_frames_with_faces(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Bright(Search):
        def detect(self, image: np.ndarray) -> list[SimpleNamespace]:
            return list(self.faces) if image.mean() > 30 else []

    monkeypatch.setattr(models, "face_detector", lambda name, device: Bright(face(16, 24, 32)))
    pictures = [noise(k) for k in range(8)]
    pictures[2] = np.zeros_like(pictures[2])
    make_video(tmp_path / "clip.mp4", pictures)
    (row,) = prediction.predict([tmp_path / "clip.mp4"], checkpoint, frames=4, heatmaps=tmp_path / "heat")
    assert [f["frame"] for f in row["frames"]] == [1, 3, 5, 7]
    scores = [f["fake"] for f in row["frames"]]
    assert None not in scores
    assert row["fake"] == pytest.approx(np.mean(scores))
    (row,) = prediction.predict([tmp_path / "clip.mp4"], checkpoint, frames=8)
    assert [f["fake"] is None for f in row["frames"]] == [k == 2 for k in range(8)]
    assert row["fake"] == pytest.approx(np.mean([f["fake"] for f in row["frames"] if f["fake"] is not None]))
    assert len(list((tmp_path / "heat").glob("*.png"))) == 4


def test_every_failure_has_its_reason_and_the_rest_goes_on(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    use(monkeypatch)
    (tmp_path / "a.png").write_bytes(encode(noise("a"), "png"))
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    (tmp_path / "d.png").write_bytes(encode(noise("d", 32, 32), "png"))
    make_video(tmp_path / "e.mp4", [noise("e")] * 2)
    paths = [str(tmp_path), str(tmp_path / "f.png"), str(tmp_path / "g.mp4")]
    assert main(["predict", *paths, "--checkpoint", str(checkpoint), "--json"]) == 0
    rows = {Path(row["path"]).name: row for row in json.loads(capsys.readouterr().out)}
    reasons = {name: row["reason"] for name, row in rows.items()}
    assert "no face was found in it" in reasons["a.png"]
    assert "not a readable image" in reasons["b.jpg"]
    assert "not a readable video" in reasons["c.mp4"]
    assert reasons["d.png"] is None
    assert "no face was found in any of 2 frames" in reasons["e.mp4"]
    assert "is not there" in reasons["f.png"]
    assert "is not there" in reasons["g.mp4"]
    assert main(["predict", str(tmp_path / "b.jpg"), "--checkpoint", str(checkpoint)]) == 3


def test_heat_map_is_grad_cam_by_finite_differences(checkpoint: Path) -> None:
    """The weights are the logit's slopes by channel means: moving a whole channel of the feature map moves
    the logit by them.
    """
    model = load_detector(checkpoint)
    image = noise("cam", 32, 32)[None]
    heat = grad_cam(model, image)
    assert heat.shape == (1, 32, 32)
    assert heat.min() >= 0
    assert heat.max() <= 1
    network, trunk = model.network, model.network.trunk
    inputs = normalise(torch.from_numpy(image), network.config)
    with torch.no_grad():
        plain = trunk.forward_features
        kept: list[torch.Tensor] = []

        def shifted(x: torch.Tensor, channel: int = -1, by: float = 0.0) -> torch.Tensor:
            out = plain(x)
            kept.append(out)
            out = out.clone()
            out[:, channel] += by
            return out

        def logit(channel: int, by: float) -> float:
            trunk.forward_features = lambda x: shifted(x, channel, by)
            return float(network(inputs)["fake"])

        slopes = torch.tensor([(logit(c, 0.5) - logit(c, -0.5)) for c in range(trunk.num_features)])
        del trunk.forward_features
    features = kept[0][0]
    reference = (features * slopes[:, None, None]).sum(0).clamp(min=0)
    reference = reference / reference.max()
    import cv2

    assert np.abs(cv2.resize(reference.numpy(), (32, 32)) - heat[0]).max() < 1e-3
    assert "forward_features" not in vars(trunk)
    assert overlay(image[0], heat[0]).shape == (256, 256, 3)


def test_heat_map_of_a_transformer() -> None:
    config = NetworkConfig(backbone="test_vit", input_size=160)
    from detector.inference.prediction import Detector

    heat = grad_cam(Detector(build_network(config, 0), {}), noise("vit", 160, 160)[None])
    assert heat.shape == (1, 160, 160)
    assert np.isfinite(heat).all()


def test_onnx_file_agrees_in_any_batch(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = load_detector(checkpoint)
    value = export_onnx(model, tmp_path / "d.onnx")
    assert value["outputs"] == ["fake", "race"]
    session = onnxruntime.InferenceSession(str(tmp_path / "d.onnx"), providers=["CPUExecutionProvider"])
    images = rng_of(9, "onnx").integers(0, 256, (5, 32, 32, 3), np.uint8)
    fake, race = session.run(["fake", "race"], {"images": images})
    ours = model.predict_all(images)
    assert np.abs(fake - ours["fake"]).max() < 1e-5
    assert np.abs(race - ours["race"]).max() < 1e-5
    assert json.loads(session.get_modelmeta().custom_metadata_map["detector"])["backbone"] == "test_resnet"
    graph = (tmp_path / "d.onnx").read_bytes()
    monkeypatch.setattr(onnx_export, "_write_graph", lambda *arguments: graph)
    monkeypatch.setattr(model, "predict_all", lambda images: {k: v + 0.01 for k, v in ours.items()})
    with pytest.raises(DataError, match="differ from torch"):
        export_onnx(model, tmp_path / "wrong.onnx")
    assert not (tmp_path / "wrong.onnx").exists()


def test_without_the_packages_the_extra_is_named(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "onnxscript" else real(name, *a)
    )
    with pytest.raises(MissingError, match="onnxscript") as caught:
        export_onnx(load_detector(checkpoint), tmp_path / "d.onnx")
    assert "fairforge[onnx]" in caught.value.fix
