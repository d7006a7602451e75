"""A configuration that begins with another file's values."""

from pathlib import Path

import pytest

from manifests.errors import MissingError, UsageError
from pipeline.engine.config_file import DEEPEST, load_config


def write(folder: Path, **files: str) -> Path:
    """The files by name, with their text; the first one's path."""
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/')}.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return folder / f"{next(iter(files)).replace('__', '/')}.toml"


def test_tables_are_merged_and_all_else_is_replaced_whole(tmp_path: Path):
    base = """
        [run]
        name = "base"
        seed = 5
        [forge]
        methods = ["swap-delaunay", "blend-self"]
        held_out = []
        [forge.params.blend-self]
        hue = 1.0
        bend = [0.0, 0.1]
    """
    own = """
        extends = "base.toml"
        [run]
        seed = 6
        [forge]
        methods = ["blend-self"]
        [forge.params.blend-self]
        bend = [0.0, 0.2]
    """
    config = load_config(write(tmp_path, own=own, base=base), ["run.name=said"])
    assert (config.run.name, config.run.seed) == ("said", 6)
    assert config.forge.methods == ("blend-self",)
    assert config.forge.held_out == ()
    assert config.forge.params == {"blend-self": {"hue": 1.0, "bend": [0.0, 0.2]}}


def test_each_path_is_meant_from_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = write(
        tmp_path,
        below__first='extends = "../second.toml"\n[train]\nepochs = 3\n',
        second='extends = "below/third.toml"\n[train]\nepochs = 4\nbatch = 8\n',
        below__third="[train]\nlr = 0.5\nbatch = 16\n",
    )
    monkeypatch.chdir("/")
    train = load_config(first).train
    assert (train.epochs, train.batch, train.lr) == (3, 8, 0.5)


def test_a_shipped_configuration_can_be_extended_and_is_found_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shipped = Path(__file__).parents[2] / "configs"
    own = write(tmp_path, own=f'extends = "{shipped}/demo.toml"\n[run]\nname = "mine"\n')
    assert load_config(own) == load_config(shipped / "demo.toml", ["run.name=mine"])
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("configs/online-bent.toml")) == load_config(shipped / "online-bent.toml")


@pytest.mark.parametrize("value", ["7", "[]", "['a.toml']", "''", "'  '", "{a = 1}", '"a\\u0000b"', "true"])
def test_what_is_no_path_is_refused(tmp_path: Path, value: str):
    with pytest.raises(UsageError, match=r"own\.toml.*extends = .* is no path"):
        load_config(write(tmp_path, own=f"extends = {value}\n"))


def test_files_that_extend_each_other_are_refused(tmp_path: Path):
    first = write(tmp_path, a='extends = "b.toml"\n', b='extends = "./c.toml"\n', c='extends = "a.toml"\n')
    with pytest.raises(UsageError, match=r"extends itself: .*a\.toml -> .*b\.toml -> .*c\.toml -> .*a\.toml"):
        load_config(first)
    with pytest.raises(UsageError, match="extends itself"):
        load_config(write(tmp_path, own='extends = "own.toml"\n'))


def test_a_file_that_is_missing_or_broken_is_named_with_who_extends_it(tmp_path: Path):
    with pytest.raises(MissingError, match=r"no\.toml: is not there, and .*own\.toml extends it"):
        load_config(write(tmp_path, own='extends = "no.toml"\n'))
    with pytest.raises(UsageError, match=r"bad\.toml.*line 2"):
        load_config(write(tmp_path, own='extends = "bad.toml"\n', bad="\n[run\n"))


def test_wrong_keys_of_either_file_come_in_one_error(tmp_path: Path):
    own = write(tmp_path, own='extends = "base.toml"\n[run]\nsed = 1\n', base="[train]\nepoch = 3\n")
    with pytest.raises(UsageError) as caught:
        load_config(own)
    text = str(caught.value)
    assert "run.sed" in text
    assert f"{own} (extends {tmp_path}/base.toml): train.epoch" in text


def test_extends_is_no_section_and_no_set(tmp_path: Path):
    with pytest.raises(UsageError, match="extends"):
        load_config(sets=["extends=demo.toml"])
    with pytest.raises(UsageError, match=r"run\.extends"):
        load_config(write(tmp_path, own='[run]\nextends = "base.toml"\n'))


def test_tables_deeper_than_any_key_are_refused_and_not_followed(tmp_path: Path):
    deep = ".".join(["a"] * 3000) + " = 1\n"
    own = write(tmp_path, own=f'extends = "base.toml"\n{deep}', base=deep)
    with pytest.raises(UsageError, match=f"nested more than {DEEPEST} levels"):
        load_config(own)
