"""The report: every section, the numbers of the files, nothing loaded, nothing unescaped, the same bytes anywhere."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sklearn_metrics

from manifests.atomic import write_json
from manifests.errors import DataError, MissingError
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory
from pipeline.report import render
from pipeline.report.dataset_sections import parse_counts
from pipeline.report.detector_sections import roc_points
from pipeline.report.run_files import STAGE_OF, marker_file, read_run
from tests.pipeline.report_page import Page
from tests.pipeline.report_run import make_run

SECTIONS = [
    "brief", "summary", "faces", "acceptance", "balance", "audit", "training", "roc", "cells", "curves", "calibration", "gaps",
    "errors", "datasets", "provenance",
]
GAPS = {"Gaps between perceived races": "race", "Gaps between perceived genders": "gender",
        "Gaps between cells (race x gender)": "cell"}
CONFIG = Config.model_validate({"dataset": {"image_size": 32}, "report": {"columns": 2}})
SPLITS = {"train": 2, "val": 1, "test": 3}
Edit = Callable[[dict], None]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return make_run(tmp_path_factory.mktemp("report") / "run", CONFIG, splits=SPLITS)


@pytest.fixture(scope="module")
def html(run: RunDirectory) -> str:
    return render(run)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def copy(run: RunDirectory, tmp_path: Path) -> RunDirectory:
    """A copy of the run that a test may spoil."""
    shutil.copytree(run.root, tmp_path / "copy")
    return RunDirectory(tmp_path / "copy", run.config)


def load(run: RunDirectory, name: str) -> dict:
    return json.loads((run.root / name).read_text())


def edit(run: RunDirectory, name: str, change: Edit) -> None:
    value = load(run, name)
    change(value)
    write_json(run.root / name, value)


def numbers(cells: list) -> list[float | None]:
    """The exact value of each cell; None where it says n/a."""
    return [None if cell.text == "n/a" else float(cell.values[0]) for cell in cells]


def sheets(page: Page) -> list[dict]:
    """The contact sheets, which are pictures of several identities; those of errors show one."""
    return [img for img in page.all("img") if "identities perceived as" in img["alt"]]


def test_every_section_is_there_in_order_and_in_the_contents(page: Page):
    assert [s["id"] for s in page.all("section")] == SECTIONS
    assert [a["href"] for a in page.all("a")][1:] == [f"#{name}" for name in SECTIONS]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(page.all("h1")) == 1
    assert all(page.text[name].strip() for name in SECTIONS)


def test_nothing_is_loaded_from_anywhere(html: str, page: Page):
    loading = ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href")
    for name, attributes in page.elements:
        for key, value in attributes.items():
            if key in loading:
                assert value.startswith(("data:", "#")), (name, key, value[:60])
            assert not key.startswith("on"), (name, key)
    assert not {"script", "iframe", "object", "embed", "base"} & {name for name, _ in page.elements}
    assert not re.search(r"@import|url\(", html)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_pictures_and_tables_can_be_read_without_seeing(page: Page):
    assert len(sheets(page)) == len(CONFIG.dataset.cells)
    assert all(len(img["alt"]) > 20 and img["src"].startswith("data:image/webp;base64,") for img in page.all("img"))
    assert all(s.get("aria-label") or s.get("aria-hidden") for s in page.all("svg"))
    assert all(th.get("scope") in ("col", "row", "colgroup", "rowgroup") for th in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_every_source_line_names_files_of_the_run(run: RunDirectory, page: Page):
    assert len(page.sources) >= len(page.all("table")) + len(page.all("figure"))
    for name in set(page.sources):
        assert list(run.root.glob(name)), name


def test_headline_figures_are_those_of_the_files(run: RunDirectory, page: Page):
    text = re.sub(r"\s+", " ", page.text["summary"])
    results = load(run, "evaluate/results.json")["datasets"]
    assert f"images{pq.read_metadata(run.root / 'dataset/manifest.parquet').num_rows:,}" in text
    assert f"identities per cell{sum(SPLITS.values())}" in text
    for name, entry in results.items():
        assert f"AUC, {name}{entry['utility']['AUC']:.3f}" in text
    gaps = [(g[m], m, kind, name) for name, e in results.items() for kind, g in e["gaps"].items()
            for m in ("F_FPR", "F_OAE", "F_DP", "F_MEO")]
    assert f"largest gap{max(gaps)[0]:.3f}" in text
    assert "perceived attributes" in text
    assert "Misuse" in text


def test_acceptance_table_is_that_of_the_files(run: RunDirectory, page: Page):
    fit, figures = load(run, "cells/cells.json"), load(run, "verify/acceptance.json")
    for cell in CONFIG.dataset.cells:
        row, mine = page.row("Acceptance by cell", cell), figures[cell]
        latents, rate, attempted, accepted, *reasons = numbers(row[:4] + row[5:])
        assert (latents, rate) == (fit[cell]["confident_latents"], fit[cell]["hit_rate"])
        assert (attempted, accepted) == (mine["attempted"], mine["accepted"])
        assert row[4].text == f"{100 * mine['accepted'] / mine['attempted']:.1f} %"
        assert reasons == [mine["rejected"][r] for r in ("blurred", "wrong_cell", "surplus")]
    total = page.row("Acceptance by cell", "all cells")
    assert float(total[2].values[0]) == sum(f["attempted"] for f in figures.values())


def test_shortcut_table_is_that_of_the_file(run: RunDirectory, page: Page):
    figures = load(run, "audit/audit.json")["audits"]["shortcut"]["figures"]["questions"]
    table = page.tables["What trivial features can tell"]
    asked = [row[0].text for row in table[2:] if len(row) > 1]
    assert len(asked) == len(figures) / 2
    for question in asked:
        n, *answers = page.row("What trivial features can tell", question)
        file, pixel = figures[f"{question} (file)"], figures[f"{question} (pixel)"]
        assert float(n.values[0]) == file["n"]
        assert numbers(answers) == [file["auc"], file["feature_auc"], pixel["auc"], pixel["feature_auc"]]
        assert f"{file['low']:.3f}–{file['high']:.3f}" in answers[0].text
        assert ("above the limit" in answers[2].text) == pixel["above_limit"]
    assert any(figure["above_limit"] for figure in figures.values())
    assert numbers(page.row("Figures of the audits", "test per cell and method")) == [3]


def test_balance_table_is_that_of_the_manifest(run: RunDirectory, page: Page):
    rows = pq.read_table(run.root / "dataset/manifest.parquet").to_pylist()
    order = [(split, method) for split in SPLITS for method in ("none", "swap-delaunay", "blend-self", "reenact-warp")
             if split == "test" or method != "reenact-warp"]
    for cell in CONFIG.dataset.cells:
        expected = [sum(r["cell"] == cell and r["split"] == s and r["method"] == m for r in rows) for s, m in order]
        assert numbers(page.row("Images by split, cell and method", cell)) == expected
    assert "Every column holds one number" in page.text["balance"]


def test_cross_table_is_that_of_the_file_detector_beside_constant(run: RunDirectory, page: Page):
    results = load(run, "evaluate/results.json")
    names = ["test", "test-heldout", "cross-synthetic", "cross-synthetic-heldout"]
    pairs = [(which, name) for name in names for which in ("datasets", "constant_predictor")]
    caption = "Utility and fairness over datasets"
    for metric in ("AUC", "EER", "ACC", "TPR", "FPR"):
        expected = [results[which][name]["utility"][metric] for which, name in pairs]
        assert numbers(page.row(caption, metric)) == expected
    for nth, kind in enumerate(GAPS.values()):
        for metric in ("F_FPR", "F_OAE", "F_DP", "F_MEO"):
            expected = [results[which][name]["gaps"][kind][metric] for which, name in pairs]
            assert numbers(page.row(caption, metric, nth)) == expected
    for name in names:
        row = page.row("Gaps of the detector against chance", "F_OAE", 2)
        gaps, at = results["datasets"][name]["gaps"]["cell"], 4 * names.index(name)
        null = gaps["null"]["F_OAE"]
        assert numbers(row[at:at + 4]) == [gaps["F_OAE"], gaps["corrected"]["F_OAE"], null["p95"], gaps["detectable"]["F_OAE"]]
        assert float(row[at].values[1]) == null["p"]
    left_out = "test: gaps by cell, 3 clusters, fewer than 5: White/Male (n 9), Black/Male (n 9)"
    assert left_out in page.text["datasets"]
    titles = [row[0].text for row in page.tables[caption] if len(row) == 1]
    assert titles == ["Utility, all images", *GAPS]


def test_parity_within_methods_and_counterfactual_shift_are_shown_where_there_are_any(copy: RunDirectory, page: Page):
    def add(value: dict) -> None:
        for which in ("datasets", "constant_predictor"):
            entry = value[which]["test"]
            entry["by_method"] = {kind: {"AADPD": 0.125, "interval": [0.1, 0.2]} for kind in ("race", "gender", "cell")}
            entry["counterfactual"] = {"mean_range": 0.25, "interval": [0.2, 0.3], "flips": 0.0625, "n_sets": 4, "cells": {}}

    caption = "Utility and fairness over datasets"
    assert "Counterfactual sets" not in page.text["datasets"]
    edit(copy, "evaluate/results.json", add)
    made = Page(render(copy))
    row = made.row(caption, "AADPD, perceived genders")
    assert numbers(row) == [0.125, 0.125, *[None] * 6]
    assert row[0].text.endswith("0.100\u20130.200")
    assert numbers(made.row(caption, "highest - lowest score")) == [0.25, 0.25, *[None] * 6]
    assert numbers(made.row(caption, "sets not all called the same"))[0] == 0.0625


def test_training_figures_are_those_of_the_file(run: RunDirectory, page: Page):
    lines = [json.loads(line) for line in (run.root / "detector/metrics.jsonl").read_text().splitlines()]
    rows = page.tables["By epoch"][1:]
    names = ("epoch", "loss", "val_auc", "val_accuracy", "val_race_accuracy")
    assert [numbers(row) for row in rows] == [[line[name] for name in names] for line in lines]


def test_roc_is_that_of_scikit_learn(run: RunDirectory, html: str):
    files = read_run(run)
    table = pq.read_table(run.root / "evaluate/scores.parquet").to_pandas()
    results = load(run, "evaluate/results.json")["datasets"]
    for name, rows in table.groupby("dataset"):
        x, y = zip(*roc_points(files, name), strict=True)
        fpr, tpr, _ = sklearn_metrics.roc_curve(rows["label"], rows["score"], drop_intermediate=False)
        assert set(zip(x, y, strict=True)) <= set(zip(fpr.tolist(), tpr.tolist(), strict=True))
        area = sklearn_metrics.roc_auc_score(rows["label"], rows["score"])
        assert sklearn_metrics.auc(x, y) == pytest.approx(area, abs=1e-9)
        assert results[name]["utility"]["AUC"] == pytest.approx(area, abs=1e-9)
        drawn = re.search(rf'<path d="M([^"]+)" class="line s\d"><title>{name}</title>', html).group(1)
        points = np.array([[float(v) for v in p.split()] for p in drawn.split("L")])
        low, high = points[0], points[-1]
        scaled = (points - low) / (high - low)
        assert sklearn_metrics.auc(scaled[:, 0], scaled[:, 1]) == pytest.approx(area, abs=1e-3)


def test_bars_have_the_values_and_n_of_the_file(run: RunDirectory, html: str):
    results = load(run, "evaluate/results.json")["datasets"]
    found = re.finditer(r'<svg[^>]*aria-label="([^"]* by cell, [^"]*)".*?</svg>', html, re.DOTALL)
    plots = {match.group(1): match.group(0) for match in found}
    assert len(plots) == 4 * len(results)
    for name, entry in results.items():
        for metric, n in (("TPR", "n_fake"), ("FPR", "n_real"), ("ACC", "n"), ("AUC", "n")):
            drawn = plots[f"{metric} by cell, {name}"]
            said = re.findall(r">([^<>]+)<tspan[^>]*> n (\d+)</tspan>", drawn)
            assert said == [(c, str(entry["groups"]["cell"][c][n])) for c in CONFIG.dataset.cells]
            shown = dict(re.findall(r"<title>([^<:]+): ([\d.]+)</title>", drawn))
            values = {c: f"{entry['groups']['cell'][c][metric]:.3f}" for c in CONFIG.dataset.cells}
            assert drawn.count('class="whisker"') == len(CONFIG.dataset.cells)
            assert shown == {**values, "all groups together": f"{entry['utility'][metric]:.3f}"}


def test_provenance_has_every_digest_and_no_place_or_time(run: RunDirectory, html: str, page: Page):
    for stage in ("cells", "sample", "verify", "forge", "pair", "audit", "cross", "train", "evaluate", "release"):
        assert page.row("Digests of the stages", stage)[0].text == load(run, marker_file(stage))["digest"]
    assert "a" * 64 in page.text["provenance"]
    assert 'methods = [\n    "swap-delaunay"' in page.text["provenance"]
    assert "workers" not in page.text["provenance"].split("[run]")[1]
    assert str(run.root) not in html
    assert "argv" not in html


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
    text = render(RunDirectory(copy.root, copy.config.with_values(sample={"cell_model": "/elsewhere/model.safetensors"})))
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
        run={"name": evil}, release={"description": evil, "citation": evil, "licence": evil, "url": evil},
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
    assert re.search(r"Black/Male<tspan[^>]*> n 0</tspan></text><text[^>]*>n/a<title>no image in the group", drawn)
    assert not re.search(r">\s*(nan|None|null|inf)\s*<", text, re.IGNORECASE)


def test_failed_audits_and_shortfalls_are_said(copy: RunDirectory):
    edit(copy, "audit/audit.json", lambda v: v.update(passed=False) or v["audits"]["shortcut"].update(
        passed=False, findings=["brightness tells real from fake: AUC 0.91"]))
    edit(copy, "dataset/counts.json", lambda v: v["shortfall"].update({"train White/Male": 2})
         or v["rows"].update({"train/White/Male/None/0/none": 1}))
    page = Page(render(copy))
    assert "brightness tells real from fake: AUC 0.91" in page.text["audit"]
    assert "failed" in page.text["summary"]
    assert "the dataset is not balanced" in page.text["balance"]
    assert "short by 2: train White/Male" in page.text["balance"]


def test_origins_stand_apart_in_acceptance_and_balance(copy: RunDirectory):
    def by_origin(value: dict) -> None:
        for cell in list(value):
            value |= {f"{cell}, photograph": {**value[cell], "accepted": 41}, f"{cell}, synthetic": value.pop(cell)}
        value["no cell"] = {"attempted": 17, "accepted": 0, "rejected": {"low_confidence": 16, "other_cell": 1}}

    def counted(value: dict) -> None:
        rows = value["rows"]
        for key in list(rows):
            rows |= {key.replace("/None/", "/photograph/"): rows[key], key.replace("/None/", "/synthetic/"): rows.pop(key)}

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
    assert parse_counts({"test/East Asian/Male/synthetic/1/swap": 4}) == {("test", "East Asian/Male", 1, "swap"): 4}
    both = {f"test/Black/Male/{origin}/{label}": n for origin, label, n in (
        ("photograph", "0/none", 3), ("synthetic", "0/none", 3), ("synthetic", "1/swap", 2))}
    assert parse_counts(both) == {
        ("test", "Black/Male, photograph", 0, "none"): 3, ("test", "Black/Male, synthetic", 0, "none"): 3,
        ("test", "Black/Male, synthetic", 1, "swap"): 2}
    fakes = {"test/Black/Male/photograph/0/none": 3, "test/Black/Male/synthetic/1/synthesis-g": 3}
    assert parse_counts(fakes) == {("test", "Black/Male", 0, "none"): 3, ("test", "Black/Male", 1, "synthesis-g"): 3}
