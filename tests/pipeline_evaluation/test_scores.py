"""`fairforge fairness` and `compare` on score files, good and bad."""

import csv
import json

import numpy as np
import pytest

from manifests.sanity import hint, swapped_labels
from pipeline.__main__ import main

HEAD = ("image_id", "label", "score", "race", "gender", "identity_id", "path")


def write(path, rows, head=HEAD):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([head, *rows])
    return path


def rows(n=240, seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    out = []
    for k in range(n):
        person, label = k % 40, int(rng.integers(0, 2))
        score = float(np.clip(0.35 + 0.3 * label + rng.normal(0, noise), 0, 1))
        kind = "fake" if label else "real"
        out.append([f"i{k}", label, score, "AB"[person % 2], ("Male", "Female")[person % 4 // 2], f"p{person}", f"{kind}/{k}.png"])
    return out


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_fairness_has_the_contracts_keys_and_equals_the_library(tmp_path, capsys):
    from detector import fairness

    data = rows()
    path = write(tmp_path / "s.csv", data)
    code, out, _ = run(capsys, "fairness", path, "--group", "race,gender", "--replicates", 30, "--json")
    assert code == 0
    found = json.loads(out)
    expected = fairness.report(
        [r[1] for r in data], [r[2] for r in data], {"race": [r[3] for r in data], "gender": [r[4] for r in data]},
        [r[5] for r in data], replicates=30).to_dict()
    assert found.pop("warnings") == []
    assert found == json.loads(json.dumps(expected))


def test_bad_rows_are_left_out_with_a_warning_and_the_rest_is_measured(tmp_path, capsys):
    data = rows()
    data[0][2], data[1][2], data[2][1] = "nan", "high", "perhaps"
    data.append(list(data[5]))
    data[7][3] = ""
    data[8][3] = "C"
    code, out, _ = run(capsys, "fairness", write(tmp_path / "s.csv", data), "--replicates", 5, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["utility"]["n"] == 237
    text = "\n".join(found["warnings"])
    for words in ("2 of 241 rows left out: score is not a finite number", "1 of 241 rows left out: label is not 0, 1",
                  "image_id stands twice", "1 of 237 rows have no race", "race C: one row only, not estimable"):
        assert words in text
    assert found["groups"]["race"]["C"]["n"] == 1
    assert any(item["group"] == "C" for item in found["not_estimable"])


def test_swapped_labels_are_noticed_by_names_and_by_scores(tmp_path, capsys):
    data = [[*r[:1], 1 - r[1], *r[2:]] for r in rows(noise=0.1)]
    code, out, _ = run(capsys, "fairness", write(tmp_path / "s.csv", data), "--replicates", 0, "--json")
    text = "\n".join(json.loads(out)["warnings"])
    assert code == 0
    assert "labels contradict the names of 240 of 240 files" in text
    assert "wrong way round" in text


def test_hints_of_names():
    assert hint("Celeb-real/id0_0000/1.png") == 0
    assert hint("manipulated_sequences/Deepfakes/c23/000_003.png") == 1
    assert hint("train/ai/1.png") == 1
    assert hint("fairface/1.jpg") is None
    assert hint("real_vs_fake/1.jpg") is None
    assert swapped_labels([1, 1, 1, 1], ["real/1"] * 4) == []
    assert swapped_labels([1, 1, 1, 0, 0, 0], ["real/1"] * 6) == []


@pytest.mark.parametrize(("head", "arguments", "words"), [
    (("image_id", "y"), [], "lacks the columns label, score"), (HEAD, ["--group", "tone"], "lacks the columns tone"),
    (HEAD, ["--mode", "fair"], "mode 'fair'"),
])
def test_files_that_cannot_be_used(tmp_path, capsys, head, arguments, words):
    code, _, err = run(capsys, "fairness", write(tmp_path / "s.csv", rows(), head), *arguments)
    assert code in (2, 3)
    assert words in err
    assert "fix:" in err


def test_compare_writes_markdown_and_json(tmp_path, capsys):
    a, b = rows(noise=0.15), rows(noise=0.6)
    for mine, theirs in zip(a, b, strict=True):
        theirs[1] = mine[1]
    b[0][2] = "nan"
    out = tmp_path / "out"
    code, text, _ = run(capsys, "compare", write(tmp_path / "a.csv", a), write(tmp_path / "b.csv", b[::-1]),
                        "--replicates", 100, "--out", out)
    assert code == 0
    assert (out / "comparison.md").read_text().strip() == text.strip()
    found = json.loads((out / "comparison.json").read_text())["datasets"]["a"]
    assert found["n"] == 239
    assert found["utility"]["AUC"]["difference"] > 0
    assert set(found["gaps"]) == {"race", "gender"}
    assert "| utility | AUC |" in text
    assert "1 rows of A are not in the other file" in text


def test_compare_refuses_files_of_other_rows(tmp_path, capsys):
    a, b = rows(), rows()
    b[3][1] = 1 - b[3][1]
    code, _, err = run(capsys, "compare", write(tmp_path / "a.csv", a), write(tmp_path / "b.csv", b))
    assert code == 2
    assert "row i3" in err
    other = [["x" + r[0], *r[1:]] for r in a]
    code, _, err = run(capsys, "compare", tmp_path / "a.csv", write(tmp_path / "c.csv", other))
    assert "no row in common" in err
