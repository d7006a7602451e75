"""The report of copied, damaged and unusual runs: the same bytes anywhere, nothing unescaped, nothing made
up.
"""

# ruff: noqa: F401, F811 (fixtures are imported)

import re
import shutil

import pytest

from manifests.atomic import write_json
from manifests.errors import DataError, MissingError
from pipeline.engine.run_directory import RunDirectory
from pipeline.report import render
from pipeline.report.dataset_sections import parse_counts
from pipeline.report.run_files import STAGE_OF, marker_file
from tests.pipeline.report_fixtures import (
    CONFIG,
    copy,
    edit,
    html,
    load,
    numbers,
    page,
    run,
    sheets,
)
from tests.pipeline.report_page import Page


def test_copies_elsewhere_and_other_workers_give_the_same_bytes(html: str, copy: RunDirectory):
    write_json(copy.root / "run.json", {"argv": ["other"]})
    write_json(copy.folder("report") / "done" / "stage.json", {"digest": "of an older page"})
    other = copy.config.with_values(execute={"workers": 7, "executor": "local", "device": "cuda:1"})
    assert render(copy) == html
    assert render(RunDirectory(copy.root, other)) == html


def test_folders_of_the_machine_stay_out(copy: RunDirectory):
    config = copy.config.with_values(cross={"photographs": "/home/somebody/faces/dev.parquet"})
    text = render(RunDirectory(copy.root, config))
    assert "/home/somebody" not in text
    assert "dev.parquet" in text


@pytest.mark.parametrize("name", [*STAGE_OF, marker_file("forge"), marker_file("train")])
def test_a_missing_file_names_its_stage(copy: RunDirectory, name: str):
    (copy.root / name).unlink()
    with pytest.raises(MissingError) as caught:
        render(copy)
    stage = STAGE_OF.get(name) or {"forge": "forge", "detector": "train"}[name.split("/")[0]]
    assert caught.value.what == name
    assert f"stage {stage} " in caught.value.why
    assert caught.value.fix.endswith(f"--from {stage}")
    assert caught.value.exit_code == 3


def test_a_run_that_fitted_no_cells_shows_acceptance_without_a_model(copy: RunDirectory, page: Page):
    shutil.rmtree(copy.folder("cells"))
    text = render(
        RunDirectory(
            copy.root, copy.config.with_values(sample={"cell_model": "/elsewhere/model.safetensors"})
        )
    )
    assert "hit rate" in page.text["acceptance"]
    assert "hit rate" not in Page(text).text["acceptance"]
    assert "attempted" in Page(text).text["acceptance"]
    assert "/elsewhere" not in text


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_broken_file_is_an_error(copy: RunDirectory, text: str):
    (copy.root / "evaluate/results.json").write_text(text)
    with pytest.raises(DataError, match=r"is not .*JSON"):
        render(copy)


def test_a_missing_image_names_its_stage(copy: RunDirectory):
    shutil.rmtree(copy.root / "dataset" / "images")
    with pytest.raises(MissingError, match="stage pair"):
        render(copy)


def test_everything_is_escaped(copy: RunDirectory):
    evil = "<script>alert('1')</script><img src=x onerror=\"a()\">&amp;"

    def spoil_results(value: dict) -> None:
        for part in ("datasets", "constant_predictor"):
            value[part][evil] = value[part].pop("test")

    def spoil_audit(value: dict) -> None:
        figures = {evil: evil, "deep": {evil: {evil: 1}}}
        value["audits"][evil] = {"passed": False, "findings": [evil], "figures": figures}

    edit(copy, "evaluate/results.json", spoil_results)
    edit(copy, "audit/audit.json", spoil_audit)
    edit(copy, "verify/acceptance.json", lambda v: v["White/Male"]["rejected"].update({evil: 3}))
    edit(copy, "dataset/counts.json", lambda v: v["shortfall"].update({evil: 3}))
    config = copy.config.with_values(
        run={"name": evil},
        release={"description": evil, "citation": evil, "licence": evil, "url": evil},
    )
    page = Page(render(RunDirectory(copy.root, config)))
    assert "script" not in {name for name, _ in page.elements}
    assert len(sheets(page)) == len(CONFIG.dataset.cells)
    assert page.text[""].count(evil) >= 3
    for section in ("audit", "acceptance", "balance", "cells", "provenance"):
        assert "alert" in page.text[section]


def test_undefined_is_shown_with_its_reason_and_never_made_up(copy: RunDirectory):
    def spoil(value: dict) -> None:
        entry = value["datasets"]["test"]
        entry["utility"]["EER"] = None
        entry["gaps"]["cell"]["F_FPR"] = None
        entry["groups"]["cell"]["White/Male"].update({"FPR": None, "AUC": None, "n_real": 0})
        del entry["groups"]["cell"]["Black/Male"]
        entry["utility"]["intervals"] = {"ACC": [0.5, 0.5], "TPR": [None, None]}

    edit(copy, "evaluate/results.json", spoil)
    edit(copy, "cells/cells.json", lambda v: v["White/Male"].pop("hit_rate"))
    text = render(copy)
    page = Page(text)
    caption = "Utility and fairness over datasets"
    assert numbers(page.row(caption, "EER"))[0] is None
    assert numbers(page.row(caption, "F_FPR", 2))[0] is None
    assert numbers(page.row("Acceptance by cell", "White/Male")[:2])[1] is None
    utility = load(copy, "evaluate/results.json")["datasets"]["test"]["utility"]
    assert page.row(caption, "ACC")[0].text == f"{utility['ACC']:.3f}"
    assert re.search(r"n/a<title>no real image in the group</title>", text)
    drawn = re.search(r'aria-label="ACC by cell, test">.*?</svg>', text, re.DOTALL).group(0)
    assert re.search(
        r"Black/Male<tspan[^>]*> n 0</tspan></text><text[^>]*>n/a<title>no image in the group", drawn
    )
    assert not re.search(r">\s*(nan|None|null|inf)\s*<", text, re.IGNORECASE)


def test_failed_audits_and_shortfalls_are_said(copy: RunDirectory):
    edit(
        copy,
        "audit/audit.json",
        lambda v: (
            v.update(passed=False)
            or v["audits"]["shortcut"].update(
                passed=False, findings=["brightness tells real from fake: AUC 0.91"]
            )
        ),
    )
    edit(
        copy,
        "dataset/counts.json",
        lambda v: (
            v["shortfall"].update({"train White/Male": 2})
            or v["rows"].update({"train/White/Male/None/0/none": 1})
        ),
    )
    page = Page(render(copy))
    assert "brightness tells real from fake: AUC 0.91" in page.text["audit"]
    assert "failed" in page.text["summary"]
    assert "the dataset is not balanced" in page.text["balance"]
    assert "short by 2: train White/Male" in page.text["balance"]


def test_origins_stand_apart_in_acceptance_and_balance(copy: RunDirectory):
    def by_origin(value: dict) -> None:
        for cell in list(value):
            value |= {
                f"{cell}, photograph": {**value[cell], "accepted": 41},
                f"{cell}, synthetic": value.pop(cell),
            }
        value["no cell"] = {
            "attempted": 17,
            "accepted": 0,
            "rejected": {"low_confidence": 16, "other_cell": 1},
        }

    def counted(value: dict) -> None:
        rows = value["rows"]
        for key in list(rows):
            rows |= {
                key.replace("/None/", "/photograph/"): rows[key],
                key.replace("/None/", "/synthetic/"): rows.pop(key),
            }

    edit(copy, "verify/acceptance.json", by_origin)
    edit(copy, "dataset/counts.json", counted)
    page = Page(render(copy))
    for row in ("Black/Male, photograph", "Black/Male, synthetic", "no cell"):
        assert row in page.text["acceptance"]
    assert "small face" not in page.text["acceptance"]
    assert "Black/Male, synthetic" in page.text["balance"]
    assert "Every column holds one number" in page.text["balance"]
    edit(copy, "dataset/counts.json", lambda v: v["rows"].update({"train/Black/Male/photograph/0/none": 1}))
    assert "the dataset is not balanced" in Page(render(copy)).text["balance"]


def test_a_run_without_second_dataset_has_a_page(copy: RunDirectory):
    shutil.rmtree(copy.root / "cross")
    text = render(RunDirectory(copy.root, copy.config.with_values(cross={"source": "none"})))
    assert "second dataset" not in Page(text).text["acceptance"]


def test_asked_for_weights_are_no_imbalance(copy: RunDirectory):
    edit(copy, "dataset/counts.json", lambda v: v["rows"].update({"train/White/Male/None/0/none": 1}))
    weighted = RunDirectory(copy.root, copy.config.with_values(dataset={"weights": {"White/Male": 0.25}}))
    assert "that dataset.weights asks for" in Page(render(weighted)).text["balance"]
    assert "the dataset is not balanced" in Page(render(copy)).text["balance"]


def test_counts_keys_are_taken_apart():
    assert parse_counts({"test/East Asian/Male/synthetic/1/swap": 4}) == {
        ("test", "East Asian/Male", 1, "swap"): 4
    }
    both = {
        f"test/Black/Male/{origin}/{label}": n
        for origin, label, n in (
            ("photograph", "0/none", 3),
            ("synthetic", "0/none", 3),
            ("synthetic", "1/swap", 2),
        )
    }
    assert parse_counts(both) == {
        ("test", "Black/Male, photograph", 0, "none"): 3,
        ("test", "Black/Male, synthetic", 0, "none"): 3,
        ("test", "Black/Male, synthetic", 1, "swap"): 2,
    }
    fakes = {"test/Black/Male/photograph/0/none": 3, "test/Black/Male/synthetic/1/synthesis-g": 3}
    assert parse_counts(fakes) == {
        ("test", "Black/Male", 0, "none"): 3,
        ("test", "Black/Male", 1, "synthesis-g"): 3,
    }
