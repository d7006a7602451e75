"""Planted shortcuts are found and named by the audits; a clean set passes all of them."""

import numpy as np
import pytest
from PIL import Image as PilImage
from sklearn.metrics import balanced_accuracy_score

from manifests.audit import AUDITS
from manifests.audit.cell_shortcut import balanced_accuracy, most_telling
from manifests.images import encode
from manifests.store import read_manifest, write_manifest
from tests.manifests.manifest_rows import CELLS, drawn_set

FAST = {"folds": 2, "replicates": 20, "min_images": 16}


def look(name, folder, **params):
    return AUDITS.create(name, {**FAST, **params}).run(read_manifest(folder), folder, 7)


def without_cells(folder):
    found = read_manifest(folder)
    write_manifest(
        found.set_column(found.column_names.index("cell"), "cell", [[None] * found.num_rows]).cast(
            found.schema
        ),
        folder / "manifest.parquet",
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    drawn_set(folder, per_cell=6)
    return folder


def bordered(image):
    out = image[:, ::-1].copy()
    out[[0, -1]] = 0
    out[:, [0, -1]] = 0
    return out


def noisy(image):
    noise = np.random.default_rng(int(image.sum()) % 2**32).normal(0, 12, image.shape)
    return (image[:, ::-1] + noise).clip(0, 255).astype(np.uint8)


def redder(image):
    return (image[:, ::-1].astype(int) + np.array([50, 0, 0])).clip(0, 255).astype(np.uint8)


def larger(image):
    return np.asarray(PilImage.fromarray(image[:, ::-1]).resize((40, 40)))


PLANTED = {
    "codec": (lambda image: (image[:, ::-1], "webp", 90), "file", {"bytes", "is_jpeg", "is_webp"}),
    "size": (lambda image: (larger(image), "jpeg", 90), "file", {"width", "height", "bytes"}),
    "border": (
        lambda image: (bordered(image), "jpeg", 90),
        "pixel",
        {"border", "border_gradient", "contrast"},
    ),
    "noise": (lambda image: (noisy(image), "jpeg", 90), "pixel", {"noise", "sharpness", "spectrum_slope"}),
    "colour": (lambda image: (redder(image), "jpeg", 90), "pixel", {"red"}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_shortcut_is_found_and_named(tmp_path, name):
    plant, kind, telling = PLANTED[name]
    drawn_set(tmp_path, per_cell=2, fake=lambda image, *_: plant(image))
    without_cells(tmp_path)
    result = look("shortcut", tmp_path, strict=True)
    figure = result.figures["questions"][f"real or fake ({kind})"]
    assert not result.passed
    assert figure["auc"] > 0.9
    assert figure["feature"] in telling
    assert any(
        text.startswith(f"real or fake, {kind} features") and figure["feature"] in text
        for text in result.findings
    )


def test_a_shortcut_in_one_cell_alone_fails_and_names_the_cell(tmp_path):
    made = {"White/Male": 0}
    turn = iter([cell for _ in range(3) for cell in CELLS for _ in range(8)])

    def fake(image, *_):
        cell = next(turn)
        made[cell] = made.get(cell, 0) + 1
        return image[:, ::-1], "jpeg", 60 if cell == "Black/Male" else 90

    drawn_set(tmp_path, per_cell=8, fake=fake)
    assert made == dict.fromkeys(CELLS, 24)
    result = look("shortcut", tmp_path)
    told = [
        text.split(",")[0]
        for text in result.findings
        if "file features" in text and text.startswith("real or fake in")
    ]
    assert told == ["real or fake in Black/Male"]
    assert not result.passed


def test_a_clean_set_passes_all(clean):
    for name in ("shortcut", "cells", "sources"):
        result = look(name, clean, **({} if name == "sources" else {"strict": True, "pixel_limit": 0.7}))
        assert result.passed, (name, result.findings)
    assert look("cells", clean).findings == ()
    assert look("sources", clean).findings == ()


def test_the_cell_is_predicted_from_files_among_fakes_alone(tmp_path):
    turn = iter([cell for _ in range(3) for cell in CELLS for _ in range(6)])
    drawn_set(
        tmp_path,
        per_cell=6,
        fake=lambda image, *_: (image[:, ::-1], "jpeg", 60 if next(turn) == "Black/Female" else 90),
    )
    result = look("cells", tmp_path)
    assert len(result.findings) == 1
    assert result.findings[0].startswith("the cell of fake images, file features")
    fake, real = (result.figures["which"][f"{word} (file)"] for word in ("fake", "real"))
    assert fake["chance"] == 0.25
    assert fake["accuracy"] > 0.45
    assert fake["low"] > fake["chance"]
    assert fake["feature"] in ("jpeg_luma_table", "jpeg_chroma_table", "bytes")
    assert not real["above_limit"]
    assert real["accuracy"] < 0.45
    assert result.passed
    assert not look("cells", tmp_path, strict=True).passed


def test_balanced_accuracy_and_the_telling_feature_are_those_of_others():
    rng = np.random.default_rng(0)
    y, guess = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    once = np.ones((1, 90))
    assert balanced_accuracy(y, guess, once)[0] == pytest.approx(balanced_accuracy_score(y, guess))
    weight = rng.integers(0, 3, (1, 90)).astype(float)
    again = np.repeat(np.arange(90), weight[0].astype(int))
    assert balanced_accuracy(y, guess, weight)[0] == pytest.approx(
        balanced_accuracy_score(y[again], guess[again])
    )
    x = np.stack([rng.normal(size=90), np.exp(y * 3.0), np.full(90, 2.0)], 1)
    name, share = most_telling(x, y, ("noise", "class", "constant"))
    assert (name, share) == ("class", pytest.approx(1.0))


@pytest.mark.parametrize("confounded", [False, True])
def test_two_sources_are_told_apart_and_fail_only_where_fakes_are_uneven(tmp_path, confounded):
    drawn_set(tmp_path, per_cell=6)
    rows = read_manifest(tmp_path).to_pylist()
    table = read_manifest(tmp_path)
    for row in rows:
        row["dataset"] = "a" if int(row["pair_id"][-1]) % 2 else "b"
        if row["dataset"] == "a":
            with PilImage.open(tmp_path / row["path"]) as image:
                data = encode(np.asarray(image), "jpeg", 60)
            (tmp_path / row["path"]).write_bytes(data)
    keep = [
        k for k, row in enumerate(rows) if not (confounded and row["dataset"] == "b" and row["label"] == 1)
    ]
    place = table.column_names.index("dataset")
    changed = table.set_column(place, table.schema.field(place), [[row["dataset"] for row in rows]]).take(
        keep
    )
    write_manifest(changed, tmp_path / "manifest.parquet")
    result = look("sources", tmp_path)
    assert result.passed is not confounded
    assert any(
        text.startswith("real images of dataset a or of another, file features: AUC 1.000")
        for text in result.findings
    )
    figure = result.figures["sources"]["dataset b or another (file)"]
    assert figure["share_of_fakes"] == (0 if confounded else 0.5)
    floor = result.figures["at_random"]["file"]
    assert len(floor["aucs"]) == 4
    assert floor["mean"] < 0.65, "halves at random are not told apart"
