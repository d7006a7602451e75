"""Files of features: published ones as they are, our own, and what is none."""

import io
import zipfile

import numpy as np
import pytest
import torch

from detector.audio_visual.encoder import Encoder
from detector.audio_visual.feature_files import OWN, PUBLISHED, read_features, unit_features, write_features
from detector.audio_visual.model import AudioVisualModel, load_model, save_model
from manifests.errors import DataError, MissingError


def published(length=30, dim=1024, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal((length, dim)).astype(np.float32)
        for name in ("visual", "audio", "multimodal")
    }


def own(length=30, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "mouths": rng.integers(0, 256, (length, 32, 32), np.uint8),
        "banks": rng.standard_normal((length, 104)).astype(np.float32),
        "lips": rng.standard_normal((length, 40, 2)).astype(np.float32),
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_published_features_are_read_as_numpy_wrote_them(tmp_path, save):
    arrays = published()
    save(tmp_path / "a.npz", **arrays)
    kind, found = read_features(tmp_path / "a.npz")
    assert kind == PUBLISHED
    assert all(np.array_equal(found[name], arrays[name]) for name in ("visual", "audio"))
    picture, sound = unit_features(kind, found, None)
    assert picture.norm(dim=1).tolist() == pytest.approx([1] * 30, abs=1e-5)
    assert torch.allclose(
        sound * torch.from_numpy(np.linalg.norm(arrays["audio"], axis=1, keepdims=True)),
        torch.from_numpy(arrays["audio"]),
        atol=1e-4,
    )


def test_arrays_in_the_other_order_are_the_same(tmp_path):
    arrays = {name: np.asfortranarray(value) for name, value in published(7, 12).items()}
    np.savez(tmp_path / "a.npz", **arrays)
    assert np.array_equal(read_features(tmp_path / "a.npz")[1]["visual"], arrays["visual"])


def test_our_own_files_have_the_same_bytes_and_come_back(tmp_path):
    write_features(tmp_path / "a.npz", own())
    write_features(tmp_path / "b.npz", dict(reversed(own().items())))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    kind, found = read_features(tmp_path / "a.npz")
    assert kind == OWN
    assert all(np.array_equal(found[name], value) for name, value in own().items())
    with np.load(tmp_path / "a.npz") as archive:
        assert np.array_equal(archive["lips"], own()["lips"])


def objects(path):
    np.savez(path, visual=np.array([{"a": 1}, None], object), audio=np.zeros((2, 4), np.float32))


def lying(path):
    """A header that declares 40 TB."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.zeros((2, 4), np.float32))
    data = buffer.getvalue().replace(b"(2, 4), }" + b" " * 13, b"(10000000000, 1000), }"[:22])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("visual.npy", data)
        archive.writestr("audio.npy", buffer.getvalue())


def plain(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def arrays_of(**changes):
    return lambda path: np.savez(
        path, **{**{k: v for k, v in published(8, 4).items() if k != "multimodal"}, **changes}
    )


BAD = {
    "Python objects": (objects, "could execute anything"),
    "a lie": (lying, "another size"),
    "doubles": (arrays_of(audio=np.zeros((8, 4))), "not float32"),
    "one dimension": (arrays_of(visual=np.zeros(8, np.float32)), "not float32"),
    "lengths": (arrays_of(audio=np.zeros((5, 4), np.float32)), "8 and 5 frames"),
    "not finite": (arrays_of(audio=np.full((8, 4), np.nan, np.float32)), "not finite"),
    "no frame": (
        arrays_of(visual=np.zeros((0, 4), np.float32), audio=np.zeros((0, 4), np.float32)),
        "not float32",
    ),
    "other names": (lambda path: np.savez(path, x=np.zeros(3)), "has the arrays x"),
    "text": (lambda path: path.write_text("words"), "not a readable .npz"),
    "a plain array": (plain, "not a readable .npz"),
    "our shape": (
        lambda path: write_features(path, {**own(4), "lips": np.zeros((4, 39, 2), np.float32)}),
        "not float32 [T, 40, 2]",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_file_of_features_is_refused_with_words(tmp_path, kind):
    make, words = BAD[kind]
    make(tmp_path / "a.npz")
    with pytest.raises(DataError) as caught:
        read_features(tmp_path / "a.npz")
    assert words in caught.value.why
    assert "a.npz" in caught.value.what


def test_objects_are_refused_with_the_way_to_convert_them(tmp_path):
    objects(tmp_path / "a.npz")
    with pytest.raises(DataError) as caught:
        read_features(tmp_path / "a.npz")
    assert "numpy.savez" in caught.value.fix
    with pytest.raises(MissingError):
        read_features(tmp_path / "b.npz")


def test_frames_at_the_start_are_left_out():
    arrays = {k: v for k, v in published(9, 4).items() if k != "multimodal"}
    picture, _ = unit_features(PUBLISHED, arrays, None, 2)
    assert torch.allclose(picture, unit_features(PUBLISHED, arrays, None)[0][2:])
    with pytest.raises(DataError, match="no frame after"):
        unit_features(PUBLISHED, arrays, None, 9)
    with pytest.raises(DataError, match="our own encoder"):
        unit_features(OWN, own(4), None)


# --- models ---


def test_a_model_comes_back_and_gives_the_same_scores(tmp_path):
    from detector.audio_visual.alignment import Alignment

    torch.manual_seed(0)
    model = AudioVisualModel(Alignment(128, 128, 16).eval(), Encoder().eval(), {"thresholds": {"avh": 1.5}})
    save_model(tmp_path / "model.safetensors", model)
    first = (tmp_path / "model.safetensors").read_bytes()
    save_model(tmp_path / "model.safetensors", model)
    assert (tmp_path / "model.safetensors").read_bytes() == first
    back = load_model(tmp_path)
    assert back.thresholds() == {"avh": 1.5, "chance": 0.05}
    arrays = own(20)
    one, other = model.score(OWN, arrays), back.score(OWN, arrays)
    assert one.clip == other.clip
    assert set(one.clip) == {"avh", "avh-mean", "sync", "chance"}
    assert one.frames.shape == (20,)
    with pytest.raises(DataError, match="numbers a frame"):
        back.score(PUBLISHED, {k: v for k, v in published(5, 7).items() if k != "multimodal"})


@pytest.mark.parametrize("data", [b"", b"words", b"\x08\0\0\0\0\0\0\0{}      "])
def test_files_that_are_no_model_are_refused(tmp_path, data):
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(DataError):
        load_model(tmp_path)
    with pytest.raises(MissingError, match="is not there"):
        load_model(tmp_path / "none")
