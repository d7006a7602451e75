"""Configuration: every error at once, with key, value, what is allowed, and the nearest key."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from manifests.errors import MissingError, UsageError
from pipeline.config import Config, DatasetSection
from pipeline.config_file import dump_config, load_config, parse_set


def test_all_errors_come_at_once_with_the_nearest_key():
    with pytest.raises(UsageError) as caught:
        load_config(sets=["run.sed=1", "sample.psi=9", "train.epoch=3", "pair.codec=gif"])
    text = str(caught.value)
    assert "4 errors" in text
    assert "run.sed = 1: unknown key; did you mean seed?" in text
    assert "sample.psi = 9" in text
    assert "train.epoch = 3: unknown key; did you mean epochs?" in text
    assert "'jpeg', 'webp' or 'png'" in text
    assert caught.value.exit_code == 2


def test_file_then_set_in_order(tmp_path: Path):
    file = tmp_path / "a.toml"
    file.write_text('[run]\nname = "x"\nseed = 5\n')
    config = load_config(file, ["run.seed=6", "run.seed=7"])
    assert (config.run.name, config.run.seed) == ("x", 7)


def test_dump_and_load_are_inverse(tmp_path: Path):
    config = load_config(sets=["dataset.per_cell=9", 'forge.params.swap-delaunay.x=1', "train.epochs=2"])
    file = tmp_path / "c.toml"
    file.write_text(dump_config(config))
    assert load_config(file) == config
    assert tomllib.loads(dump_config(Config()))["run"]["seed"] == 2026


@pytest.mark.parametrize(("text", "expected"), [
    ("a.b=1", (["a", "b"], 1)), ("a=0.5", (["a"], 0.5)), ("a=true", (["a"], True)), ("a=word", (["a"], "word")),
    ('a=["x", "y"]', (["a"], ["x", "y"])), ("a=x=y", (["a"], "x=y")),
])
def test_parse_set(text, expected):
    assert parse_set(text) == expected


@pytest.mark.parametrize("text", ["a.b", "=1", ""])
def test_parse_set_refuses(text):
    with pytest.raises(UsageError, match=r"section\.key=value"):
        parse_set(text)


def test_set_through_a_value_is_refused():
    with pytest.raises(UsageError, match="is a value"):
        load_config(sets=["run.seed=1", "run.seed.x=2"])


def test_missing_and_broken_files(tmp_path: Path):
    with pytest.raises(MissingError):
        load_config(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("[run\n")
    with pytest.raises(UsageError, match="line 1"):
        load_config(tmp_path / "bad.toml")


def test_frozen_and_cross_field_rules():
    with pytest.raises(ValidationError):
        Config().run.seed = 3
    with pytest.raises(ValidationError, match=r"sum to 0\.9"):
        DatasetSection(splits={"train": 0.9})
    with pytest.raises(UsageError, match="held out at once"):
        load_config(sets=['forge.held_out=["blend-self"]'])
    with pytest.raises(UsageError, match="lower quality"):
        load_config(sets=["pair.quality=[90, 80]"])
    with pytest.raises(UsageError, match="unknown taxonomy"):
        load_config(sets=["dataset.taxonomy=fairface9"])


def test_demo_config_is_valid():
    config = load_config(Path(__file__).parents[2] / "configs" / "demo.toml")
    assert config.dataset.per_cell >= 40
    assert len(config.forge.methods) + len(config.forge.held_out) >= 3


def test_a_release_has_no_date_unless_one_is_given():
    assert Config().release.date == ""
