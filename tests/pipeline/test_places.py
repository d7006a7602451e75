"""The typer tree: no command works before it knows that it can write; no number is without limits; writers
are alone.
"""

import ast
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import UsageError
from manifests.locks import writing_alone
from pipeline.__main__ import main
from tests.manifests.manifest_rows import drawn_set
from tests.pipeline.test_options import COMMANDS, ROOT

WRITTEN = {"--out", "--heatmap", "--plots", "--track"}
"""Options that name what a command writes."""
FILES = {
    "attributes --out",
    "contact-sheet --out",
    "detector-card --out",
    "export-onnx --out",
    "generator-metrics --out",
    "generators average --out",
    "identities --out",
    "identity-index --out",
    "measure-looks --out",
    "verification-policy --out",
}
"""Those of them that name a file; the others name a folder, or `forge --out` either."""
HERE = Path(__file__).parents[2]


def walked(names: set[str]) -> list[tuple[str, Any]]:
    """Every option of these names, with its command."""
    return [
        (command, param)
        for command, one in COMMANDS.items()
        for param in one.params
        if names & set(param.opts)
    ]


def line(command: str, option: str, value: str) -> list[str]:
    """A command line that has what is required, and this option."""
    needed = [
        word
        for param in COMMANDS[command].params
        if param.required and option not in param.opts
        for word in ([param.opts[0], "16"] if param.param_type_name == "option" else ["16"])
    ]
    return [*command.split(), *needed, option, value]


@pytest.mark.parametrize(("command", "param"), walked(WRITTEN), ids=lambda one: getattr(one, "name", one))
def test_a_place_where_nothing_can_be_written_is_refused_at_once(
    command: str,
    param: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere/x")
    (tmp_path / "loop").symlink_to("loop")
    option = param.opts[0]
    places = ["file/x", "/dev/null/x", "n" * 300, "d/" * 3000 + "x", "loop/x", "loop"]
    if f"{command} {option}" in FILES:
        places += ["folder"]
    elif command != "forge":
        places += ["file", "dangling"]
    for place in places:
        value = f"tensorboard:{place}" if option == "--track" else place
        with pytest.raises(UsageError, match="is no place for it"):
            ROOT.main(line(command, option, value), standalone_mode=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file", "folder", "loop"]


def kind(param: Any) -> Any:
    """The type of an option's value."""
    return param.type_descriptor.annotation


def numbers() -> list[tuple[str, Any]]:
    """Every number of the command line."""
    return [
        (command, param)
        for command, one in COMMANDS.items()
        for param in one.params
        if kind(param) in (int, float)
    ]


@pytest.mark.parametrize(("command", "param"), numbers(), ids=lambda one: getattr(one, "name", one))
def test_every_number_of_the_command_line_has_limits(
    command: str,
    param: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    assert param.min is not None
    assert param.max is not None
    monkeypatch.chdir(tmp_path)
    values = (
        ["1e30", "nan", "inf", "-inf"]
        if kind(param) is float
        else [str(param.max + 1), str(param.min - 1), "9" * 5000]
    )
    for value in values:
        with pytest.raises(Exception, match=r"Input should be|Unable to parse") as caught:
            ROOT.main(
                [*line(command, param.opts[0], value)[:-2], f"{param.opts[0]}={value}"], standalone_mode=False
            )
        assert param.opts[0] in caught.value.format_message()
    assert list(tmp_path.iterdir()) == []


ALONE = ("writing_alone", "in_turn", "locked")
"""Whoever holds one of these is the only writer of a folder."""
CALLED_ALONE = {"pipeline/engine/runner.py:_finish", "attribute_models/training/fitting.py:__init__"}
"""Called by those who do."""


def test_what_others_write_is_removed_by_nobody_but_the_only_writer():
    """Two trainings, evaluations or imports into one folder would take each other's half-written files for
    leftovers.
    """
    alone, others = set(), set()
    for package in ("manifests", "nn", "generators", "attribute_models", "detector", "pipeline"):
        for path in sorted((HERE / package).rglob("*.py")):
            text = path.read_text()
            functions = ast.walk(ast.parse(text)) if "drop_temporaries(" in text else ()
            for function in functions:
                if not isinstance(function, ast.FunctionDef) or function.name == "drop_temporaries":
                    continue
                held = [
                    node
                    for block in ast.walk(function)
                    if isinstance(block, ast.With)
                    and any(word in ast.unparse(item) for item in block.items for word in ALONE)
                    for node in ast.walk(block)
                ]
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and ast.unparse(node.func) == "drop_temporaries":
                        (alone if node in held else others).add(f"{path.relative_to(HERE)}:{function.name}")
    assert others == CALLED_ALONE
    assert len(alone) >= 7


def test_a_second_process_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Whoever trains, evaluates, exports or gathers where another process does ends with words, and changes
    nothing.
    """
    drawn_set(tmp_path / "set", per_cell=2, size=16, methods={"none": "none", "swap-a": "swap"})
    drawn_set(tmp_path / "reals", per_cell=2, size=16, methods={"none": "none"})
    sets = ["--set", "train.input_size=32", "--set", "train.epochs=1", "--set", "train.batch=4"]
    commands = {
        "train": ["train", "--manifest", "set", *sets],
        "gather": ["gather", "reals"],
        "export": ["export", "imagefolder", "set"],
        "evaluate": ["evaluate", "--checkpoint", "photographs", "--manifest", "set", "--replicates", "0"],
    }
    monkeypatch.chdir(tmp_path)
    with writing_alone(tmp_path / "out"):  # a lock of another handle: as another process would hold it
        for name, words in commands.items():
            assert main([*words, "--out", "out"]) == 2, name
            assert "another process is writing here" in capsys.readouterr().err, name
        assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_stayed_empty_goes(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError), writing_alone(tmp_path / "a"):
        raise UsageError("x", "y", "z")
    with writing_alone(tmp_path / "b"), writing_alone(tmp_path / "mine"):
        (tmp_path / "b" / "file").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "mine"]
