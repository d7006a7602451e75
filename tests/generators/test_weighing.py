"""Images by quality: the weight is its formula, draws are in proportion to it, runs resume exactly."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from generators.training.images import batch_rows, open_images
from generators.training.weighing import parse_ramps, weighed_items, weighted_rows
from manifests.atomic import digest_file
from manifests.errors import UsageError
from manifests.images import encode
from manifests.seeding import rng_of
from pipeline.__main__ import main

TINY = {"channel_base": 64, "z_dim": 8, "w_dim": 8, "snapshot_kimg": 0.016, "batch": 8}


def test_a_weight_is_the_product_of_its_ramps():
    ramps = parse_ramps(["sharpness:5..25", "abs(yaw_proxy):0.6..0.2"])
    labels = ["Black/15.0/-0.4", "Black/30.0/0.1", "Black/4.0/0.0", "Black/nan/0.0", None, "Black/15.0/0.7"]
    found = list(weighed_items([(str(k), b"", label) for k, label in enumerate(labels)], ramps))
    assert [(name, label) for (name, _, label), _ in found] == [("0", "Black"), ("1", "Black")]
    assert [weight for _, weight in found] == pytest.approx([0.25, 1.0])


@pytest.mark.parametrize(
    "text", ["sharpness", "sharpness:5", "sharpness:5..5", "abs(yaw:1..2", "a:1..2 3", "a:1..1e999"]
)
def test_what_is_no_ramp_is_refused(text: str):
    with pytest.raises(UsageError, match="weigh"):
        parse_ramps([text])


def test_a_column_is_weighed_once():
    with pytest.raises(UsageError, match="second time"):
        parse_ramps(["a:1..2", "a:3..4"])


def test_draws_are_in_proportion_within_groups_that_are_equally_often():
    weights = np.array([1.0, 0.5, 0.25, 0.05, 1.0, 0.1])
    rows = weighted_rows(weights.tolist(), ["a", "a", "a", "a", "b", "b"])
    counts = np.array([np.bincount(rows.of(3, epoch), minlength=6) for epoch in range(4000)])
    assert len(rows) == 8
    assert (counts[:, :4].sum(1) == 4).all()
    assert (counts[:, 4:].sum(1) == 4).all()
    wanted = 4 * np.concatenate([weights[:4] / weights[:4].sum(), weights[4:] / weights[4:].sum()])
    assert counts.mean(0) == pytest.approx(wanted, abs=0.03)
    assert (np.abs(counts - wanted) < 1).all(), "expected numbers, rounded up or down"
    seeds = [[rows.of(seed, epoch).tolist() for epoch in range(20)] for seed in (3, 4)]
    assert seeds[0] != seeds[1]


def test_any_step_is_found_without_those_before():
    rows = weighted_rows([1.0, 0.5, 0.1, 1.0, 0.9], None)
    steps = [batch_rows(rows, step, 4, 7, mirror=True)[0] for step in range(10)]
    fresh = weighted_rows([1.0, 0.5, 0.1, 1.0, 0.9], None)
    assert np.array_equal(batch_rows(fresh, 8, 4, 7, mirror=True)[0], steps[8])
    first = np.concatenate(steps)[:10]
    assert sorted(first) == sorted(np.repeat(rows.of(7, 0), 2)), "an epoch: its draw, and that mirrored"


def faces(path, count=40):
    images = [encode(rng_of(1, "face", k).integers(0, 256, (8, 8, 3), np.uint8), "png") for k in range(count)]
    table = {
        "image": images,
        "race": ["Black", "White"] * (count // 2),
        "gender": ["Female"] * count,
        "sharpness": [float(k) for k in range(count)],
        "age": ["3-9" if k % 4 == 3 else "20-29" for k in range(count)],
    }
    pq.write_table(pa.table(table), path)
    return path


def test_a_run_by_weight_resumes_to_the_same_bytes(tmp_path, capsys):
    words = [
        "train-generator",
        "--data",
        str(faces(tmp_path / "faces.parquet")),
        "--resolution",
        "8",
        "--quiet",
    ]
    words += [f"--set={k}={v}" for k, v in TINY.items()]
    weighed = [*words, "--weigh", "sharpness:5..25", "--keep", "age!=3-9", "--balance", "fairface4"]
    assert main([*weighed, "--kimg", "0.048", "--out", str(tmp_path / "whole")]) == 0
    assert main([*weighed, "--kimg", "0.016", "--out", str(tmp_path / "parts")]) == 0
    assert main([*weighed, "--kimg", "0.048", "--out", str(tmp_path / "parts")]) == 0
    digests = {digest_file(tmp_path / name / "generator.safetensors") for name in ("whole", "parts")}
    assert len(digests) == 1
    info = json.loads((tmp_path / "whole" / "data" / "images.json").read_text())
    kept = [k for k in range(6, 40) if k % 4 != 3]
    assert info["weights"] == pytest.approx([min((k - 5) / 20, 1) for k in kept])
    images = open_images(tmp_path / "whole" / "data", 8, None, info["groups"], info["weights"])
    drawn = images.order.of(0, 0)
    groups = np.array(info["groups"])[drawn]
    assert (groups == "Black/Female").sum() == (groups == "White/Female").sum()
    assert main([*words, "--kimg", "0.016", "--out", str(tmp_path / "whole")]) == 2
    assert "or --weigh" in capsys.readouterr().err
    assert main([*weighed[:-2], "--label-column", "race", "--out", str(tmp_path / "no")]) == 2
    assert "without classes" in capsys.readouterr().err
