"""Every command, option and key is documented, and every command line in a document is one that the program
knows.
"""

import re

import pytest

from pipeline.cli.command_pages import as_markdown, commands, rows_of
from pipeline.commands.config_reference import keys
from tests.documents.command_lines import ROOT, Line, all_lines

COMMANDS = dict(commands())
PAGE = as_markdown()
PROSE = {
    path: path.read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.md")
    if "adr" not in path.parts
}
WRITTEN = "\n".join(PROSE.values()) + (ROOT / "README.md").read_text(encoding="utf-8")
LEFT_OUT = {"...", "COMMAND", "KIND"}
"""Words that stand for others in a line that is an example of a form."""


def command_of(words: list[str]) -> tuple[str, list[str]]:
    """The command that words begin with, and the words after it."""
    for many in (2, 1):
        if " ".join(words[:many]) in COMMANDS:
            return " ".join(words[:many]), words[many:]
    return "", words


def faults_of(line: Line) -> list[str]:
    """What is wrong with a command line: an unknown command or option, an argument that is missing, a value
    where none belongs.
    """
    words = [word for word in line.words() if word.strip()]
    if "[" in line.text:  # the part in brackets may be left out
        words = Line(line.document, re.sub(r"\[(-[^\]]*)\]", r"\1", line.text), line.whole).words()
    if (
        words[0].startswith("--")
        or any(word.strip("[]") in LEFT_OUT or word.endswith("|") for word in words)
        or "|" in line.text
    ):
        return []
    name, rest = command_of(words)
    if not name:
        group = any(known.startswith(f"{words[0]} ") for known in COMMANDS)
        return [] if group and not line.whole else [f"no command {' '.join(words[:2])}"]
    options = {
        opt: param
        for param in COMMANDS[name].params
        for opt in (*param.opts, *param.secondary_opts)
        if param.param_type_name == "option"
    }
    wrong, given, at = [], 0, 0
    while at < len(rest):
        word, _, value = rest[at].partition("=")
        if not word.startswith("--"):
            given += 1
        elif word == "--help":
            return []
        elif word not in options:
            wrong.append(f"{name} has no {word}")
        elif not options[word].is_flag and not value:
            at += options[word].nargs
            if line.whole and at >= len(rest):
                wrong.append(f"{word} lacks its value")
        at += 1
    needed = [
        param for param in COMMANDS[name].params if param.param_type_name == "argument" and param.required
    ]
    if line.whole and given < len(needed):
        wrong.append(f"{name} needs {', '.join(param.name for param in needed)}")
    most = [param for param in COMMANDS[name].params if param.param_type_name == "argument"]
    if given > len(most) and not any(param.nargs == -1 for param in most):
        wrong.append(f"{name} takes {len(most)} arguments, not {given}")
    return wrong


def test_command_lines_of_documents_are_ones_that_the_program_knows():
    lines = all_lines()
    assert sum(line.whole for line in lines) > 60
    assert len({line.document for line in lines}) > 12
    assert [f"{line.document}: {line.text}: {fault}" for line in lines for fault in faults_of(line)] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("fairforge trian --out runs/demo", "no command trian"),
        ("fairforge train --epoch 3", "train has no --epoch"),
        ("fairforge inspect --out runs/demo", "inspect needs image_id"),
        ("fairforge doctor now", "doctor takes 0 arguments, not 1"),
        ("fairforge report --out", "--out lacks its value"),
    ],
)
def test_a_wrong_command_line_would_be_found(text, fault):
    assert any(fault in found for found in faults_of(Line("x", text, True)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_reference_and_in_a_page_that_explains_it(name: str):
    assert f"\n## {name}\n" in PAGE
    assert len(COMMANDS[name].help or "") > 15
    assert re.search(
        rf"(?<![\w-])(fairforge|`){name.replace(' ', '[ `]+')}(?![\w-])|fairforge {name}(?![\w-])", WRITTEN
    ), f"name `fairforge {name}` in a page of docs: what it is for, and an example"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_says_what_it_means(name: str):
    section = PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    for option, _, _, meaning in rows_of(COMMANDS[name]):
        assert f"| `{option}` |" in section
        assert len(meaning) > 5, f"{name} {option} has no help"


def test_every_key_says_what_it_means_and_stands_in_the_reference():
    reference = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for key in keys():
        section, _, name = key.key.rpartition(".")
        assert len(key.meaning) > 5, f"{key.key} has no description"
        assert f"| `{name}` |" in reference.split(f"\n## [{section}]\n")[1].split("\n## [")[0], key.key
