"""`fairforge generator-metrics` from the command line: figures, counts with reasons, and what it refuses."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attribute_models.detection.boxes import DetectedFace
from generators import load_generator
from generators.sampling import draw_z, map_latents, synthesize
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import encode, resize
from manifests.records import ImageRecord
from manifests.store import table_of, write_manifest
from manifests.taxonomy import Taxonomy, get_taxonomy
from pipeline.__main__ import main
from pipeline.engine import models
from pipeline.faces.feature_spaces import FEATURE_SPACES
from pipeline.faces.features import FaceSetReader, centre_square
from pipeline.faces.sources import CLEAN, Picture, choose, faces_of

COUNT = 100


def drawn_faces(seed: int, stage: str = "test") -> np.ndarray:
    model = load_generator("starter64")
    return synthesize(
        model, map_latents(model, draw_z(seed, [(stage, i) for i in range(COUNT)], model.z_dim))
    )


def put(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        (folder / f"{i:03d}.png").write_bytes(encode(image, "png"))
    return folder


class BrightFaces:
    """A quick stand-in for the face detector: a face is wherever the picture is not black."""

    def detect(self, image: np.ndarray) -> list[DetectedFace]:
        if image.max() < 10:
            return []
        five = (
            np.array([[0.325, 0.315], [0.675, 0.315], [0.5, 0.545], [0.352, 0.69], [0.648, 0.69]])
            * image.shape[0]
        )
        return [DetectedFace(np.zeros(4, np.float32), 0.99, five.astype(np.float32))]


class SmallPictures:
    """A quick stand-in for the identity model: the picture at 8 pixels."""

    dim = 192

    def embed_many(self, images: list[np.ndarray], points: list[np.ndarray]) -> np.ndarray:
        rows = [resize(image, 8).reshape(-1) / 255 for image in images]
        return np.array(rows, np.float32).reshape(-1, self.dim)


class Brightness:
    """A quick stand-in for the attribute model: the darker half is one thing, the lighter half another."""

    def predict_cells(self, images: np.ndarray, taxonomy: Taxonomy) -> tuple[np.ndarray, np.ndarray]:
        light = (images.mean((1, 2, 3)) > 110).astype(int)
        return np.eye(len(taxonomy.races))[light], np.eye(len(taxonomy.genders))[light]


class Template:
    """A quick stand-in for the landmark model."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.zeros((len(images), 148, 2), np.float32)


@pytest.fixture
def quick_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "attribute_model", lambda name, device: Brightness())
    monkeypatch.setattr(models, "landmarker", lambda name, device: Template())
    monkeypatch.setattr(models, "face_detector", lambda name, device: BrightFaces())
    monkeypatch.setattr(models, "identity_model", lambda name, device="cpu": SmallPictures())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of faces: other draws of the generator, the very draws that will be measured, and others
    again.
    """
    root = tmp_path_factory.mktemp("faces")
    return {
        "fresh": put(root / "fresh", drawn_faces(1)),
        "copied": put(root / "copied", drawn_faces(5, "metrics")),
        "held-out": put(root / "held", drawn_faces(2)),
    }


def measure(out: Path, data: Path, *extra: str) -> int:
    return main(
        [
            "generator-metrics",
            "--data",
            str(data),
            "--count",
            str(COUNT),
            "--identities",
            "30",
            "--space",
            "pixels",
            "--seed",
            "5",
            "--out",
            str(out),
            "--quiet",
            *extra,
        ]
    )


def test_a_generator_against_itself_and_against_its_own_pictures(folders, tmp_path, quick_models, capsys):
    fresh, copied = tmp_path / "fresh.json", tmp_path / "copied.json"
    assert measure(fresh, folders["fresh"], "--held-out", str(folders["held-out"]), "--json") == 0
    value = json.loads(fresh.read_text())
    assert json.loads(capsys.readouterr().out) == value
    assert value["sets"]["generated"]["pictures"] == COUNT
    found = value["generated_against_data"]
    assert found["kid"]["subset_size"] == 10
    assert abs(found["kid"]["mean"]) < 4 * found["kid"]["standard_error"], "both are draws of one generator"
    assert found["fid"]["rank_deficient"]
    assert any("singular" in note for note in found["notes"])
    assert value["diversity"]["relative"] == pytest.approx(1, abs=0.1)
    assert value["memorisation"]["low"] < 1 < value["memorisation"]["high"]
    assert value["memorisation"]["reference_size"] == 30
    assert measure(copied, folders["copied"], "--held-out", str(folders["held-out"])) == 0
    text = capsys.readouterr().out
    value = json.loads(copied.read_text())
    assert value["generated_against_data"]["manifold"]["precision"] == 1
    assert value["generated_against_data"]["fid"]["value"] == pytest.approx(0, abs=1e-6)
    assert value["memorisation"]["high"] < 0.95
    assert "memorisation ratio" in text
    assert "generated against data" in text


def test_it_gives_the_same_figures_again(folders, tmp_path, quick_models):
    for name in "ab":
        assert measure(tmp_path / name, folders["fresh"]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes().replace(b'/b"', b'/a"')


def test_unreadable_faceless_and_oddly_sized_pictures_are_counted(folders, tmp_path, quick_models):
    mixed = put(tmp_path / "mixed", drawn_faces(3))
    (mixed / "broken.png").write_bytes(b"no image")
    (mixed / "black.png").write_bytes(encode(np.zeros((64, 64, 3), np.uint8), "png"))
    (mixed / "wide.png").write_bytes(encode(np.full((40, 90, 3), 99, np.uint8), "png"))
    assert measure(tmp_path / "whole.json", mixed) == 0
    found = json.loads((tmp_path / "whole.json").read_text())["sets"]["data"]
    assert found["skipped"] == {"unreadable": 1}
    assert found["examples"][0].startswith("broken.png: unreadable: ")
    assert (found["pictures"], found["used"], found["with_face"]) == (COUNT + 2, COUNT + 2, COUNT + 1)
    assert found["sizes"] == {"64x64": COUNT + 1, "90x40": 1}
    assert measure(tmp_path / "detect.json", mixed, "--crop", "detect") == 0
    value = json.loads((tmp_path / "detect.json").read_text())
    assert value["sets"]["data"]["skipped"] == {"no_face": 1, "unreadable": 1}
    assert value["sets"]["data"]["used"] == COUNT + 1
    assert value["settings"]["resolution"] == 128


def test_all_sets_are_brought_to_one_side(quick_models, monkeypatch):
    shapes = []
    space = FEATURE_SPACES.create("pixels")
    monkeypatch.setattr(
        space, "features", lambda images, points: shapes.append(images.shape) or np.zeros((len(images), 3072))
    )
    reader = FaceSetReader(space, 48, "whole", "cpu")
    rng = np.random.default_rng(0)
    for side in (32, 64, 200):
        items = [Picture(str(i), rng.integers(0, 256, (side, side + 9, 3), dtype=np.uint8)) for i in range(2)]
        assert reader.read("any", items, 0).embeddings.shape == (0, 192)
    assert shapes == [(2, 48, 48, 3)] * 3


def test_centre_square_is_the_middle():
    image = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    assert (centre_square(image) == image[:, 1:6]).all()
    assert (centre_square(image.transpose(1, 0, 2)) == image.transpose(1, 0, 2)[1:6]).all()


def test_cells_are_measured_and_must_fit_the_generator(folders, tmp_path, quick_models, capsys):
    from generators.cells import CellParams, fit_cells
    from manifests.taxonomy import get_taxonomy

    taxonomy = get_taxonomy("fairface4")
    rng = np.random.default_rng(0)
    w = rng.normal(size=(400, load_generator("starter64").w_dim)).astype(np.float32)
    race = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 400)] * 0.9 + 0.025
    gender = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 400)] * 0.9 + 0.05
    for digest, code in (("", 0), ("f" * 64, 2)):
        fitted = fit_cells(w, (race, gender), taxonomy, CellParams(min_latents=10), generator_sha256=digest)
        fitted.save(tmp_path / "cells.safetensors")
        out = tmp_path / f"{code}.json"
        assert (
            measure(
                out, folders["fresh"], "--cells", str(tmp_path / "cells.safetensors"), "--cell-draws", "8"
            )
            == code
        )
    assert "another generator" in capsys.readouterr().err
    named = ["--cells", str(tmp_path / "cells.safetensors"), "--cell-draws", "8", "--strategy"]
    for strategy, code in (("rejection", 2), ("screenin", 2)):
        assert measure(tmp_path / "none.json", folders["fresh"], *named, strategy) == code
    said = capsys.readouterr().err
    assert "draws no cell that is asked for" in said
    assert "did you mean screening" in said
    cells = json.loads((tmp_path / "0.json").read_text())["cells"]
    assert set(cells) == set(taxonomy.cells)
    assert all(cell["draws"] == 8 for cell in cells.values())
    light, dark = (f"{taxonomy.races[i]}/{taxonomy.genders[i]}" for i in (1, 0))
    assert {cell for cell, found in cells.items() if found["hit_rate"]} <= {light, dark}
    assert cells[light]["hit_rate"] + cells[dark]["hit_rate"] > 0.25


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--count", "99"], 2, "--count 99"),
        (["--resolution", "8"], 2, "--resolution 8"),
        (["--psi", "0"], 2, "--psi 0"),
        (["--space", "pixel"], 2, "did you mean pixels"),
        (["--space", "inception"], 3, "torch_fidelity"),
        (["--space-set", "side=3"], 2, "side"),
        (["--generator", "starter65"], 3, "did you mean starter64"),
        (["--filter", "min_sharpness=3"], 2, "parquet files of aligned faces alone"),
        (["--held-out", "nowhere"], 3, "is not there"),
    ],
)
def test_what_is_refused(arguments, code, said, folders, tmp_path, quick_models, capsys):
    assert measure(tmp_path / "none.json", folders["fresh"], *arguments) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()


def test_data_that_is_not_enough(tmp_path, quick_models, capsys):
    few = put(tmp_path / "few", drawn_faces(4)[:20])
    (few / "broken.jpg").write_bytes(b"")
    assert measure(tmp_path / "none.json", few) == 2
    text = capsys.readouterr().err
    assert "20 of 21 can be used (unreadable 1)" in text
    assert "at least 100" in text
    (tmp_path / "empty").mkdir()
    assert measure(tmp_path / "none.json", tmp_path / "empty") == 3
    (tmp_path / "faces.txt").write_text("x")
    assert measure(tmp_path / "none.json", tmp_path / "faces.txt") == 3


def test_the_same_faces_are_not_held_out(folders, tmp_path, quick_models, capsys):
    assert measure(tmp_path / "none.json", folders["fresh"], "--held-out", str(folders["fresh"])) == 2
    assert "shares" in capsys.readouterr().err


def faces_parquet(path: Path, n: int = 12) -> Path:
    image = encode(np.full((8, 8, 3), 90, np.uint8), "png")
    rows = [
        {
            "file": f"{i}.png",
            "race": "White",
            "gender": "Male",
            "age": "20-29" if i % 3 else "3-9",
            "image": image,
            "template_residual": 0.01 * i,
            "sharpness": 100.0,
        }
        for i in range(n)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_parquet_files_are_filtered(tmp_path):
    path = faces_parquet(tmp_path / "faces.parquet")
    assert len(list(faces_of(path))) == 12
    assert [item.key for item in faces_of(path, CLEAN)] == ["1.png", "2.png"], "residual up to .035, no child"
    with pytest.raises(UsageError, match="max_residuals"):
        list(faces_of(path, {"max_residuals": 1}))
    with pytest.raises(DataError, match="no real faces"):
        choose(path, {"min_sharpness": 101}, 0, None)


def test_manifests_give_their_real_faces(tmp_path):
    rows = [
        ImageRecord(
            image_id=f"{i}",
            path=f"{i}.png",
            sha256="0" * 64,
            width=8,
            height=8,
            label=i % 2,
            method="swap-x" if i % 2 else "none",
            family="swap" if i % 2 else "none",
        )
        for i in range(6)
    ]
    write_manifest(table_of(rows, taxonomy="fairface4"), tmp_path / "manifest.parquet")
    for path in (tmp_path, tmp_path / "manifest.parquet"):
        assert [item.key for item in faces_of(path)] == ["0", "2", "4"]
        assert next(iter(faces_of(path))).path == tmp_path / "0.png"


def test_a_larger_choice_keeps_the_smaller_one(tmp_path):
    path = faces_parquet(tmp_path / "faces.parquet", 40)
    small, large, whole = (tuple(item.key for item in choose(path, None, 3, most)) for most in (7, 20, None))
    assert whole[:20] == large
    assert large[:7] == small
    assert small != tuple(item.key for item in choose(path, None, 4, 7))


def test_a_balanced_choice_has_every_cell_equally_often(tmp_path):
    image = encode(np.full((8, 8, 3), 90, np.uint8), "png")
    counts = {"White": 9, "Latino_Hispanic": 4, "Black": 3, "East Asian": 5, "Indian": 4}
    rows = [
        {"file": f"{race}-{gender}-{i}", "race": race, "gender": gender, "age": "20-29", "image": image}
        for race, n in counts.items()
        for gender in ("Male", "Female")
        for i in range(n)
    ]
    path = tmp_path / "faces.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    found = [item.cell for item in choose(path, None, 3, None, "fairface4")]
    assert Counter(found) == dict.fromkeys(get_taxonomy("fairface4").cells, 3)
    fewer = {item.key for item in choose(path, None, 3, 16, "fairface4")}
    assert len(fewer) == 16
    assert fewer < {item.key for item in choose(path, None, 3, None, "fairface4")}
    pq.write_table(pa.Table.from_pylist([row for row in rows if row["race"] != "Black"]), path)
    with pytest.raises(DataError, match="no face of Black/Male, Black/Female"):
        choose(path, None, 3, None, "fairface4")
    with pytest.raises(UsageError, match="race and gender"):
        choose(tmp_path, None, 3, None, "fairface4")


def test_inception_is_never_fetched(monkeypatch, tmp_path):
    import importlib.machinery
    import importlib.util

    found = importlib.util.find_spec
    there = importlib.machinery.ModuleSpec("torch_fidelity", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: there if name == "torch_fidelity" else found(name)
    )
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingError) as caught:
        FEATURE_SPACES.create("inception")
    assert "not fetched for you" in caught.value.why
    assert "github.com/toshas/torch-fidelity" in caught.value.fix


@pytest.mark.parametrize("name", ["attributes", "identity", "pixels"])
def test_a_space_gives_each_picture_its_own_row(name):
    images = drawn_faces(6)[:5]
    points = models.landmarker("fairforge-mesh148", "cpu").predict(images)
    space = FEATURE_SPACES.create(name)
    rows = space.features(images, points)
    assert rows.shape == (5, space.dim)
    assert rows.dtype == np.float32
    assert (space.features(images[3:4], points[3:4]) == rows[3:4]).all()
    assert len(np.unique(rows, axis=0)) == 5
    assert space.features(images[:0], points[:0]).shape == (0, space.dim)


def test_real_detection_finds_generated_faces():
    reader = FaceSetReader(FEATURE_SPACES.create("pixels"), 64, "whole", "cpu")
    items = [Picture(str(i), image) for i, image in enumerate(drawn_faces(7)[:6])]
    black = Picture("black", np.zeros((64, 64, 3), np.uint8))
    found = reader.read("some", [*items, black, Picture("lost", None, "gone")], None)
    assert 4 <= found.found <= 6
    assert found.embeddings.shape == (found.found, 128)
    assert "black" not in found.embedded
    assert found.skipped == [("lost", "unreadable: gone")]
    assert found.summary()["face_rate"] == pytest.approx(found.found / 7, abs=1e-4)
    assert found.found <= found.detected <= 6
    assert found.summary()["detection_rate"] == pytest.approx(found.detected / 7, abs=1e-4)
    assert sum(found.race.values()) == sum(found.gender.values()) == found.found
    assert reader.reader.min_score == 0.9
