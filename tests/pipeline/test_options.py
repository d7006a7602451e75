"""Every option of every command changes what it names, or is refused with words: the typer tree against a
table.
"""

import dataclasses
import importlib
import inspect
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from manifests.errors import UserError
from pipeline.cli import build
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.stage import Stage
from tests.pipeline.option_table import ALONE, IN_A_RUN, Change, Plan, Refusal, Use
from tests.pipeline.option_table_av import AV
from tests.pipeline.option_table_tools import FACES, GENERATORS, LOOKS, SCORES

USES = [*IN_A_RUN, *ALONE, *LOOKS, *GENERATORS, *SCORES, *FACES, *AV]
ROOT = typer.main.get_command(build())


def commands(command: Any = ROOT, words: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every command of the tree by its words."""
    if not hasattr(command, "commands"):
        return {" ".join(words): command}
    return {
        name: one
        for word, inner in command.commands.items()
        for name, one in commands(inner, (*words, word)).items()
    }


def options(command: Any) -> list[str]:
    """The options of a command, each by its last positive name."""
    return [param.opts[-1] for param in command.params if param.param_type_name == "option"]


COMMANDS = commands()


def flat(value: Any, path: str) -> dict[str, Any]:
    """A value as leaves by path: of models, dataclasses, dictionaries, runs and reporters."""
    if isinstance(value, RunDirectory):
        return {f"{path}.root": str(value.root), **flat(value.config, f"{path}.config")}
    if inspect.ismethod(value):
        value = value.__self__
    if isinstance(value, Reporter):
        return {f"{path}.quiet": value.quiet}
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    elif dataclasses.is_dataclass(value):
        value = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {
            leaf: one for key, inner in value.items() for leaf, one in flat(inner, f"{path}.{key}").items()
        }
    if isinstance(value, list | tuple):
        return {path: [one.name if isinstance(one, Stage) else _leaf(one) for one in value]}
    return {path: _leaf(value)}


def _leaf(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return value if isinstance(value, int | float | bool | dict | None) else str(value)


class Spy:
    """Runs commands with their working functions replaced; what these were given is kept."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp: Path
    ) -> None:
        self.patch, self.capsys, self.tmp = monkeypatch, capsys, tmp
        self.config = tmp / "other.toml"
        self.seen: dict[str, Any] = {}

    def watch(self, target: str, returns: Any) -> None:
        module, name = target.rsplit(".", 1)
        signature = inspect.signature(getattr(importlib.import_module(module), name))

        def called(*values: Any, **named: Any) -> Any:
            for parameter, value in signature.bind(*values, **named).arguments.items():
                self.seen.update(flat(value, f"{name}.{parameter}"))
            self.seen.setdefault(f"{name} was called", True)
            return returns

        self.patch.setattr(target, called)

    def call(self, use: Use, words: str) -> dict[str, Any]:
        """What the use's functions are given, and what is printed."""
        self.seen = {}
        line = f"{use.command} {use.words} {words}".format(tmp=self.tmp, config=self.config)
        ROOT.main(shlex.split(line), standalone_mode=False)
        streams = self.capsys.readouterr()
        self.seen["stderr"] = streams.err
        return self.seen


@pytest.fixture
def spy(monkeypatch, capsys, tmp_path) -> Spy:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("pipeline.engine.runner.output_of", lambda run, name: Path("made"))
    monkeypatch.setattr(
        "pipeline.commands.evaluate.table_formats.FORMATS",
        {name: lambda made, name=name: name for name in ("md", "csv")},
    )
    monkeypatch.setattr("pipeline.commands.evaluate.table_formats.as_value", lambda made: {})
    found = Spy(monkeypatch, capsys, tmp_path)
    found.config.write_text('[run]\nname = "other"\nseed = 77\n')
    found.watch("pipeline.cli.options.emit", None)
    return found


def prepared(spy: Spy, use: Use) -> None:
    for target in use.works:
        spy.watch(target, {} if target.endswith("run_stages") else use.returns)
    for target in use.plans:
        spy.watch(target, [] if target == "pipeline.engine.runner.plan" else ([], "text"))


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.command} {use.words}".strip())
def test_each_option_changes_what_it_names_or_is_refused(use: Use, spy: Spy):
    prepared(spy, use)
    for option, entry in use.entries.items():
        if isinstance(entry, Refusal):
            with pytest.raises(UserError) as caught:
                spy.call(use, entry.words)
            assert caught.value.exit_code == 2
            assert entry.why in f"{caught.value} {caught.value.fix}", option
            assert not any(name.endswith("was called") for name in spy.seen), option
        elif isinstance(entry, Plan):
            seen = spy.call(use, entry.words)
            assert f"{entry.instead} was called" in seen
            assert not any(f"{target.rsplit('.', 1)[1]} was called" in seen for target in use.works)
            assert "emit was called" in seen
        else:
            changed(spy, use, option, entry)


def changed(spy: Spy, use: Use, option: str, entry: Change) -> None:
    """Whether the option makes just the differences of its entry; None stands for any other value."""
    before = spy.call(use, entry.beside)
    after = spy.call(use, f"{entry.beside} {entry.words}")
    different = {path: after.get(path) for path in {*before, *after} if before.get(path) != after.get(path)}
    lines = {path: value for path, value in different.items() if path != "stderr" or "stderr" in entry.values}
    calls = {path for path in lines if path.endswith("was called")} if option == "--check" else set()
    if option == "--check":
        assert calls == {"import_dataset was called", "check_layout was called"}
        return
    expected = {
        path: value.format(tmp=spy.tmp) if isinstance(value, str) else value
        for path, value in entry.values.items()
    }
    if any(
        path.startswith("run_stages.") for path in expected
    ):  # the run's folder and its last output are printed too
        lines = {
            path: value for path, value in lines.items() if not path.startswith("emit.") or path in expected
        }
    assert set(lines) == set(expected), option
    for path, value in expected.items():
        if path == "stderr":
            assert value in lines[path]
        elif value is not None:
            assert lines[path] == value, option


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_an_entry(name: str):
    known = {option for use in USES if use.command == name for option in use.entries}
    assert known >= set(options(COMMANDS[name])), "add the option to tests/pipeline/option_table*.py"
    assert known <= set(options(COMMANDS[name])), "the table has an option that the command has not"


def test_an_option_that_is_dropped_would_be_seen(spy: Spy, monkeypatch):
    """The table's own test: a command that forgets a flag fails."""
    use = next(use for use in USES if use.command == "fit-cells")
    prepared(spy, use)
    monkeypatch.setattr("pipeline.cli.options.Shared.assignments", lambda self: self.sets)
    with pytest.raises(AssertionError):
        changed(spy, use, "--limit", use.entries["--limit"])


@pytest.mark.parametrize(
    "name", [name for name, command in COMMANDS.items() if "--device" in options(command)]
)
@pytest.mark.parametrize(("device", "code"), [("cuda", 3), ("cuda:7", 3), ("gpu", 2)])
def test_a_device_that_is_not_here_is_refused_by_every_command(name, device, code, spy: Spy, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    use = next(use for use in USES if use.command == name and "--device" in use.entries)
    prepared(spy, use)
    with pytest.raises(UserError, match=f"device '{device}'") as caught:
        spy.call(use, f"--device {device}")
    assert caught.value.exit_code == code
    assert not any(path.endswith("was called") for path in spy.seen)
