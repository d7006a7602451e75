r"""What comes from files is shown and never acts: a terminal, Markdown, CSV, LaTeX and HTML,
through one function each."""

import ast
import csv
import io
import json
from pathlib import Path

import pytest

from manifests.errors import DataError
from manifests.escaping import (
    csv_text,
    latex,
    markdown,
    markdown_code,
    markdown_table,
    multiline,
    one_line,
    printable,
)
from manifests.skipped import write_skipped
from pipeline import __main__ as command
from pipeline.commands.evaluate.table import cross_table
from pipeline.commands.evaluate.table_formats import FORMATS
from pipeline.engine.progress import Reporter
from pipeline.report.markup import tag, text
from pipeline.stages.evaluate.score_reports import entry_text, table_text

ROOT = Path(__file__).parents[2]
ESC = "\x1b[31m\x1b]0;title\x07"
FORGED = (
    f"a{ESC}\nerror: forged"
    " line\r\x9b2J\u202egnp.\u2066\u2028|<script>alert(1)</script>\\input{private}`x`[l](javascript:x)"
)
FORMULAS = ["=cmd|'/C calc'!A0", "+1+cmd", "-1+1", "@SUM(A1)", " =1", "\t=1", "\r=1", "=1"]
ACTING = ("\x1b", "\x07", "\r", "\x9b", "\u202e", "\u2066", "\u2028", "\0")


def harmless(shown):
    """No control character or mark of direction; nothing on a line of its own that a name forged."""
    assert [mark for mark in ACTING if mark in shown] == []
    assert "\nerror: forged" not in shown


def test_one_function_per_medium():
    assert one_line("é ü 漢 a_b-c.png") == "é ü 漢 a_b-c.png"
    assert one_line("a\x1b\n\u202e") == r"a\x1b\n\u202e"
    assert multiline("a\n\tb\x1b") == "a\n\tb\\x1b"
    assert printable("caf\udce9.jpg") == r"caf\xe9.jpg"
    assert markdown("a|b<i>`c`") == r"a\|b\<i>\`c\`"
    assert markdown("![x](http://y)") == r"![x]\(http://y)"
    assert markdown(r"a\|b") == r"a\\\|b"
    assert markdown("0.9 [0.8, 1.0]") == "0.9 [0.8, 1.0]"
    assert markdown_code("a`b\n") == r"`a'b\n`"
    assert (
        latex("\\input{x} 50% a_b #$&~^")
        == r"\textbackslash{}input\{x\} 50\% a\_b \#\$\&\textasciitilde{}\textasciicircum{}"
    )
    assert markdown_table(["a", "b"], [["x|y", 1]], "---:") == [
        "| a | b |",
        "| --- | ---: |",
        r"| x\|y | 1 |",
    ]
    for function in (one_line, markdown, markdown_code, latex, csv_text):
        harmless(function([[FORGED]] if function is csv_text else FORGED))
    for function in (multiline, text):
        harmless(function(FORGED).replace("\n", " "))


def test_numbers_stay_numbers_in_csv_and_formulas_become_texts():
    made = csv_text([[-0.5, 1, None, "-0.5", "+3", "1e-9", "-inf", "-", "a-b", *FORMULAS, "a\nb"]])
    (row,) = csv.reader(io.StringIO(made))
    assert row[:9] == ["-0.5", "1", "", "-0.5", "+3", "1e-9", "-inf", "'-", "a-b"]
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in row[9:])
    assert row[-1] == r"a\nb"
    assert made.count("\n") == 1


def results(tmp_path):
    entry = {"scope": FORGED, "utility": {"AUC": 0.9, "EER": 0.1}, "gaps": {}}
    value = {
        "detector": FORMULAS[0],
        "datasets": {FORGED: entry, "b": {**entry, "scope": r"cross}\input{private.txt}{"}},
    }
    (tmp_path / "results.json").write_text(json.dumps(value))
    return tmp_path / "results.json"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_a_table(tmp_path, name):
    made = FORMATS[name](cross_table([results(tmp_path)]))
    harmless(made.replace("\n", " ") if name == "html" else made)
    if name == "html":
        assert "<script" not in made
    if name == "tex":
        assert "\\input" not in made
    if name == "csv":
        assert all(not cell.startswith("=") for row in csv.reader(io.StringIO(made)) for cell in row)
    if name == "md":
        lengths = {line.replace(r"\|", "").count("|") for line in made.split("\n") if line.startswith("|")}
        assert len(lengths) == 1


def test_the_command_table(tmp_path, capsys):
    assert command.main(["table", str(results(tmp_path)), "--out", str(tmp_path / "t")]) == 0
    harmless(capsys.readouterr().out)
    for path in (tmp_path / "t").iterdir():
        harmless(path.read_text().replace("\n", " "))


def test_lines_of_the_reporter_and_of_errors(capsys, monkeypatch):
    reporter = Reporter()
    reporter.line(f"read {FORGED}")
    reporter.warning(FORGED)
    with reporter.work(FORGED, 10):
        pass
    shown = capsys.readouterr().err
    assert shown.count("\n") == 2
    harmless(shown)

    def build():
        def fails(**_):
            import warnings

            from manifests.errors import DataWarning

            warnings.warn(DataWarning(FORGED), stacklevel=1)
            raise DataError(FORGED, f"is not whole: {FORGED}", f"fetch {FORGED}")

        return fails

    monkeypatch.setattr("pipeline.cli.build", build)
    assert command.main([]) == 3
    lines = capsys.readouterr().err.split("\n")
    assert sum(line.startswith("error:") for line in lines) == 1
    assert sum(line.startswith("fix:") for line in lines) == 1
    harmless("\n".join(lines))


def test_text_of_commands(tmp_path, monkeypatch, capsys):
    import tomli_w

    entry = {"file": "m.safetensors", "sha256": "00", "kind": "generator", "licence": FORGED, "data": FORGED}
    (tmp_path / "weights.toml").write_text(tomli_w.dumps({"mine": entry}))
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path))
    for arguments in (["weights", "list"], ["list", "generators"]):
        assert command.main(arguments) == 0
        out = capsys.readouterr().out
        assert "forged line" in out
        harmless(out)
    rows = [f'{k},{k % 2},{k % 7 / 7},"{FORGED}",g{k % 2}' for k in range(20)]
    (tmp_path / "s.csv").write_text("\n".join(["image_id,label,score,dataset,race", *rows]), newline="")
    assert command.main(["fairness", str(tmp_path / "s.csv"), "--group", "race", "--replicates", "0"]) == 0
    harmless(capsys.readouterr().out)


def test_tables_of_text_and_lists_of_what_was_left_out(tmp_path):
    entry = {
        "utility": {"n": 1, "AUC": 0.5, "EER": 0.5, "ACC": 0.5, "TPR": 0.5, "FPR": 0.5},
        "gaps": {FORGED: {"F_FPR": 0.1}},
    }
    harmless(entry_text(FORGED, entry, [FORGED]))
    assert table_text(["a"], [[FORGED]]).count("\n") == 2
    write_skipped(tmp_path / "skipped.csv", [(FORGED, FORGED), (FORMULAS[0], "x")])
    rows = list(csv.reader(io.StringIO((tmp_path / "skipped.csv").read_text())))
    assert [row[0][:2] for row in rows] == ["ke", "a\\", "'="]
    harmless((tmp_path / "skipped.csv").read_text())


def test_html_shows_control_characters():
    made = tag("p", FORGED, title=FORGED)
    assert "<script" not in made
    assert not any(mark in made for mark in ACTING)


SINKS = {
    "pipeline.__main__",
    "pipeline.cli.options",
    "pipeline.cli.forge_command",
    "pipeline.engine.progress",
    "pipeline.engine.executors.ray_pool",
    "pipeline.commands.site.building",
}
"""The modules that write to a terminal; each escapes what it writes."""
SCRIPTS = {"pipeline.commands.look.fiftyone_script"}
"""Copied beside an explorer's files and run there, without this program: it prints the number of a port."""


def _writes(node):
    """Whether a call writes to a terminal."""
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    return called in ("print", "typer.echo", "click.echo", "typer.secho") or called.endswith(
        ("stdout.write", "stderr.write", "console.print", "stdout.buffer.write")
    )


def test_nothing_else_writes_to_a_terminal_and_each_sink_escapes():
    found = {}
    for folder in ("manifests", "nn", "generators", "attribute_models", "detector", "pipeline"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            module, source = ".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text()
            if not any(word in source for word in ("print(", "echo(", "std", "write(")):
                continue
            calls = [node for node in ast.walk(ast.parse(source)) if _writes(node)]
            if calls:
                found[module] = [ast.unparse(call) for call in calls]
    assert set(found) == SINKS | SCRIPTS
    assert [found.pop(script) for script in SCRIPTS] == [
        ["print(f'FiftyOne: http://localhost:{arguments.port}', flush=True)"]
    ]
    for module, calls in found.items():
        for call in calls:
            assert (
                "one_line(" in call
                or "multiline(" in call
                or "INTERRUPTED" in call
                or "join([f'{what}" in call
                or ("json.dumps(" in call and "ensure_ascii" not in call)  # escapes control characters itself
            ), (module, call)
