"""What a killed piece of work goes on from is of the same inputs: each input of each resumable thing changes
its key.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from attribute_models.training.face_data import FaceData
from attribute_models.training.fitting import Fit, FitSettings
from detector.inference.checkpoints import find_detector
from detector.training.files import run_keys
from detector.training.settings import TrainSettings
from generators.training import TrainSettings as GeneratorSettings
from generators.training.loop import TrainingRun
from manifests.adapters import import_images, import_parts
from manifests.atomic import digest_arrays, digest_file, digest_listing
from manifests.images import encode
from manifests.store import read_manifest, write_manifest
from nn.processes import World
from pipeline.commands.generators.training import _fingerprint
from pipeline.engine.shards import Task, content_of, do_shard
from tests.manifests.manifest_rows import drawn_set


def grey(value: int) -> bytes:
    return encode(np.full((8, 8, 3), value, np.uint8), "png")


def changed_at(array: np.ndarray, value: int) -> np.ndarray:
    """The array with its last number another: count and, for labels swapped in pairs, sums may stay."""
    out = array.copy()
    out.reshape(-1)[-1] = value
    return out


def test_a_face_training_knows_its_faces_labels_network_and_jitter(tmp_path: Path):
    labels = np.array([0, 1, 2, 1])
    data = FaceData(
        np.zeros((4, 6, 6, 3), np.uint8), labels, labels % 2, labels, np.zeros((4, 148, 2), np.float32), {}
    )
    settings = FitSettings(batch=2)

    def key(data: FaceData = data, settings: FitSettings = settings, seed: int = 0, **more: object) -> str:
        torch.manual_seed(seed)
        return Fit(nn.Linear(2, 2), lambda *_: torch.zeros(()), data, settings, tmp_path, **more).key

    others = {
        "images": key(replace(data, images=changed_at(data.images, 1))),
        "race": key(replace(data, race=labels[::-1].copy())),
        "gender": key(replace(data, gender=1 - data.gender)),
        "age": key(replace(data, age=changed_at(labels, 0))),
        "mesh": key(replace(data, mesh=changed_at(data.mesh, 1))),
        "no mesh": key(replace(data, mesh=None)),
        "settings": key(settings=FitSettings(batch=2, lr=1e-3)),
        "network": key(seed=1),
        "jitter": key(jitter={"rotate": 3.0}),
    }
    assert key() == key()
    assert len({key(), *others.values()}) == 1 + len(others)


def test_a_generator_training_knows_the_discriminator_it_starts_from(tmp_path: Path):
    settings = GeneratorSettings.model_validate({"phases": [{"resolution": 16, "kimg": 1}]})
    world = World(0, 1, torch.device("cpu"))

    def key(known: dict[str, torch.Tensor] | None, **data: object) -> str:
        return TrainingRun(
            settings, {"sha256": "a", "labels": None, **data}, tmp_path, world, known=known
        ).key

    keys = {
        key(None),
        key({"w": torch.zeros(3)}),
        key({"w": torch.ones(3)}),
        key({"v": torch.ones(3)}),
        key(None, sha256="b"),
    }
    assert len(keys) == 5


def test_training_images_are_told_apart_by_content_whatever_their_number(tmp_path: Path):
    for k in range(120):
        place = tmp_path / str(k % 2) / f"{k // 2}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(grey(k))
    before = _fingerprint(tmp_path, [], None, None, [])
    assert len(before["files"]) == 120  # two folders with the same names
    data = (tmp_path / "0" / "7.png").read_bytes()
    (tmp_path / "0" / "7.png").write_bytes(data[:-1] + b"!")  # of the same size
    assert _fingerprint(tmp_path, [], None, None, []) != before


def test_a_detector_training_knows_its_masks_where_it_reads_them(tmp_path: Path):
    drawn_set(tmp_path, per_cell=1, size=8, methods={"none": "none", "blend-self": "blend"})
    table = read_manifest(tmp_path)
    names = [f"masks/{k}.png" if label else None for k, label in enumerate(table["label"].to_pylist())]
    for column, values in {"mask_path": names, "split": ["train"] * table.num_rows}.items():
        at = table.schema.get_field_index(column)
        table = table.set_column(at, table.schema.field(column), pa.array(values, pa.string()))
    write_manifest(table, tmp_path / "manifest.parquet")
    (tmp_path / "masks").mkdir(exist_ok=True)
    used = [name for name in names if name]
    for name in used:
        (tmp_path / name).write_bytes(grey(1))
    plain, masked = TrainSettings(), TrainSettings(mask_decoder=True)
    before = run_keys(plain, tmp_path), run_keys(masked, tmp_path)
    (tmp_path / used[0]).write_bytes(grey(2))
    after = run_keys(plain, tmp_path), run_keys(masked, tmp_path)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_scores_are_kept_under_the_digest_of_a_catalogued_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path))
    found = []
    for content in (b"one", b"two two"):
        (tmp_path / "mine.safetensors").write_bytes(content)
        sha = digest_file(tmp_path / "mine.safetensors")
        (tmp_path / "weights.toml").write_text(
            f'[mine]\nfile = "mine.safetensors"\nsha256 = "{sha}"\nkind = "detector"\n'
        )
        assert find_detector("mine").sha256 == sha
        found.append(sha)
    assert len(set(found)) == 2


class Killed:
    """A crop that stops an import at its `at`-th picture."""

    key = "whole"

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, image: np.ndarray, item: object) -> np.ndarray:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return image


@pytest.mark.parametrize("change", ["same size", "came", "went"])
def test_an_import_whose_source_changed_meanwhile_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
):
    monkeypatch.setattr(import_parts, "ROWS", 2)
    source = tmp_path / "source"
    for k in range(8):
        (source / ("real", "fake")[k % 2]).mkdir(parents=True, exist_ok=True)
        (source / ("real", "fake")[k % 2] / f"{k}.png").write_bytes(grey(k + 1))
    with pytest.raises(KeyboardInterrupt):
        import_images("folder", source, tmp_path / "a", crop=Killed(6))
    assert list((tmp_path / "a" / "parts").glob("*.parquet"))
    if change == "same size":
        (source / "fake" / "1.png").write_bytes(grey(99))
    elif change == "came":
        (source / "fake" / "0.png").write_bytes(grey(99))
    else:
        (source / "fake" / "1.png").unlink()
    results = [import_images("folder", source, tmp_path / name, crop=Killed(-1)) for name in ("a", "b")]
    assert len({digest_file(result.manifest) for result in results}) == 1


def test_an_import_into_its_own_source_goes_on(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(grey(1))
    before = digest_listing(tmp_path, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").write_bytes(grey(1))
    assert digest_listing(tmp_path, tmp_path / "out") == before != digest_listing(tmp_path)


def masked_shard(task: Task) -> pa.Table:
    """A shard of one image and one mask, of what the payload says."""
    for name in ("image", "mask"):
        (task.folder / f"{task.index}-{name}.png").write_bytes(grey(task.payload[name]))
    return pa.table({"path": [f"{task.index}-image.png"], "mask_path": [f"{task.index}-mask.png"]})


def test_a_stage_s_digest_has_its_images_and_masks_however_they_are_cut(tmp_path: Path):
    def content(name: str, *numbers: tuple[int, int], order: int = 1) -> str:
        (tmp_path / name).mkdir()
        for index, (image, mask) in list(enumerate(numbers))[::order]:
            do_shard(Task("s", index, tmp_path / name, "k", masked_shard, {"image": image, "mask": mask}))
        return content_of(tmp_path / name)

    before = content("a", (1, 2), (3, 4))
    assert content("b", (1, 2), (3, 4), order=-1) == before
    assert (
        len({before, content("c", (1, 2), (3, 5)), content("d", (1, 2), (9, 4)), content("e", (1, 2))}) == 4
    )
    assert content_of(tmp_path / "nothing") == ""


def test_arrays_differ_by_name_type_shape_and_every_number():
    a = np.arange(6, dtype=np.float32)
    found = {
        digest_arrays(arrays)
        for arrays in (
            {"a": a},
            {"b": a},
            {"a": a.astype(np.float64)},
            {"a": a.reshape(2, 3)},
            {"a": a[::-1]},
            {"a": a, "b": a},
            {},
            {"a": np.float32(1)},
            {"a": np.zeros((0, 3), np.float32)},
        )
    }
    assert len(found) == 9
    assert digest_arrays({"a": a, "b": a[:2]}) == digest_arrays({"b": a[:2], "a": a})
