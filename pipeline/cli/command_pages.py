"""The command reference: every command with its arguments and options, as Markdown, out of the typer tree."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pipeline.cli.app import build

HEAD = """# Commands

Every command, argument and option, as the program knows them. This page is made from the program when the site is built;
`fairforge COMMAND --help` prints the same. What commands read and write, and what their exit codes mean, is in the
[guide](guide.md).

`fairforge --install-completion` teaches the shell (bash, zsh, fish, PowerShell) to complete commands and options;
`fairforge --show-completion` prints what it would add.
"""
NAMES = {Path: "PATH", int: "INTEGER", float: "NUMBER", str: "TEXT"}


def tree() -> Any:
    """The click group of the whole program."""
    import typer

    return typer.main.get_command(build())


def commands(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its words, `run` or `config show`, in the order of `--help`."""
    command = command if command is not None else tree()
    if not hasattr(command, "commands"):
        yield " ".join(words), command
        return
    for word, inner in command.commands.items():
        yield from commands(inner, (*words, word))


def _cell(text: str) -> str:
    """Text inside a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _annotation(param: Any) -> Any:
    """The Python type of one value of a parameter; typer before 0.26 keeps a click type instead."""
    descriptor = getattr(param, "type_descriptor", None)
    annotation = descriptor.annotation if descriptor is not None else str
    while get_args(annotation) and not isinstance(annotation, type):
        annotation = get_args(annotation)[0]
    return get_args(annotation)[0] if get_args(annotation) else annotation


def _kind(param: Any) -> str:
    """What an option takes; nothing for a flag."""
    if getattr(param, "is_flag", False):
        return ""
    annotation = _annotation(param)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        words = ", ".join(str(one.value) for one in annotation)
    else:
        words = NAMES.get(annotation, "TEXT")
    low, high = getattr(param, "min", None), getattr(param, "max", None)
    if low is not None or high is not None:
        words += f" from {low}" if high is None else f" up to {high}" if low is None else f", {low} to {high}"
    return words


def _default(param: Any) -> str:
    value = param.default
    if param.required:
        return "required"
    if (
        value is None
        or value is False
        or callable(value)
        or value in ((), [])
        or "Sentinel" in type(value).__name__
    ):
        return ""
    value = value.value if isinstance(value, enum.Enum) else value
    return f"`{' '.join(map(str, value)) if isinstance(value, list | tuple) else value}`"


def _usage(words: str, command: Any) -> str:
    arguments = []
    for param in command.params:
        if param.param_type_name == "argument":
            name = (param.metavar or param.name or "").upper().rstrip(".") + (
                "..." if param.nargs == -1 else ""
            )
            arguments.append(name if param.required else f"[{name}]")
    return " ".join(
        ["fairforge", words, *(["[OPTIONS]"] if len(command.params) > len(arguments) else []), *arguments]
    )


def rows_of(command: Any) -> list[tuple[str, str, str, str]]:
    """(name, what it takes, default, meaning) of each argument and option of a command."""
    found = []
    for param in command.params:
        argument = param.param_type_name == "argument"
        name = (param.name or "").upper() if argument else ", ".join([*param.opts, *param.secondary_opts])
        several = param.nargs == -1 or getattr(param, "multiple", False)
        kind = _kind(param) + (" (several)" if several and not argument else "")
        found.append((name, kind, _default(param), param.help or ""))
    return found


def as_markdown() -> str:
    """The whole page."""
    parts = [HEAD]
    for words, command in commands():
        parts += [f"## {words}\n", (command.help or "").strip() + "\n", f"    {_usage(words, command)}\n"]
        rows = rows_of(command)
        if rows:
            parts.append("| argument or option | takes | default | meaning |\n|---|---|---|---|")
            parts += [f"| `{name}` | {' | '.join(map(_cell, others))} |" for name, *others in rows]
        parts.append("")
    return "\n".join(parts)
