"""The registry: names, nearest names, parameters, needs, duplicates, discovery."""

import importlib
import sys
import types

import pytest
from pydantic import Field, ValidationError

from manifests.errors import MissingError, UsageError
from manifests.registry import Need, Params, Registry


class SizeParams(Params):
    size: int = Field(3, ge=1)
    tone: str = "warm"


def filled():
    registry = Registry("thing", "manifests.audit")
    registry._discovered = True

    @registry.register("round", family="shape", params=SizeParams, paper="Euclid", colour="red")
    class Round:
        """A round thing.

        More of it.
        """

        def __init__(self, params):
            self.params = params

    @registry.register("square", needs=(Need("no_such_module_anywhere", "squares"),))
    def square(params):
        return "square"

    return registry


def test_entry_says_what_it_is():
    entry = filled().get("round")
    assert (entry.family, entry.paper, entry.summary, entry.licence) == (
        "shape",
        "Euclid",
        "A round thing.",
        "Apache-2.0",
    )
    assert entry.facts == {"colour": "red"}


def test_names_and_entries_are_sorted():
    registry = filled()
    assert registry.names() == ["round", "square"]
    assert [entry.name for entry in registry.entries()] == ["round", "square"]


def test_unknown_name_has_the_nearest():
    with pytest.raises(UsageError) as caught:
        filled().get("rond")
    assert "did you mean round" in caught.value.why
    assert "square" in caught.value.fix


def test_created_with_defaults_mapping_or_model():
    registry = filled()
    assert registry.create("round").params.size == 3
    assert registry.create("round", {"size": 5}).params.size == 5
    assert registry.create("round", SizeParams(size=6)).params.size == 6


def test_every_wrong_parameter_is_listed_at_once():
    with pytest.raises(UsageError) as caught:
        filled().create("round", {"size": 0, "hue": 1})
    assert "size" in caught.value.why
    assert "hue" in caught.value.why
    assert "tone" in caught.value.fix


def test_params_of_another_thing_are_refused():
    with pytest.raises(UsageError, match="got Params"):
        filled().create("round", Params())


def test_params_are_frozen():
    with pytest.raises(ValidationError):
        SizeParams().size = 9


def test_a_missing_package_names_its_extra():
    with pytest.raises(MissingError) as caught:
        filled().create("square")
    assert "fairforge[squares]" in caught.value.fix


def test_a_name_is_taken_once():
    registry = filled()

    def other(params):
        return params

    with pytest.raises(ValueError, match="registered twice"):
        registry.register("round")(other)


def test_discovery_imports_the_modules_of_the_package(tmp_path, monkeypatch):
    package = tmp_path / "things_found"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from manifests.registry import Registry\nR = Registry('x', 'things_found')\n"
    )
    (package / "helper.py").write_text("VALUE = 1\n")
    (package / "one.py").write_text(
        "from things_found import R\n\n@R.register('one')\ndef one(params):\n    return 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = importlib.import_module("things_found").R
    assert registry.names() == ["one"]
    assert "things_found.helper" in sys.modules


def test_entry_points_plug_in(monkeypatch):
    registry = Registry("plugged", "manifests.audit")
    monkeypatch.setattr("manifests.registry.pkgutil.iter_modules", lambda _path: [])

    def load():
        registry.register("from outside")(lambda params: 1)

    monkeypatch.setattr(
        "manifests.registry.metadata.entry_points",
        lambda group: [types.SimpleNamespace(load=load)] if group == "fairforge.plugged" else [],
    )
    assert registry.names() == ["from outside"]
