"""The report: every section, the numbers of the files, nothing loaded from anywhere."""

# ruff: noqa: F401, F811 (fixtures are imported)

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sklearn_metrics

from pipeline.engine.run_directory import RunDirectory
from pipeline.report import render
from pipeline.report.detector_sections import roc_points
from pipeline.report.fairness_values import ties_of
from pipeline.report.run_files import marker_file, read_run
from tests.pipeline.report_fixtures import (
    CONFIG,
    GAPS,
    SECTIONS,
    SPLITS,
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
    assert all(
        len(img["alt"]) > 20 and img["src"].startswith("data:image/webp;base64,") for img in page.all("img")
    )
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
    gaps = [
        (g[m], m, kind, name)
        for name, e in results.items()
        for kind, g in e["gaps"].items()
        for m in ("F_FPR", "F_OAE", "F_DP", "F_MEO")
    ]
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
    order = [
        (split, method)
        for split in SPLITS
        for method in ("none", "swap-delaunay", "blend-self", "reenact-warp")
        if split == "test" or method != "reenact-warp"
    ]
    for cell in CONFIG.dataset.cells:
        expected = [
            sum(r["cell"] == cell and r["split"] == s and r["method"] == m for r in rows) for s, m in order
        ]
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
        assert numbers(row[at : at + 4]) == [
            gaps["F_OAE"],
            gaps["corrected"]["F_OAE"],
            null["p95"],
            gaps["detectable"]["F_OAE"],
        ]
        assert float(row[at].values[1]) == null["p"]
        assert [float(value) for value in row[at].values[2:]] == null["p_bounds"]
        assert len(page.row("Gaps of the detector against chance", "F_FPR", 2)[at].values) == 2
    assert "half of them count (ties = mid)" in page.text["datasets"]
    assert "(ties = random)" in ties_of({"datasets": {"a": {"ties": "random"}, "b": {"ties": "random"}}})
    left_out = "test: gaps by cell, 3 clusters, fewer than 5: White/Male (n 9), Black/Male (n 9)"
    assert left_out in page.text["datasets"]
    titles = [row[0].text for row in page.tables[caption] if len(row) == 1]
    assert titles == ["Utility, all images", *GAPS]


def test_parity_within_methods_and_counterfactual_shift_are_shown_where_there_are_any(
    copy: RunDirectory, page: Page
):
    def add(value: dict) -> None:
        for which in ("datasets", "constant_predictor"):
            entry = value[which]["test"]
            entry["by_method"] = {
                kind: {"AADPD": 0.125, "interval": [0.1, 0.2]} for kind in ("race", "gender", "cell")
            }
            entry["counterfactual"] = {
                "mean_range": 0.25,
                "interval": [0.2, 0.3],
                "flips": 0.0625,
                "n_sets": 4,
                "cells": {},
            }

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


def test_which_weights_were_kept_is_said(copy: RunDirectory):
    """The best epoch's, the last one's, or their mean with those that training started from."""

    def said(**settings: object) -> str:
        edit(copy, "detector/training.json", lambda value: value["settings"].update(settings))
        return Page(render(copy)).text["training"]

    best = "The epoch with the highest AUC on the validation split was chosen"
    assert best in (text := said(keep="best", start_share=0.0))
    assert "started from" not in text
    assert best not in (text := said(keep="last", start_share=0.25))
    assert "The last epoch was kept: epoch" in text
    assert "(of the mean with the weights it started from, whose share is 0.25)" in text


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
    for stage in (
        "cells",
        "sample",
        "verify",
        "forge",
        "pair",
        "audit",
        "cross/sample",
        "cross/verify",
        "cross/forge",
        "cross/pair",
        "train",
        "evaluate",
        "release",
    ):
        assert page.row("Digests of the stages", stage)[0].text == load(run, marker_file(stage))["digest"]
    assert "a" * 64 in page.text["provenance"]
    assert 'methods = [\n    "swap-delaunay"' in page.text["provenance"]
    assert "workers" not in page.text["provenance"].split("[run]")[1]
    assert str(run.root) not in html
    assert "argv" not in html
