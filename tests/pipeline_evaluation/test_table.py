"""The cross-dataset table: every format holds the same figures; what was not measured stays empty."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from pipeline.__main__ import main
from pipeline.commands.evaluate.table import cross_table
from pipeline.commands.evaluate.table_formats import FORMATS


def entry(auc, gap, intervals=True):
    value = {
        "utility": {"AUC": auc, "EER": 0.25},
        "gaps": {"cell": {"F_FPR": gap, "F_MEO": 0.5}, "race": {"F_FPR": 0.01}},
    }
    if intervals:
        value["utility"]["intervals"] = {"AUC": [auc - 0.01, auc + 0.01]}
        value["gaps"]["cell"]["intervals"] = {"F_FPR": [0.0, 0.2]}
    return value


@pytest.fixture
def runs(tmp_path):
    plain = {"cross-photographs": entry(0.6, None), "test": entry(0.9, 0.125)}
    sets = {"erm_plain": plain, "fair & square": {"test": entry(0.8, 0.05)}}
    for name, datasets in sets.items():
        folder = tmp_path / name / "evaluate"
        folder.mkdir(parents=True)
        constant = {key: entry(0.5, 0.0) for key in datasets}
        (folder / "results.json").write_text(
            json.dumps({"datasets": datasets, "constant_predictor": constant})
        )
    return [tmp_path / name for name in sets]


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.rows, self.text = [], None

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.text = ""

    def handle_data(self, data):
        if self.text is not None:
            self.text += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.text)
            self.text = None


def test_rows_columns_scope_and_the_constant_predictor(runs):
    table = cross_table(runs)
    assert table.detectors == ("erm_plain", "fair & square", "constant predictor")
    assert table.datasets == ("test", "cross-photographs")
    assert table.scope == {"test": "intra", "cross-photographs": "cross"}
    assert table.cells["constant predictor"]["test"]["AUC"].value == 0.5
    assert table.cells["constant predictor"]["test"]["AUC"].low is None
    assert "cross-photographs" not in table.cells["fair & square"]
    assert cross_table(runs, kind="race").cells["erm_plain"]["test"]["F_FPR"].value == 0.01


def test_all_formats_have_the_same_figures(runs):
    table = cross_table(runs)
    wanted = {
        "erm_plain": ["0.900", "0.250", "0.125", "0.500", "0.600", "0.250", "-", "0.500"],
        "fair & square": ["0.800", "0.250", "0.050", "0.500", *"----"],
        "constant predictor": ["0.500", "0.250", "0.000", "0.500"] * 2,
    }

    def plain(row):
        return [re.sub(r" \[.*\]", "", cell.strip()) for cell in row]

    lines = FORMATS["md"](table).splitlines()
    markdown = {row[0]: row[1:] for row in (plain(line.strip("|").split("|")) for line in lines[2:5])}
    assert markdown == wanted
    assert "0.900 [0.890, 0.910]" in lines[2]
    assert "test (intra) AUC" in lines[0]
    parser = Cells()
    parser.feed(FORMATS["html"](table))
    assert {row[0]: plain(row[1:]) for row in parser.rows[2:]} == wanted
    tex = [
        line.removesuffix(r" \\").replace(r"\_", "_").replace(r"\&", "\0").split("&")
        for line in FORMATS["tex"](table).splitlines()[6:9]
    ]
    assert {row[0].strip().replace("\0", "&"): plain(row[1:]) for row in tex} == wanted
    long = list(csv.DictReader(io.StringIO(FORMATS["csv"](table))))
    assert len(long) == 3 * 2 * 4
    value = json.loads(FORMATS["json"](table))
    for row in long:
        figure = (
            value["cells"][row["detector"]]
            .get(row["dataset"], {})
            .get(row["figure"], {"value": None})["value"]
        )
        assert row["value"] == ("" if figure is None else str(figure))


def test_command_writes_every_format(runs, tmp_path, capsys):
    words = [
        "table",
        *map(str, runs),
        "--name",
        "a",
        "--name",
        "b",
        "--out",
        str(tmp_path / "t"),
        "--gap",
        "F_MEO",
    ]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "| a | 0.900 [0.890, 0.910] | 0.250 | 0.500 |" in text
    assert sorted(path.suffix for path in (tmp_path / "t").iterdir()) == [
        ".csv",
        ".html",
        ".json",
        ".md",
        ".tex",
    ]
    assert (tmp_path / "t" / "table.md").read_text() == text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--gap", "F_FRP"], 2, "did you mean F_FPR"),
        (["--name", "a"], 2, "one of its own for each run"),
        (["--format", "xls"], 2, "format 'xls'"),
    ],
)
def test_wrong_arguments(runs, capsys, words, code, message):
    assert main(["table", *map(str, runs), *words]) == code
    assert message in capsys.readouterr().err


def test_runs_without_results(tmp_path, capsys):
    assert main(["table", str(tmp_path)]) == 3
    (tmp_path / "results.json").write_text("[]")
    assert main(["table", str(tmp_path)]) == 3
    assert "holds a list where an object belongs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "value",
    [
        {"datasets": {"test": {"utility": {"AUC": float("nan")}, "gaps": {}}}},
        {
            "datasets": {
                "test": {"utility": {"AUC": 0.5, "intervals": {"AUC": [0.4, float("nan")]}}, "gaps": {}}
            }
        },
        [],
        {},
        {"datasets": []},
        {"datasets": {"d": 3}},
        {"datasets": {"d": {"utility": []}}},
        {"datasets": {"d": {"gaps": 1}}},
        {"datasets": {"d": {"gaps": {"cell": {"F_FPR": "high"}}}}},
        {"datasets": {"d": {"utility": {"AUC": [1]}}}},
        {"datasets": {"d": {"utility": {"AUC": 0.5, "intervals": {"AUC": [1]}}}}},
        {"datasets": {"d": {"video": {"utility": 3}}}},
        {"datasets": {"d": {"utility": {"intervals": {"AUC": ["a", "b"]}}}}},
        {"datasets": {}, "constant_predictor": {"d": 1}},
    ],
)
def test_results_of_another_shape_are_named(tmp_path, capsys, value):
    (tmp_path / "results.json").write_text(json.dumps(value))
    assert main(["table", str(tmp_path / "results.json")]) == 3
    assert "results.json" in capsys.readouterr().err
