"""Configuration: every error at once, with key, value, what is allowed, and the nearest key."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from detector.training.settings import TrainSettings
from manifests.errors import MissingError, UsageError
from pipeline.commands.config_reference import as_markdown, keys, tables
from pipeline.engine.config import Config, DatasetSection
from pipeline.engine.config_fakes import DEFAULT_METHODS
from pipeline.engine.config_file import dump_config, load_config, parse_set
from pipeline.engine.config_outcome import DEFAULT_AUDITS


def test_all_errors_come_at_once_with_the_nearest_key():
    with pytest.raises(UsageError) as caught:
        load_config(sets=["run.sed=1", "sample.psi=9", "train.epoch=3", "pair.codec=gif"])
    text = str(caught.value)
    assert "4 errors" in text
    assert "run.sed = 1: unknown key; did you mean seed?" in text
    assert "sample.psi = 9" in text
    assert "train.epoch = 3: unknown key; did you mean epochs or epoch_batches?" in text
    assert "'jpeg', 'webp' or 'png'" in text
    assert caught.value.exit_code == 2


def test_file_then_set_in_order(tmp_path: Path):
    file = tmp_path / "a.toml"
    file.write_text('[run]\nname = "x"\nseed = 5\n')
    config = load_config(file, ["run.seed=6", "run.seed=7"])
    assert (config.run.name, config.run.seed) == ("x", 7)


def test_dump_and_load_are_inverse(tmp_path: Path):
    config = load_config(
        sets=["dataset.per_cell=9", "forge.params.swap-delaunay.max_yaw_gap=0.2", "train.epochs=2"]
    )
    file = tmp_path / "c.toml"
    file.write_text(dump_config(config))
    assert load_config(file) == config
    assert tomllib.loads(dump_config(Config()))["run"]["seed"] == 2026


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=1", (["a", "b"], 1)),
        ("a=0.5", (["a"], 0.5)),
        ("a=true", (["a"], True)),
        ("a=word", (["a"], "word")),
        ('a=["x", "y"]', (["a"], ["x", "y"])),
        ("a=x=y", (["a"], "x=y")),
    ],
)
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


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "configs").glob("*.toml")), ids=lambda path: path.name
)
def test_every_configuration_of_the_repository_is_valid(path: Path):
    config = load_config(path)
    if path.stem in ("photographs", "both"):
        assert (config.sample.source, config.sample.photographs) == (path.stem, ("m/photos",))


def test_demo_config_is_valid():
    config = load_config(Path(__file__).parents[2] / "configs" / "demo.toml")
    assert config.dataset.per_cell >= 40
    assert len(config.forge.methods) + len(config.forge.held_out) >= 3


def test_a_release_has_no_date_unless_one_is_given():
    assert Config().release.date == ""


def keys_of(value: dict, path: str = "") -> set[str]:
    """Every key of a TOML document; tables whose keys are the user's own count as one key."""
    free = {key.key for key in keys() if key.type.startswith("table")} - set(sections())
    found = set()
    for name, inner in value.items():
        here = f"{path}.{name}" if path else name
        found |= keys_of(inner, here) if isinstance(inner, dict) and here not in free else {here}
    return found


def sections() -> list[str]:
    """The names of all tables with keys of their own, those inside sections too."""
    return [name for name, _ in tables()]


def test_a_resolved_configuration_has_every_key():
    wanted = {key.key for key in keys() if ".NAME." not in key.key} - set(sections())
    assert keys_of(tomllib.loads(dump_config(Config()))) == wanted
    assert {f"train.{name}" for name in TrainSettings.model_fields} <= wanted
    again = Config.model_validate(tomllib.loads(dump_config(Config())))
    assert again == Config()
    assert again.verify.model_dump() == Config().verify.model_dump(), (
        "written out or not, cache keys are the same"
    )


def test_every_key_has_a_meaning_a_type_and_its_default():
    assert len(keys()) > 130
    for key in keys():
        assert len(key.meaning) > 5, key.key
        assert key.meaning.endswith("."), key.key
        assert key.type, key.key
    by_name = {key.key: key for key in keys()}
    assert by_name["sample.psi"].type == "number in (0, 2]"
    assert by_name["pair.quality"].type == "[integer in [1, 100], integer in [1, 100]]"
    assert by_name["train.input_size"].type == "integer in [16, 1024] or auto"
    assert by_name["run.seed"].type == "integer in [0, 2^63)"
    assert by_name["train.stem_stride"].type == "one of 1, 2, 4 or auto"
    assert by_name["ablation.variants.NAME.data"].default == '"balanced"'


def test_no_docstring_says_again_what_a_field_says():
    """A meaning stands once, in the field: class docstrings do not list fields."""
    for _, model in tables():
        listed = [name for name in model.model_fields if f"{name}:" in (model.__doc__ or "")]
        assert not listed, f"{model.__name__}: {listed}"


def test_the_page_of_all_keys_is_that_of_the_models():
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text().rstrip() == as_markdown(keys()).rstrip(), (
        "run: fairforge config reference > docs/configuration.md"
    )


def test_errors_of_all_nested_tables_come_with_their_path():
    with pytest.raises(UsageError) as caught:
        load_config(
            sets=[
                "train.lr=-1",
                'ablation.variants.a.train={epoch=3, rho="x"}',
                "ablation.variants.a.dat=1",
                "ablation.variants.b.train={seed=1}",
                'ablation.shares={"White/Male"=-1}',
                "evaluate.threshold=val-err",
                "trian.lr=1",
            ]
        )
    text = str(caught.value)
    assert "train.lr = -1" in text
    assert "ablation.variants.a.train.epoch = 3: unknown key; did you mean epochs or epoch_batches?" in text
    assert "ablation.variants.a.train.rho = 'x'" in text
    assert "ablation.variants.a.dat = 1: unknown key; did you mean data?" in text
    assert "ablation.variants.b.train = {'seed': 1}: seed: not a variant's own" in text
    assert "ablation.shares.White/Male = -1" in text
    assert "evaluate.threshold = 'val-err': is not known" in text
    assert "trian = {'lr': 1}: unknown key; did you mean train" in text
    assert "8 errors" in text


def test_a_variant_is_checked_over_the_settings_it_changes():
    assert load_config(sets=["train.sampling=shuffle", "ablation.variants.a.train={batch=7}"])
    with pytest.raises(UsageError, match="batch must be even"):
        load_config(sets=["ablation.variants.a.train={batch=7}"])
    with pytest.raises(UsageError, match="batch must be even"):
        load_config(sets=["train.batch=7"])


def test_what_is_auto_is_none_and_is_written_as_auto():
    config = load_config(sets=["train.input_size=auto", "train.seed=auto", "train.stem_stride=2"])
    assert (config.train.input_size, config.train.seed, config.train.stem_stride) == (None, None, 2)
    assert tomllib.loads(dump_config(config))["train"]["input_size"] == "auto"
    with pytest.raises(UsageError, match=r"train\.batch"):
        load_config(sets=["train.batch=auto"])


def test_loading_leaves_its_base_as_it_is():
    base = {"run": {"seed": 4}}
    assert load_config(sets=["run.seed=5"], base=base).run.seed == 5
    assert base == {"run": {"seed": 4}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('forge.methods=["swap-delauney"]', ["forge.methods", "did you mean swap-delaunay"]),
        ('forge.held_out=["reenact"]', ["forge.held_out", "is not known"]),
        ("forge.params.swap-delaunay={fether=1}", ["forge.params", "fether", "Extra inputs"]),
        ("forge.params.swap={x=1}", ["forge.params", "did you mean swap-"]),
        ('audit.audits=["balanse"]', ["audit.audits", "did you mean balance"]),
        ("audit.params.shortcut={limit=-1}", ["audit.params", "shortcut"]),
        ("train.augment_params={blurr=1}", ["train.augment_params", "blurr"]),
        ("train.loss_params={lamda=1}", ["train = ", "lamda"]),
    ],
)
def test_tables_of_registered_things_are_checked_at_once(text: str, words: list[str]):
    with pytest.raises(UsageError) as caught:
        load_config(sets=[text, "run.sed=1"])
    assert "(2 errors)" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_the_default_names_are_registered():
    from generators.forgeries import FORGERIES
    from manifests.audit import AUDITS

    assert set(DEFAULT_METHODS) <= set(FORGERIES.names())
    assert set(DEFAULT_AUDITS) <= set(AUDITS.names())
    assert {*Config().forge.methods, *Config().forge.held_out} <= set(DEFAULT_METHODS)


def test_the_part_of_a_path_that_is_a_value_is_named():
    with pytest.raises(UsageError, match=r"run\.seed is a value, not a section"):
        load_config(None, ["run.seed=3", "run.seed.deep.deeper=4"])
