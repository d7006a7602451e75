"""`fairforge fairness` and `compare` on score files, good and bad."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.errors import LONGEST, DataError
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
        out.append(
            [
                f"i{k}",
                label,
                score,
                "AB"[person % 2],
                ("Male", "Female")[person % 4 // 2],
                f"p{person}",
                f"{kind}/{k}.png",
            ]
        )
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
        [r[1] for r in data],
        [r[2] for r in data],
        {"race": [r[3] for r in data], "gender": [r[4] for r in data]},
        [r[5] for r in data],
        replicates=30,
    ).to_dict()
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
    for words in (
        "1 of 241 rows left out: score is missing",
        "1 of 241 rows left out: score is not a number (e.g. i1: 'high')",
        "1 of 241 rows left out: label is not 0, 1",
        "image_id stands twice",
        "1 of 237 rows have no race",
        "race C: one row only, not estimable",
    ):
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


@pytest.mark.parametrize(
    ("head", "arguments", "words"),
    [
        (("image_id", "y"), [], "lacks the columns label, score"),
        (HEAD, ["--group", "tone"], "lacks the columns tone"),
        (HEAD, ["--mode", "fair"], "mode 'fair'"),
    ],
)
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
    code, text, _ = run(
        capsys,
        "compare",
        write(tmp_path / "a.csv", a),
        write(tmp_path / "b.csv", b[::-1]),
        "--replicates",
        100,
        "--out",
        out,
    )
    assert code == 0
    assert (out / "comparison.md").read_text().strip() == text.strip()
    found = json.loads((out / "comparison.json").read_text())["datasets"]["a"]
    assert found["n"] == 239
    assert found["utility"]["AUC"]["difference"] > 0
    assert set(found["gaps"]) == {"race", "gender"}
    assert "| utility | AUC |" in text
    assert "1 rows of A are not in the other file" in text


def test_ties_are_chosen_and_said_and_the_same_twice(tmp_path, capsys):
    """One seed, one p; another seed draws another share; half of the ties is between both ends."""
    path = write(tmp_path / "s.csv", rows(noise=0.12))
    how = ("fairness", path, "--group", "race", "--replicates", 40, "--json")
    code, out, _ = run(capsys, *how, "--ties", "mid")
    mid = json.loads(out)
    assert code == 0
    assert mid["ties"] == "mid"
    assert json.loads(run(capsys, *how)[1])["ties"] == "random"
    first, again, other = (
        json.loads(run(capsys, *how, "--ties", "random", "--seed", seed)[1]) for seed in (3, 3, 4)
    )
    assert first == again
    assert first["ties"] == "random"
    p = [found["gaps"]["race"]["null"]["F_FPR"] for found in (mid, first, other)]
    assert p[0]["p"] == pytest.approx(sum(p[0]["p_bounds"]) / 2)
    assert p[1]["p"] != p[2]["p"]
    for one in p:
        assert one["p_bounds"][0] <= one["p"] <= one["p_bounds"][1]
    text = run(capsys, *how[:-1], "--ties", "random")[1]
    assert (
        "a share of the ties counts, drawn from scores and seed, half where there is no gap (ties random)"
        in text
    )
    low, high = (f"{end:.3f}" for end in p[0]["p_bounds"])
    assert f"{p[0]['p']:.3f} [{low}, {high}] |" in run(capsys, *how[:-1], "--ties", "mid")[1]


def test_ties_of_a_comparison_are_chosen_and_said(tmp_path, capsys):
    a, b = (write(tmp_path / f"{name}.csv", rows(noise=noise)) for name, noise in (("a", 0.1), ("b", 0.14)))
    both = [list(line) for line in rows(noise=0.14)]
    for mine, theirs in zip(rows(noise=0.1), both, strict=True):
        theirs[1] = mine[1]
    write(b, both)
    for ties in ("mid", "random"):
        code, out, _ = run(capsys, "compare", a, b, "--replicates", 50, "--ties", ties, "--json")
        found = next(iter(json.loads(out)["datasets"].values()))
        assert code == 0
        assert found["ties"] == ties
        for value in found["gaps"]["race"].values():
            if isinstance(value, dict):
                assert value["p_bounds"][0] <= value["p"] <= value["p_bounds"][1]
    assert f"(ties {ties})" in run(capsys, "compare", a, b, "--replicates", 50, "--ties", ties)[1]
    assert run(capsys, "compare", a, b, "--ties", "all")[0] == 2
    assert run(capsys, "fairness", a, "--ties", "all")[0] == 2


def test_compare_refuses_files_of_other_rows(tmp_path, capsys):
    a, b = rows(), rows()
    b[3][1] = 1 - b[3][1]
    code, _, err = run(capsys, "compare", write(tmp_path / "a.csv", a), write(tmp_path / "b.csv", b))
    assert code == 2
    assert "row i3" in err
    other = [["x" + r[0], *r[1:]] for r in a]
    code, _, err = run(capsys, "compare", tmp_path / "a.csv", write(tmp_path / "c.csv", other))
    assert "no row in common" in err


MISSING = (
    "",
    "NA",
    "n/a",
    "N/A",
    "NULL",
    "null",
    "none",
    "None",
    "NAN",
    "nan",
    "#N/A",
    "<NA>",
    "-",
    "?",
    "Unknown",
    " unknown ",
)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_spelling_of_a_missing_group_is_the_blank_one(tmp_path, capsys, kind):
    """In each group column: the gaps are those of the rows that have a group."""
    data = rows()
    for k, row in enumerate(data[: 2 * len(MISSING)]):
        row[3 + k % 2] = ""
    expected = run(capsys, "fairness", write(tmp_path / "s.csv", data), "--replicates", 5, "--json")
    for k, row in enumerate(data[: 2 * len(MISSING)]):
        row[3 + k % 2] = MISSING[k // 2]
    path = write(tmp_path / "s.csv", data) if kind == "csv" else tmp_path / "s.parquet"
    if kind == "parquet":
        pq.write_table(pa.table(dict(zip(HEAD, zip(*data, strict=True), strict=True))), path)
    found = run(capsys, "fairness", path, "--replicates", 5, "--json")
    assert found == expected
    assert "16 of 240 rows have no race" in found[1]


@pytest.mark.parametrize(
    "spelling",
    [
        {0: "0.0", 1: "1.0"},
        {0: "real", 1: "fake"},
        {0: "False", 1: "True"},
        {0: "REAL", 1: "Fake"},
        {0: " 0", 1: "1 "},
    ],
)
def test_labels_in_any_spelling_are_the_same(tmp_path, capsys, spelling):
    data = rows(n=80)
    expected = run(capsys, "fairness", write(tmp_path / "s.csv", data), "--replicates", 0)
    assert (
        run(
            capsys,
            "fairness",
            write(tmp_path / "s.csv", [[r[0], spelling[r[1]], *r[2:]] for r in data]),
            "--replicates",
            0,
        )
        == expected
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace("label,score", " label , Score").replace("race", "RACE"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "sep=;\n" + text.replace(",", ";"),
    ],
)
def test_heads_and_separators_of_other_programs(tmp_path, capsys, change):
    path = write(tmp_path / "s.csv", rows(n=80))
    expected = run(capsys, "fairness", path, "--replicates", 0)
    path.write_text(change(path.read_text()), encoding="utf-8", newline="")
    assert run(capsys, "fairness", path, "--replicates", 0) == expected


def test_a_column_that_is_lacking_stands_twice_or_is_nested(tmp_path, capsys):
    code, _, err = run(capsys, "fairness", write(tmp_path / "s.csv", rows(), ("id", "y", "p", *HEAD[3:])))
    assert code == 3
    assert "lacks the columns label, score; it has: id, y, p, race" in err
    code, _, err = run(capsys, "fairness", write(tmp_path / "s.csv", rows(), (*HEAD[:5], "label", "path")))
    assert code == 3
    assert "has the column label 2 times" in err
    pq.write_table(
        pa.table({"label": [0, 1], "score": [0.1, 0.9], "race": [["a"], ["b"]]}), tmp_path / "s.parquet"
    )
    code, _, err = run(capsys, "fairness", tmp_path / "s.parquet", "--group", "race")
    assert code == 3
    assert "race is list<" in err


@pytest.mark.parametrize(
    ("factor", "shift", "arguments", "warned"),
    [
        (1, 0, [], False),
        (100, 0, [], True),
        (10, -5, [], True),
        (100, 0, ["--threshold", 50], False),
        (10, -5, ["--threshold", 0.5], False),
        (1, 0, ["--threshold", 0.9], False),
    ],
)
def test_scores_that_are_no_probabilities_are_noticed(tmp_path, capsys, factor, shift, arguments, warned):
    path = write(tmp_path / "s.csv", [[*r[:2], r[2] * factor + shift, *r[3:]] for r in rows()])
    code, out, _ = run(capsys, "fairness", path, "--replicates", 0, *arguments)
    assert code == 0
    assert ("not in [0, 1]" in out) is warned
    assert ("--threshold" in out) is warned


def test_compare_says_that_scales_differ_and_which_threshold_to_give(tmp_path, capsys):
    a, b = (
        write(tmp_path / "a.csv", rows()),
        write(tmp_path / "b.csv", [[*r[:2], 100 * r[2], *r[3:]] for r in rows()]),
    )
    _, out, _ = run(capsys, "compare", a, b, "--replicates", 10)
    assert "warning: B: scores lie in [" in out
    assert "Give --threshold-b" in out
    assert "the scores are on different scales: A in [" in out
    _, out, _ = run(capsys, "compare", a, b, "--replicates", 10, "--threshold-b", 50)
    assert "not in [0, 1]" not in out
    assert "different scales" in out
    _, out, _ = run(capsys, "compare", a, a, "--replicates", 10)
    assert "different scales" not in out
    assert "scores lie" not in out


def test_compare_shows_a_key_of_each_file_and_what_was_lost(tmp_path, capsys):
    a = write(tmp_path / "a.csv", [[f"{k:05d}.png", *r[1:]] for k, r in enumerate(rows())])
    pq.write_table(
        pa.table(
            {"image_id": list(range(240)), "label": [r[1] for r in rows()], "score": [r[2] for r in rows()]}
        ),
        tmp_path / "b.parquet",
    )
    code, _, err = run(capsys, "compare", a, tmp_path / "b.parquet")
    assert code == 2
    for words in ("A has '00000.png', B has '0'", "zeros in front", "--key"):
        assert words in err
    code, _, err = run(
        capsys, "compare", a, write(tmp_path / "c.csv", [["x" + r[0], *r[1:]] for r in rows()])
    )
    assert "zeros in front" not in err


def test_files_without_keys_are_paired_by_place_and_say_so(tmp_path, capsys):
    path = write(tmp_path / "a.csv", [r[1:] for r in rows()], HEAD[1:])
    code, out, _ = run(capsys, "compare", path, path, "--replicates", 10)
    assert code == 0
    assert "paired by their place" in out


@pytest.mark.parametrize("column", [1, 2])
def test_a_thousand_faults_are_one_warning_with_an_example(tmp_path, capsys, column):
    data = rows(n=2000)
    for k in range(1000):
        data[k][column] = f"x{k}" * (50 if k == 0 else 1)
    code, out, err = run(capsys, "fairness", write(tmp_path / "s.csv", data), "--replicates", 0, "--json")
    found = [text for text in json.loads(out)["warnings"] if "left out" in text]
    assert code == 0
    assert len(found) == 1
    assert found[0].startswith("1000 of 2000 rows left out: ")
    assert "(e.g. i0: 'x0" in found[0]
    assert len(found[0]) < 300
    every = [[*r[:column], f"x{k}", *r[column + 1 :]] for k, r in enumerate(rows(n=2000))]
    code, _, err = run(capsys, "fairness", write(tmp_path / "s.csv", every), "--replicates", 0)
    assert code == 3
    assert len(err) < 500


def test_messages_are_bounded():
    error = DataError("w" * 10_000, "x" * 1_000_000, "y" * 10_000)
    assert len(str(error)) + len(error.fix) < 3 * (LONGEST + 40)
    assert "more characters" in str(error)
