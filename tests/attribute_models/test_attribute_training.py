from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from sklearn.metrics import balanced_accuracy_score

from attribute_models import load_attribute_model
from attribute_models.training.attributes import (
    HEADS,
    balanced_accuracy,
    calibration_error,
    cell_weights,
    cross_fitted,
    fit_temperature,
    loss_of,
    measure,
    train_attributes,
)
from attribute_models.training.face_data import load_faces
from attribute_models.training.fitting import FitSettings
from attribute_models.weights_io import read_network
from manifests.errors import DataError, MissingError, UsageError
from manifests.seeding import rng_of
from nn.packaged import start_packaged


def test_balanced_accuracy_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    label, guess = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    assert balanced_accuracy(guess, label) == pytest.approx(balanced_accuracy_score(label, guess))


def test_temperature_undoes_a_known_scaling():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 1.5, (4000, 4))).float()
    labels = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    assert fit_temperature(logits * 3, labels) == pytest.approx(3, rel=0.08)


def test_cross_fitted_error_is_small_for_honest_logits_and_blind_to_their_scale(faces_file):
    data = load_faces([faces_file])
    rows = data.subset(np.resize(np.arange(len(data)), 2000))
    generator = torch.Generator().manual_seed(0)
    logits = {h: torch.randn(2000, len(c), generator=generator) * 1.5 for h, c in HEADS.items()}
    drawn = {
        h: torch.multinomial(v.softmax(1), 1, generator=generator)[:, 0].numpy() for h, v in logits.items()
    }
    rows = replace(rows, **drawn)
    plain, scaled = (cross_fitted({h: v * k for h, v in logits.items()}, rows, 1) for k in (1, 4))
    for head in HEADS:
        assert plain[head] < 0.04
        assert scaled[head] == pytest.approx(plain[head], abs=0.01)


def test_calibration_error_of_sure_and_of_honest_guesses():
    label = np.array([0, 0, 0, 1])
    assert calibration_error(np.tile([1.0, 0.0], (4, 1)), label) == pytest.approx(0.25)
    assert calibration_error(np.tile([0.75, 0.25], (4, 1)), label) == pytest.approx(0)


def test_words_of_training_data_in_any_spelling(faces_file, tmp_path):
    """Dates of a spreadsheet, other cases, `70+`: no face of an age band is lost."""
    table, spelled = pq.read_table(faces_file), {"3-9": "9-Mar", "10-19": "Oct-19", "more than 70": "70+"}
    for name, change in (
        ("race", str.upper),
        ("gender", str.lower),
        ("age", lambda age: spelled.get(age, f"{age} ")),
    ):
        column = [change(value) for value in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(column))
    pq.write_table(table, tmp_path / "spelled.parquet")
    plain, found = load_faces([faces_file]), load_faces([tmp_path / "spelled.parquet"])
    for name in ("race", "gender", "age"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    assert found.skipped == plain.skipped == {"unknown label": 1}


def test_measure_of_a_perfect_model(faces_file):
    data = load_faces([faces_file])
    perfect = {h: np.eye(len(c), dtype=np.float32)[getattr(data, h)] for h, c in HEADS.items()}
    figures = measure(perfect, data)
    assert (
        figures["race7_balanced_accuracy"]
        == figures["gender_balanced_accuracy"]
        == figures["age_accuracy"]
        == 1
    )
    assert sum(cell["n"] for cell in figures["cells"].values()) == len(data)


def test_weights_make_cells_equal_or_leave_them(faces_file):
    """At balance 1 every cell has one share of the loss, at 0 every face has."""
    data = load_faces([faces_file])
    data = data.subset(np.sort(rng_of(1, "uneven").permutation(len(data))[: len(data) * 3 // 4]))
    cells = np.stack([data.race4, data.gender], 1)
    assert (cell_weights(data, 0.0)[cells[:, 0], cells[:, 1]] == 1).all()
    weights = cell_weights(data, 1.0)[cells[:, 0], cells[:, 1]].numpy()
    shares = {tuple(cell): weights[(cells == cell).all(1)].sum() for cell in np.unique(cells, axis=0)}
    assert len({round(float(share), 4) for share in shares.values()}) == 1
    assert weights.mean() == pytest.approx(1)
    assert len(np.unique(weights)) > 1


def test_the_loss_is_the_weighted_mean_over_faces(faces_file):
    data = load_faces([faces_file]).subset(np.arange(6))
    weights = torch.arange(8.0).view(4, 2)
    logits = {h: torch.randn(6, len(c), generator=torch.Generator().manual_seed(1)) for h, c in HEADS.items()}
    value = loss_of(weights)(lambda _: logits, torch.zeros(6), torch.zeros(6), data)
    expected = 0.0
    for head, share in (("race", 1.0), ("gender", 0.5), ("age", 0.4)):
        for i in range(6):
            log_p, classes = logits[head][i].log_softmax(0), len(HEADS[head])
            target = torch.full((classes,), 0.05 / classes)
            target[getattr(data, head)[i]] += 0.95
            expected -= share * float(weights[data.race4[i], data.gender[i]] * (target * log_p).sum()) / 6
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_training_from_file_to_weight(faces_file, tmp_path):
    settings = FitSettings(sizes=((32, 1),), batch=16, threads=1)
    measured = train_attributes(
        [faces_file],
        faces_file,
        tmp_path,
        settings,
        held_out=0.2,
        report=lambda line: None,
    )
    assert json.loads((tmp_path / "measured.json").read_text()) == measured
    model = load_attribute_model(tmp_path / "attributes.safetensors")
    data = load_faces([faces_file])
    again = measure(model.predict(data.images), data)
    assert again["race7_balanced_accuracy"] == pytest.approx(measured["race7_balanced_accuracy"], abs=0.1)
    assert model.classes == HEADS


def test_a_trunk_whose_weights_are_installed_starts_from_them(faces_file, tmp_path):
    lines, settings = [], FitSettings(sizes=((32, 1),), batch=16, threads=1, lr=0.0)
    train_attributes(
        [faces_file], faces_file, tmp_path, settings, trunk="tf_efficientnet_lite0", report=lines.append
    )
    assert "tf_efficientnet_lite0 starts from its ImageNet weights" in lines
    kept = read_network(tmp_path / "attributes.safetensors", "attributes")[1]
    trunk = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    assert start_packaged(trunk, "tf_efficientnet_lite0")
    assert torch.equal(kept["trunk.conv_head.weight"], trunk.conv_head.weight.half().float())
    assert not start_packaged(timm.create_model("resnet10t", num_classes=0), "resnet10t")


def test_a_trunk_that_timm_does_not_have_is_refused(faces_file, tmp_path):
    with pytest.raises(UsageError, match="no model of timm"):
        train_attributes([faces_file], faces_file, tmp_path / "out", trunk="resnet_of_nobody")
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_used(faces_file, tmp_path):
    with pytest.raises(MissingError):
        load_faces([tmp_path / "none.parquet"])
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(DataError, match="not a readable parquet file"):
        load_faces([tmp_path / "text.parquet"])
    (tmp_path / "cut.parquet").write_bytes(faces_file.read_bytes()[:-900])
    with pytest.raises(DataError, match="not a readable parquet file"):
        load_faces([tmp_path / "cut.parquet"])
    table = pq.read_table(faces_file)
    pq.write_table(table.drop_columns(["gender"]), tmp_path / "lacking.parquet")
    with pytest.raises(DataError, match="gender"):
        load_faces([tmp_path / "lacking.parquet"])
    broken = table.to_pylist()
    broken[3]["image"] = broken[3]["image"][:20]
    pq.write_table(pa.Table.from_pylist(broken), tmp_path / "broken.parquet")
    assert load_faces([tmp_path / "broken.parquet"]).skipped == {"unknown label": 1, "unreadable image": 1}
    pq.write_table(table.slice(0, 1), tmp_path / "useless.parquet")
    with pytest.raises(DataError, match="no usable face"):
        load_faces([tmp_path / "useless.parquet"])
