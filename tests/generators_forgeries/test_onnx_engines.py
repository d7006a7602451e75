"""Neural engines by adapter: their conventions against plain numpy, their errors, and InsightFace's own class
where installed.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from generators import forgeries
from generators.forgeries import FORGERIES, onnx_parts
from generators.forgeries.reenact_liveportrait import degrees, rotation
from manifests.errors import DataError, MissingError, UsageError
from manifests.mesh148 import five_of
from tests.generators_forgeries.drawn_faces import draw_face
from tests.generators_forgeries.latent_faces import build
from tests.generators_forgeries.tiny_engines import DIM, embedder, engine_files, live_portrait, swapper

ENGINES = [entry.name for entry in FORGERIES.entries() if entry.facts["files"]]


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(3))


def pair(size: int = 160):
    return draw_face(size, 0, "t"), draw_face(size, 1, "s", mouth_open=0.1, yaw=0.05)


def test_there_are_engines_and_their_licences_are_theirs():
    assert set(ENGINES) == {"swap-inswapper", "swap-simswap", "swap-ghost", "reenact-liveportrait"}
    assert "non-commercial" in FORGERIES.get("swap-inswapper").licence
    assert "MIT" in FORGERIES.get("reenact-liveportrait").licence


@pytest.mark.parametrize("name", ENGINES)
def test_missing_weights_are_named_with_source_and_licence(name, tmp_path):
    with pytest.raises(MissingError) as caught:
        forgeries.get(name)()
    assert caught.value.exit_code == 3
    assert "github.com" in caught.value.why
    assert "licence" in caught.value.why
    assert f"forge.params.{name}." in caught.value.fix
    first, *_ = engine_files(name)
    with pytest.raises(MissingError, match="nowhere"):
        forgeries.get(name)({**engine_files(name), first: str(tmp_path / "nowhere.onnx")})


@pytest.mark.parametrize("content", [b"", b"not an onnx file", b"\x08\x07\x12\x04junk"])
def test_a_file_that_is_no_model_is_refused(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"model\.onnx"):
        build("swap-inswapper", model=str(path)).forge(*pair(), rng())


def test_the_file_of_another_engine_is_refused(tmp_path):
    files = engine_files("swap-inswapper")
    for wrong in (
        {"model": files["arcface"]},
        {"arcface": files["model"]},
        {"model": str(swapper(tmp_path / "a.onnx", 96))},
    ):
        with pytest.raises(DataError):
            build("swap-inswapper", **wrong).forge(*pair(), rng())
    appearance, motion, _ = map(str, live_portrait(tmp_path))
    for wrong in ({"motion": appearance}, {"warping": motion}):
        with pytest.raises(DataError):
            build("reenact-liveportrait", **wrong).forge(*pair(), rng())


def constants(path: str) -> dict[str, np.ndarray]:
    import onnx

    return {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}


def embedded(chip: np.ndarray, path: str, mean: list, deviation: list) -> np.ndarray:
    values = (chip / 255 - mean) / deviation
    grid = values.reshape(4, 28, 4, 28, 3).mean((1, 3)).transpose(2, 0, 1).reshape(-1)
    return grid @ constants(path)["matrix"]


@pytest.mark.parametrize(
    ("name", "kind"), [("swap-inswapper", "emap"), ("swap-simswap", "normed"), ("swap-ghost", "raw")]
)
def test_the_middle_of_a_swap_is_what_the_convention_says(name, kind):
    target, source = pair(300)
    files = engine_files(name)
    made = build(name, feather=(0.01, 0.01)).forge(target, source, rng())
    chip, _ = onnx_parts.crop(source.image, source.landmarks, onnx_parts.template(112), 112)
    mean, deviation = (
        ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]) if kind == "normed" else ([0.5] * 3, [0.5] * 3)
    )
    latent = embedded(chip, files["arcface"], mean, deviation)
    weights = constants(files["model"])
    if kind != "raw":
        latent = latent / np.linalg.norm(latent)
    if kind == "emap":
        latent = latent @ weights["emap"]
        latent = latent / np.linalg.norm(latent)
    tint = np.tanh(latent @ weights["colour"]) * 0.2
    x, y = np.rint(five_of(target.landmarks)[2] - (0, 12)).astype(int)
    colour = cv2.GaussianBlur(target.image.astype(np.float32), (0, 0), 3)[y, x] / 255
    wanted = ((colour - 0.5) / 0.5 * 0.5 + tint) * 0.5 + 0.5 if kind == "raw" else colour * 0.5 + tint
    got = cv2.GaussianBlur(made.image.astype(np.float32), (0, 0), 3)[y, x] / 255
    np.testing.assert_allclose(got, np.clip(wanted, 0, 1), atol=0.03)


def test_a_crop_goes_back_to_its_place():
    face = draw_face(220)
    image, matrix = onnx_parts.crop(face.image, face.landmarks, onnx_parts.template(256), 256)
    picture, box = onnx_parts.pasted(image.astype(np.float32), matrix, 220, 220)
    inside = box > 0.9
    assert inside.mean() > 0.1
    assert np.abs(picture - face.image)[inside].mean() < 4
    five = five_of(face.landmarks) - 0.5
    np.testing.assert_allclose(five @ matrix[:, :2].T + matrix[:, 2], onnx_parts.template(256), atol=12)


@pytest.mark.parametrize("size", [112, 128, 224, 256])
def test_template_scales_as_insightface_scales_it(size):
    ratio, shift = (size / 112, 0.0) if size % 112 == 0 else (size / 128, 8.0 * size / 128)
    np.testing.assert_allclose(onnx_parts.template(size), onnx_parts.ARCFACE * ratio + [shift, 0], rtol=1e-5)


def test_angles_of_bins_and_rotations():
    bins = np.full(66, -50.0)
    bins[40] = 50
    assert degrees(bins) == pytest.approx(40 * 3 - 97.5)
    turned = np.array([[0.0, 0, 1]]) @ rotation(np.array([0, 90.0, 0]))
    np.testing.assert_allclose(turned, [[1, 0, 0]], atol=1e-9)
    any_one = rotation(np.array([20.0, -30, 10]))
    np.testing.assert_allclose(any_one @ any_one.T, np.eye(3), atol=1e-9)


def test_live_portrait_without_motion_gives_the_target_back():
    target, driver = pair(256)
    made = build("reenact-liveportrait").forge(target, driver, rng())
    same = build("reenact-liveportrait", strength=(1e-6, 1e-6)).forge(target, driver, rng())
    middle = same.mask > 250
    change = [np.abs(one.image.astype(int) - target.image)[middle].mean() for one in (same, made)]
    assert change[0] < 4
    assert change[1] > change[0] + 4
    assert set(made.record.params["digests"]) == {"appearance", "motion", "warping"}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of scikit-image, inside insightface
def test_inswapper_equals_insightfaces_own_class(tmp_path):
    zoo = pytest.importorskip("insightface.model_zoo.inswapper", exc_type=ImportError)
    target, source = pair(300)
    files = engine_files("swap-inswapper")
    forger = build("swap-inswapper")
    model = zoo.INSwapper(files["model"], onnx_parts.session(files["model"]))

    class Person:
        kps = five_of(target.landmarks) - 0.5
        normed_embedding = None

    chip, _ = onnx_parts.crop(source.image, source.landmarks, onnx_parts.template(112), 112)
    raw = onnx_parts.run(files["arcface"], {"0": onnx_parts.to_blob(chip, (0.5,) * 3, (0.5,) * 3)})[0]
    person = Person()
    person.normed_embedding = raw[0] / np.linalg.norm(raw)
    theirs, their_matrix = model.get(target.image[..., ::-1].copy(), person, person, paste_back=False)
    crop, matrix = onnx_parts.crop(target.image, target.landmarks, onnx_parts.template(128), 128)
    blob = onnx_parts.to_blob(crop, (0,) * 3, (1,) * 3)
    ours = onnx_parts.from_blob(
        onnx_parts.run(files["model"], {"0": blob, "1": forger.identity(raw)})[0], "x"
    )
    np.testing.assert_allclose(matrix, their_matrix, atol=1e-3)
    assert np.abs(ours[..., ::-1] - theirs.astype(np.float32)).max() <= 3


def test_another_embedding_size_is_refused(tmp_path):
    files = engine_files("swap-inswapper")
    other = embedder(tmp_path / "e.onnx")
    assert constants(files["model"])["emap"].shape == (DIM, DIM)
    import onnx

    model = onnx.load(files["model"])
    del model.graph.initializer[-1]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "emap"))
    onnx.save(model, tmp_path / "small.onnx")
    with pytest.raises(DataError, match="emap"):
        build("swap-inswapper", model=str(tmp_path / "small.onnx"), arcface=str(other)).forge(*pair(), rng())


def test_unknown_parameters_are_refused():
    with pytest.raises(UsageError, match="modle"):
        forgeries.get("swap-ghost")({"modle": "x"})
