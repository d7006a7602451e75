"""Frames to videos: the key, the mean, what most frames have, and the commands at that level."""

import json

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.stages.evaluate.measuring import scores_of
from pipeline.stages.evaluate.video_level import by_video
from tests.pipeline_evaluation.test_scores import write

HEAD = ("image_id", "label", "score", "method", "race", "gender", "identity_id", "video_id")


def row(k, video, label=1, method="a", score=0.5, race="x"):
    return {
        "image_id": f"i{k}",
        "label": label,
        "score": score,
        "method": method,
        "race": race,
        "gender": None,
        "cell": None,
        "identity_id": f"p{video}",
        "video_id": video,
        "counterfactual_id": None,
        "path": f"{k}.png",
    }


def test_fakes_of_one_name_are_videos_of_their_own():
    rows = [
        row(0, "000_003", method="a"),
        row(1, "000_003", method="b"),
        row(2, "000_003", method="a", score=0.9),
        row(3, "000", 0, "none"),
        row(4, None),
        row(5, None),
    ]
    found = by_video(scores_of(rows, "d"))
    assert sorted(zip(found.methods, found.score.tolist(), strict=True)) == [
        ("a", 0.5),
        ("a", 0.5),
        ("a", 0.7),
        ("b", 0.5),
        ("none", 0.5),
    ]


def test_a_video_has_what_most_of_its_frames_have():
    rows = [row(k, "v", race=race) for k, race in enumerate(["x", "y", "y", None, None, None])]
    assert by_video(scores_of(rows, "d")).groups["race"] == ["y"]


def test_no_videos_no_video_level():
    assert by_video(scores_of([row(0, None)], "d")) is None


def frames(path, shift=0.0, videos=24):
    rng = np.random.default_rng(1)
    rows = []
    for v in range(videos):
        label = v % 2
        for f in range(4):
            score = float(np.clip(0.4 + 0.2 * label + shift * label + rng.normal(0, 0.15), 0, 1))
            rows.append(
                [
                    f"{v}-{f}",
                    label,
                    score,
                    "m" if label else "none",
                    "AB"[v // 2 % 2],
                    ("Male", "Female")[v // 4 % 2],
                    f"p{v // 2}",
                    f"v{v}",
                ]
            )
    return write(path, rows, HEAD)


def test_commands_at_video_level(tmp_path, capsys):
    a, b = frames(tmp_path / "a.csv"), frames(tmp_path / "b.csv", 0.1)
    assert main(["fairness", str(a), "--replicates", "5", "--min-n", "1", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["utility"]["n"], value["video"]["utility"]["n"]) == (96, 24)
    assert value["video"]["utility"]["AUC"] > value["utility"]["AUC"]  # averaging takes noise out
    assert (
        main(
            ["compare", str(a), str(b), "--group", "race", "--level", "video", "--replicates", "20", "--json"]
        )
        == 0
    )
    (found,) = json.loads(capsys.readouterr().out)["datasets"].values()
    assert found["n"] == 24
    assert main(["compare", str(a), str(b), "--level", "clip"]) == 2
    assert "frame or video" in capsys.readouterr().err


def test_compare_without_videos_says_so(tmp_path, capsys):
    from tests.pipeline_evaluation.test_scores import rows

    path = write(tmp_path / "s.csv", rows())
    assert main(["compare", str(path), str(path), "--level", "video"]) == 2
    assert "video_id" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["frame", "video"])
def test_table_at_either_level(tmp_path, capsys, level):
    entry = {
        "utility": {"AUC": 0.7},
        "gaps": {"cell": {}},
        "scope": "intra",
        "video": {"utility": {"AUC": 0.9}, "gaps": {}},
    }
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(
        json.dumps({"datasets": {"set": entry}, "constant_predictor": {}})
    )
    assert main(["table", str(tmp_path / "run"), "--level", level]) == 0
    out = capsys.readouterr().out
    assert ("0.900" in out, "0.700" in out, "set (intra)" in out) == (
        level == "video",
        level == "frame",
        True,
    )
