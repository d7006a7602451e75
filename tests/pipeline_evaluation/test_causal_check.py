"""The causal check names the feature that a detector was made to use, and none for one that reads nothing
trivial.
"""

import re

import numpy as np
import pytest

from manifests.atomic import digest_bytes
from manifests.errors import UsageError
from manifests.images import encode
from manifests.records import ImageRecord
from manifests.store import read_images, table_of, write_manifest
from pipeline.commands.evaluate.causal_check import INTERVENTIONS, as_text, moves, scores_under, suspects

SIZE = 32


class Rule:
    """A detector made by hand: `score(image)` for uint8 [H, W, 3]."""

    input_size = SIZE

    def __init__(self, score):
        self.score = score

    def predict(self, images):
        return np.array([self.score(image.astype(np.float64)) for image in images], np.float32)


RULES = {
    "border": Rule(lambda image: float(image[0].mean() < 60)),
    "noise": Rule(lambda image: float(np.abs(np.diff(image[8:24, 8:24], axis=1)).mean() > 2)),
    "colour": Rule(lambda image: float(image[8:24, 8:24, 0].mean() - image[8:24, 8:24, 2].mean() > 20)),
    "brightness": Rule(lambda image: float(image[8:24, 8:24, 1].mean() > 130)),
}
CENTRE = Rule(lambda image: 1 / (1 + np.exp(-(image[14:18, 14:18].mean() - image[8:24, 8:24].mean()) / 40)))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Smooth pictures of one grey, with a spot in the middle of the fakes."""
    folder, rng, records = tmp_path_factory.mktemp("causal"), np.random.default_rng(0), []
    (folder / "images").mkdir()
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    for k in range(24):
        for label in (0, 1):
            image = np.repeat((115 + 10 * np.sin(2 * np.pi * (x + rng.random())) * y)[..., None], 3, 2)
            image[14:18, 14:18] += 40 * label
            name = f"{k:02d}-{label}"
            data = encode(image.round().astype(np.uint8), "png", None)
            (folder / "images" / f"{name}.png").write_bytes(data)
            records.append(
                ImageRecord(
                    image_id=name,
                    path=f"images/{name}.png",
                    sha256=digest_bytes(data),
                    label=label,
                    method="swap" if label else "none",
                    family="swap" if label else "none",
                    pair_id=f"{k:02d}",
                    split="test",
                    width=SIZE,
                    height=SIZE,
                )
            )
    write_manifest(table_of(records, taxonomy=""), folder / "manifest.parquet")
    return folder / "manifest.parquet"


def checked(model, manifest, names=tuple(INTERVENTIONS), limit=0.1):
    rows = read_images(manifest).to_pylist()
    kept, scores, left = scores_under(model, manifest, rows, list(names))
    assert left == []
    label = np.array([row["label"] for row in kept])
    return scores, moves(label, [row["pair_id"] for row in kept], scores, 0.5, limit, 100, 1)


@pytest.mark.parametrize("name", RULES)
def test_the_feature_that_a_detector_uses_is_named(manifest, name):
    _, found = checked(RULES[name], manifest)
    assert found[name]["moves"]
    assert abs(found[name]["real"]["mean"]) > 0.5
    assert found[name]["real"]["flips"] > 0.5
    text = as_text({"interventions": found, "warnings": [], "limit": 0.1})
    assert re.search(rf"^\| {name} .* yes \|$", text, re.MULTILINE)


def test_a_detector_that_reads_the_picture_does_not_move(manifest):
    scores, found = checked(CENTRE, manifest, ("codec", "border", "noise", "brightness", "colour"))
    assert np.mean((scores[""] >= 0.6) == np.tile([0, 1], 24)) > 0.9, "it does tell them"
    assert {name: one["moves"] for name, one in found.items()} == dict.fromkeys(found, False)


def test_the_moves_are_differences_of_the_scores(manifest):
    scores, found = checked(RULES["border"], manifest, ("border",))
    label = np.tile([0, 1], 24)
    for word, one in (("real", 0), ("fake", 1)):
        expected = (scores["border"] - scores[""])[label == one].mean()
        assert found["border"][word]["mean"] == pytest.approx(expected, abs=1e-4)
        assert found["border"][word]["low"] <= expected <= found["border"][word]["high"]
    assert not checked(RULES["border"], manifest, ("border",), limit=1.0)[1]["border"]["moves"], (
        "the limit is the limit"
    )


def test_only_what_is_suspected_is_changed():
    assert suspects(["red"]) == ["colour"]
    assert suspects(["border", "jpeg_luma_table"]) == ["codec", "border"]
    assert suspects([]) == list(INTERVENTIONS)
    with pytest.raises(UsageError, match="exif_tags: is nothing that can be changed"):
        suspects(["exif_tags"])


def test_one_label_alone_has_no_figure_of_the_other(manifest):
    rows = [row for row in read_images(manifest).to_pylist() if row["label"] == 0]
    kept, scores, _ = scores_under(CENTRE, manifest, rows, ["noise"])
    found = moves(np.zeros(len(kept), int), [row["pair_id"] for row in kept], scores, 0.5, 0.1, 20, 0)
    assert found["noise"]["fake"] is None
    assert "n/a" in as_text({"interventions": found, "warnings": [], "limit": 0.1})
