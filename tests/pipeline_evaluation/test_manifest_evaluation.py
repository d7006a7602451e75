"""`fairforge evaluate --checkpoint D --manifest M ...`: one detector over datasets, killed and continued,
with odd data.
"""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.inference.checkpoints import save_checkpoint
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from manifests import read_manifest
from manifests.atomic import digest_file
from manifests.store import write_manifest
from pipeline.__main__ import main
from pipeline.stages.evaluate import image_scores as scoring
from tests.manifests.manifest_rows import drawn_set


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A detector of random weights, trained on `own` by its facts, and another dataset with videos."""
    root = tmp_path_factory.mktemp("evaluation")
    for name, seed in (("own", 0), ("other", 3)):
        drawn_set(root / name, per_cell=4, size=24, seed=seed)
    path = root / "other" / "manifest.parquet"
    table = read_manifest(path)
    videos = [f"v{k // 3}" for k in range(table.num_rows)]
    at = table.schema.get_field_index("video_id")
    write_manifest(table.set_column(at, table.schema.field(at), pa.array(videos, pa.string())), path)
    config = NetworkConfig(backbone="test_resnet", input_size=32)
    folder = root / "lab" / "detector"
    folder.mkdir(parents=True)
    save_checkpoint(folder / "checkpoint.safetensors", config, build_network(config, 0).state_dict(), {})
    facts = {"sha256": {"manifest": digest_file(root / "own" / "manifest.parquet")}}
    (folder / "training.json").write_text(json.dumps(facts))
    return root


def run(capsys, *arguments):
    floors = [] if "evaluate.floors" in " ".join(map(str, arguments)) else ["--set", "evaluate.floors=[]"]
    code = main(["evaluate", *map(str, arguments), "--replicates", "5", *floors])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def both(places, out, *more):
    manifests = [word for name in ("own", "other") for word in ("--manifest", places / name)]
    return ["--checkpoint", places / "lab/detector", *manifests, "--out", out, *more]


def test_results_are_those_of_the_score_file(places, tmp_path, capsys):
    from detector import fairness, load_detector
    from manifests.images import read_image

    code, out, _ = run(capsys, *both(places, tmp_path / "e", "--json"))
    assert code == 0
    value = json.loads(out)
    assert value == json.loads((tmp_path / "e" / "results.json").read_text())
    assert {name: entry["scope"] for name, entry in value["datasets"].items()} == {
        "own": "intra",
        "other": "cross",
    }
    rows = pq.read_table(tmp_path / "e" / "scores.parquet").to_pylist()
    own = [row for row in rows if row["dataset"] == "own"]
    assert {row["split"] for row in rows} == {"test"}
    model = load_detector(places / "lab/detector")
    images = np.stack([read_image(places / "own" / row["path"]) for row in own])
    np.testing.assert_array_equal(model.predict(images), np.array([row["score"] for row in own], np.float32))
    expected = fairness.report(
        [row["label"] for row in own],
        [row["score"] for row in own],
        {kind: [row[kind] for row in own] for kind in ("race", "gender", "cell")},
        [row["identity_id"] for row in own],
        replicates=5,
    ).to_dict()
    found = value["datasets"]["own"]
    assert {key: found[key] for key in expected} == json.loads(json.dumps(expected))
    assert value["constant_predictor"]["other"]["utility"]["AUC"] == 0.5
    assert not (tmp_path / "e" / "scoring").exists()
    table = (tmp_path / "e" / "table.md").read_text()
    assert "| lab |" in table
    assert "own (intra) AUC" in table


def test_video_level_is_the_mean_over_frames(places, tmp_path, capsys):
    from detector.metrics.rates import auc

    run(capsys, *both(places, tmp_path / "e", "--split", "all", "--json"))
    value = json.loads((tmp_path / "e" / "results.json").read_text())
    assert "video" not in value["datasets"]["own"]
    rows = [
        r for r in pq.read_table(tmp_path / "e" / "scores.parquet").to_pylist() if r["dataset"] == "other"
    ]
    means = {}
    for row in rows:
        means.setdefault((row["method"], row["label"], row["video_id"]), []).append(row["score"])
    found = value["datasets"]["other"]["video"]["utility"]
    assert found["n"] == len(means) < len(rows)
    assert found["AUC"] == pytest.approx(
        auc([key[1] for key in means], [np.mean(v) for v in means.values()]), abs=1e-12
    )


def test_threshold_is_fixed_on_validation_rows(places, tmp_path, capsys):
    from detector.metrics.thresholds import threshold_of

    run(capsys, *both(places, tmp_path / "v", "--split", "val"))
    rows = [r for r in pq.read_table(tmp_path / "v" / "scores.parquet").to_pylist() if r["dataset"] == "own"]
    expected = threshold_of("val-fpr@0.25", [r["label"] for r in rows], [r["score"] for r in rows])
    code, out, _ = run(capsys, *both(places, tmp_path / "e", "--threshold", "val-fpr@0.25", "--json"))
    assert code == 0
    value = json.loads(out)
    assert value["threshold"]["value"] == expected
    assert value["threshold"]["fixed_on"].endswith("own/manifest.parquet")
    assert {entry["threshold"] for entry in value["datasets"].values()} == {expected}


def test_killed_and_begun_again(places, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scoring, "PART", 5)
    monkeypatch.setattr(scoring.score_in_parts, "__defaults__", (2, 5, "whole", False))
    run(capsys, *both(places, tmp_path / "whole"))
    original, seen = scoring.score_files, []

    def dies(model, folder, paths, threads=2, *more, **others):
        seen.append(len(paths))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(model, folder, paths, threads, *more, **others)

    monkeypatch.setattr(scoring, "score_files", dies)
    assert run(capsys, *both(places, tmp_path / "e"))[0] == 130
    assert len(list((tmp_path / "e" / "scoring").iterdir())) == 2
    assert run(capsys, *both(places, tmp_path / "e"))[0] == 0
    whole = pq.read_table(tmp_path / "whole" / "scores.parquet")
    assert pq.read_table(tmp_path / "e" / "scores.parquet").equals(whole)
    assert sum(seen) == whole.num_rows + seen[2]  # the first two parts were not scored again


def test_unreadable_images_are_left_out_and_named(places, tmp_path, capsys):
    shutil.copytree(places / "own", tmp_path / "own")
    rows = [row for row in read_manifest(tmp_path / "own").to_pylist() if row["split"] == "test"]
    (tmp_path / "own" / rows[0]["path"]).write_bytes(b"broken")
    (tmp_path / "own" / rows[1]["path"]).unlink()
    words = ["--checkpoint", places / "lab/detector", "--manifest", tmp_path / "own", "--out", tmp_path / "e"]
    code, out, _ = run(capsys, *words, "--json")
    assert code == 0
    entry = json.loads(out)["datasets"]["own"]
    assert (entry["utility"]["n"], entry["left_out"]) == (len(rows) - 2, 2)
    assert "2 images left out" in entry["warnings"][0]
    for row in rows:
        (tmp_path / "own" / row["path"]).write_bytes(b"broken")
    code, _, error = run(capsys, *words)
    assert code != 0
    assert "no readable image" in error


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--threshold", "val-err"], "is not known"),
        (["--split", "tests"], "is not known"),
        (["--mode", "fair"], "evaluate.mode"),
        (["--name", "one"], "not one of its own"),
        (["--validation", "nowhere"], "is not there"),
        (["--validation", "nowhere", "--threshold", "0.5"], "has no use"),
    ],
)
def test_wrong_arguments(places, tmp_path, capsys, words, why):
    extra = ["--threshold", "val-eer"] if words == ["--validation", "nowhere"] else []
    code, _, error = run(capsys, *both(places, tmp_path / "e", *words, *extra))
    assert code in (2, 3)
    assert why in error


def test_manifest_without_checkpoint_and_without_validation(places, tmp_path, capsys):
    code, _, error = run(capsys, "--manifest", places / "own", "--out", tmp_path / "e")
    assert (code, "needs both" in error) == (2, True)
    path = tmp_path / "test-only"
    shutil.copytree(places / "own", path)
    table = read_manifest(path)
    write_manifest(table.filter(pa.compute.equal(table["split"], "test")), path / "manifest.parquet")
    code, _, error = run(
        capsys,
        "--checkpoint",
        places / "lab/detector",
        "--manifest",
        path,
        "--threshold",
        "val-eer",
        "--out",
        tmp_path / "e",
    )
    assert (code, "cannot be fixed" in error) == (2, True)


def test_a_share_of_real_images_is_fixed_on_real_images_alone(places, tmp_path, capsys):
    table = read_manifest(places / "own")
    real = pa.array(
        [
            label == 0 or split != "val"
            for label, split in zip(table["label"].to_pylist(), table["split"].to_pylist(), strict=True)
        ]
    )
    shutil.copytree(places / "own", tmp_path / "real")
    write_manifest(table.filter(real), tmp_path / "real" / "manifest.parquet")
    words = ["--checkpoint", places / "lab/detector", "--manifest", tmp_path / "real", "--threshold"]
    code, out, _ = run(capsys, *words, "val-fpr@0.25", "--out", tmp_path / "a", "--json")
    assert code == 0
    whole = run(
        capsys,
        *words[:2],
        "--manifest",
        places / "own",
        "--threshold",
        "val-fpr@0.25",
        "--out",
        tmp_path / "b",
        "--json",
    )
    assert json.loads(out)["threshold"]["value"] == json.loads(whole[1])["threshold"]["value"]
    code, _, err = run(capsys, *words, "val-eer", "--out", tmp_path / "c")
    assert (code, "no val split with real and fake" in err) == (2, True)
    both_there = [
        "--manifest",
        places / "other",
    ]  # a manifest with both classes goes before one with real images alone
    code, out, _ = run(capsys, *words, "val-fpr@0.25", *both_there, "--out", tmp_path / "d", "--json")
    assert json.loads(out)["threshold"]["fixed_on"].endswith("other/manifest.parquet")
