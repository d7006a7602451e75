"""`fairforge generators compare` and `score`: the code of generator-metrics, resumed, blind, scored."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from manifests.proportions import wilson
from pipeline.__main__ import main
from pipeline.commands.generators import comparison
from pipeline.commands.generators.comparison_sheets import score_answers
from tests.pipeline.test_generator_metrics import COUNT, drawn_faces, put, quick_models

__all__ = ["quick_models"]
NAMES = ["starter64", "balanced128"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("compared")
    return put(root / "data", drawn_faces(1)), put(root / "held", drawn_faces(2))


def compare(out: Path, faces: tuple[Path, Path], *extra: str, names: list[str] = NAMES) -> int:
    held = ["--held-out", str(faces[1])]
    few = ["--count", str(COUNT), "--references", "0", "--identities", "0", "--seed", "5", "--quiet"]
    spaces = ["--spaces", "pixels,identity"]
    return main(["generators", "compare", *names, "--data", str(faces[0]), *held, *few, *spaces,
                 "--out", str(out), *extra])  # fmt: skip


def read(out: Path) -> dict:
    return json.loads((out / "comparison.json").read_text())


def test_figures_are_those_of_generator_metrics_and_stay(
    tmp_path: Path, faces: tuple[Path, Path], quick_models: None, monkeypatch: pytest.MonkeyPatch
):
    assert compare(tmp_path / "a", faces, "--blind", "--tiles", "6") == 0
    value = read(tmp_path / "a")
    single = tmp_path / "one.json"
    main(["generator-metrics", "--data", str(faces[0]), "--held-out", str(faces[1]), "--count", str(COUNT),
          "--references", "0", "--identities", "0", "--space", "pixels", "--seed", "5", "--quiet",
          "--out", str(single)])  # fmt: skip
    alone, row = json.loads(single.read_text()), value["generators"][0]
    for pair in ("generated_against_data", "generated_against_held_out", "held_out_against_data"):
        assert row["spaces"]["pixels"][pair] == alone[pair]
    assert row["memorisation"] == alone["memorisation"]
    assert row["diversity"] == alone["diversity"]
    assert (
        row["spaces"]["identity"]["generated_against_data"]["kid"] != alone["generated_against_data"]["kid"]
    )
    assert value["side"] == 64
    assert any("balanced128 draws another size" in note for note in value["notes"])
    text = (tmp_path / "a" / "comparison.md").read_text()
    assert "| figure | starter64 | balanced128 | floor |" in text
    assert "pixels: kid against held-out" in text
    assert "images/s, of the first's | 1.00 |" in text
    rows = list(csv.DictReader((tmp_path / "a" / "comparison.csv").read_text().splitlines()))
    floor = next(r for r in rows if r["figure"] == "pixels: kid against data" and r["of"] == "floor")
    assert float(floor["value"]) == alone["held_out_against_data"]["kid"]["mean"]
    sheet = np.array(PilImage.open(tmp_path / "a" / "faces.png", formats=["PNG"]))
    assert sheet.shape[1] >= 10 * 64
    assert sheet.shape[0] > 6 * 64

    def refuse(*given: object) -> None:
        raise AssertionError("what was measured is measured again")

    monkeypatch.setattr(comparison, "read_references", refuse)
    assert compare(tmp_path / "a", faces) == 0
    again = read(tmp_path / "a")
    for one in (*value["generators"], *again["generators"]):
        one["generator"].pop("images_per_second")
    assert again == value
    with pytest.raises(AssertionError, match="measured again"):
        compare(tmp_path / "a", faces, "--fresh")


def test_the_key_says_which_is_which(tmp_path: Path, faces: tuple[Path, Path], quick_models: None):
    assert compare(tmp_path, faces, "--blind", "--tiles", "5") == 0
    rows = list(csv.DictReader((tmp_path / "key.csv").read_text().splitlines()))
    assert [int(row["tile"]) for row in rows] == list(range(1, 11))
    kinds = [(row["truth"], row["generator"]) for row in rows]
    assert sorted(kinds) == sorted(
        [("real", "")] * 5 + [("generated", "starter64")] * 3 + [("generated", "balanced128")] * 2
    )
    assert kinds not in (sorted(kinds), sorted(kinds, reverse=True))
    answers = tmp_path / "answers.csv"
    answers.write_text("tile,answer\n" + "".join(f"{r['tile']},{r['truth']}\n" for r in rows))
    value, text = score_answers(answers, tmp_path / "key.csv")
    assert (value["right"], value["answers"]) == (10, 10)
    assert (value["low"], value["high"]) == wilson(10, 10)
    assert "better than by chance" in text
    answers.write_text("tile,answer\n" + "".join(f"{r['tile']},real\n" for r in rows))
    value, text = score_answers(answers, tmp_path / "key.csv")
    assert value["accuracy"] == 0.5
    assert "than a coin" in text
    assert value["generators"]["starter64"]["taken_for_real"] == 3
    assert main(["generators", "score", str(answers), "--key", str(tmp_path / "key.csv")]) == 0


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ("99,real", "not on the sheet"),
        ("1,real\n1,real", "answered twice"),
        ("1,maybe", "maybe"),
        ("", "no answer"),
    ],
)
def test_answers_that_are_none_are_refused(tmp_path: Path, rows: str, error: str, capsys):
    (tmp_path / "key.csv").write_text("tile,truth,generator\n1,real,\n2,generated,starter64\n")
    (tmp_path / "a.csv").write_text(f"tile,answer\n{rows}\n")
    given = ["generators", "score", str(tmp_path / "a.csv"), "--key", str(tmp_path / "key.csv")]
    assert main(given) in (2, 3)
    assert error in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused(tmp_path: Path, faces: tuple[Path, Path], capsys):
    for names, why in (
        (["starter64"], "name two or more"),
        (["starter64", "starter64"], "there twice"),
        (["starter64", "nobody"], "nobody"),
    ):
        assert compare(tmp_path / "x", faces, names=names) != 0
        assert why in capsys.readouterr().err
    assert compare(tmp_path / "x", faces, "--identities", "50") == 2
    assert "too few for the feature space identity" in capsys.readouterr().err


def test_a_speed_is_of_each_in_one_run(quick_models: None):
    small, large = comparison.images_per_second(NAMES, "cpu")
    assert small > large > 0, "64 px against 128 px"
