"""A stage's cache key has everything that enters its result: what each stage reads is watched, and each of
these is changed.

Every stage works on a copy of the small run: its tasks are made, one shard is begun, and it is finished.
Whatever it has read of the configuration must change its key when it is changed; whatever file it has opened
must be in its key, or be of a stage whose digest is.
"""

import functools
import os
import shutil
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from generators.forgeries import FORGERIES
from manifests import weights
from manifests.atomic import canonical_json, digest_file, digest_value, write_bytes, write_json
from manifests.errors import MissingError, UserError
from manifests.images import read_image
from manifests.store import read_table, write_table
from pipeline.engine import models
from pipeline.engine.config import Config
from pipeline.engine.config_file import load_config
from pipeline.engine.executors import Executor
from pipeline.engine.nested import NestedStage
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.stage import Context, Stage, changed_parts, stage_marker
from pipeline.engine.stages import all_stages
from tests.pipeline.watching import ALL, Key, Read, Watch, outside, read_by, work

STAGES = [stage for stage in all_stages() if not stage.optional]
OPTIONAL = [stage for stage in all_stages() if stage.optional]

EVERY = {stage.name: stage for stage in (*STAGES, *OPTIONAL)}
CHEAP = {
    "cells": {"latents": 360, "refine_rounds": 0, "hit_rate_draws": 8},
    "evaluate": {"replicates": 10},
    "ablation": {"variants": {"plain": {"train": {"epochs": 1}}}, "seeds": (1,)},
    "audit": {"audits": ("balance", "leaks")},
    "execute": {"executor": "local", "workers": 1},
}
"""What makes the work of this test short; no branch is left out by it."""
REFUSES = {("sample", "pair", "allow_short")}
"""Read to refuse a result, not to make it: with --allow-short given after that, what is there already
stays.
"""
OWN_VALUES = {("ablation", "train", "epochs"), ("ablation", "train", "seed")}
"""Keys of [train] that every training of the small ablation replaces by values of its own."""


@contextmanager
def copied(run: RunDirectory) -> Iterator[RunDirectory]:
    """A copy of a run (links) that a stage may change."""
    root = run.root.with_name(f"{run.root.name}-copy")
    shutil.copytree(run.root, root, copy_function=os.link)
    yield RunDirectory(root, run.config)
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def patches() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRFORGE_DATA", "")
        patch.delenv("FAIRFORGE_CACHE", raising=False)
        yield patch


@pytest.fixture(scope="module")
def run(
    small_run: Path, tmp_path_factory: pytest.TempPathFactory, patches: pytest.MonkeyPatch
) -> RunDirectory:
    root = tmp_path_factory.mktemp("keys") / "run"
    shutil.copytree(small_run, root, copy_function=os.link)
    data = load_config(small_run / "config.toml").model_dump()
    for section, values in CHEAP.items():
        data[section] = {**data[section], **values}
    return RunDirectory(root, Config.model_validate(data))


def place_of(stage: Stage, run: RunDirectory) -> tuple[Stage, RunDirectory]:
    """Which stage works where: of a nested one, the stage in it on the dataset in the run, of whose
    configuration every key counts.
    """
    if not isinstance(stage, NestedStage):
        return stage, run
    scope = stage.scope(run)
    return stage.inner, RunDirectory(scope.root, Config.model_validate(scope.config.model_dump()))


@pytest.fixture(scope="module")
def watched(run: RunDirectory, patches: pytest.MonkeyPatch) -> dict[str, Read]:
    """What every stage reads while it works."""
    out = {}
    with pytest.MonkeyPatch.context() as patch:
        watch = Watch(patch)
        for name, one in EVERY.items():
            with copied(run) as copy:
                stage, place = place_of(one, copy)
                context = Context(place, Executor("local", 1), Reporter(quiet=True))
                out[name] = read_by(watch, patches, lambda stage=stage, context=context: work(stage, context))
    return out


def options(value: Any, annotation: Any) -> Iterator[Any]:
    """Other values that a key may take."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from (option for option in typing.get_args(annotation) if option != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, value / 2, value + 0.25)
    elif isinstance(value, str):
        yield f"{value}x"
    elif isinstance(value, tuple):
        yield from (
            value[:-1],
            value[::-1],
            (value[0] - 1, *value[1:]) if value and isinstance(value[0], int) else (),
        )


@pytest.fixture(scope="module")
def others(run: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> dict[Key, Any]:
    """Another value (a list: several) for the keys whose values have a form of their own. Files are others'
    with a byte more.
    """
    folder = tmp_path_factory.mktemp("other")
    (folder / "longer").mkdir()

    def longer(path: Path) -> str:
        target = folder / "longer" / path.name
        target.write_bytes(path.read_bytes() + b"\0")
        return str(target)

    photographs = some_photographs(run, folder / "photographs.parquet")
    any_file = longer(run.folder("cells") / "cells.json")
    return {
        ("dataset", "taxonomy"): ["fairface7", "ffpp"],
        ("dataset", "splits"): {"train": 0.5, "test": 0.5},
        ("dataset", "only"): ("White/Male",),
        ("dataset", "weights"): {"White/Male": 2.0},
        ("cells", "generator"): longer(weights.find_weight(run.config.cells.generator, "generator").path),
        ("cells", "attribute_model"): longer(
            weights.find_weight(run.config.cells.attribute_model, "attributes").path
        ),
        ("cells", "looks"): {"brightness": "own"},
        ("sample", "cell_model"): longer(run.folder("cells") / "model.safetensors"),
        ("sample", "photographs"): [photographs, longer(Path(photographs))],
        ("sample", "strategy"): ["rejection", "projection"],
        ("sample", "filters"): {"max_yaw": 0.4},
        ("verify", "attribute_model"): longer(
            weights.find_weight(run.config.verify.attribute_model, "attributes").path
        ),
        ("verify", "landmarker"): longer(weights.find_weight(run.config.verify.landmarker, "landmarks").path),
        ("verify", "training_index"): any_file,
        ("verify", "policy"): any_file,
        ("forge", "methods"): ("blend-self",),
        ("forge", "params"): {"blend-self": {"zoom": 0.1}},
        ("audit", "params"): {"duplicates": {"max_distance": 3}},
        ("cross", "photographs"): photographs,
        ("evaluate", "threshold"): "0.4",
        ("evaluate", "previous"): str(run.folder("train") / "checkpoint.safetensors"),
        ("release", "date"): "2001-01-01",
        ("release", "creators"): ("Somebody",),
        ("release", "withdrawn"): ("nobody: asked",),
        ("release", "sign"): ("cert.pem", "key.pem"),
        ("pair", "qualities"): ("raw",),
        ("ablation", "shares"): {"White/Male": 0.3},
        ("ablation", "variants"): {"other": {"train": {"epochs": 2}}},
        ("cross", "quality"): (60, 90),
        ("train", "input_size"): 48,
        ("train", "stem_stride"): 1,
        ("train", "seed"): 5,
        ("train", "loss"): "cross-entropy",
        ("train", "loss_params"): {"demographic_weight": 0.3},
        ("train", "augment_params"): {"blur": 0.1},
        ("train", "qualities"): ("raw",),
        ("train", "online"): {"blend-self": 1.0},
        ("train", "online_params"): {"blend-self": {"zoom": 0.1}},
        ("train", "base_scale"): (0.5, 0.9),
        ("train", "beside"): (str(run.folder("train") / "checkpoint.safetensors"),),
    }


def some_photographs(run: RunDirectory, path: Path) -> str:
    """A parquet file in FairFace's layout, of the small run's candidates."""
    rows = read_table(run.folder("sample") / "candidates.parquet").slice(0, 16).to_pylist()
    images = [(run.folder("sample") / row["path"]).read_bytes() for row in rows]
    write_table(
        pa.table(
            {
                "file": [f"{k}.png" for k in range(len(rows))],
                "race": ["White"] * len(rows),
                "gender": ["Male"] * len(rows),
                "age": ["20-29"] * len(rows),
                "image": images,
            }
        ),
        path,
    )
    assert read_image(run.folder("sample") / rows[0]["path"]).shape
    return str(path)


STARTS: dict[Key, dict[str, dict[str, Any]]] = {
    ("dataset", "taxonomy"): {"dataset": {"only": ()}},
    ("dataset", "generated_as"): {"sample": {"source": "both"}},
    ("sample", "source"): {"sample": {"counterfactual": False}, "dataset": {"generated_as": "real"}},
    ("sample", "counterfactual"): {"sample": {"source": "generator"}},
    ("train", "start_share"): {"train": {"start": "photographs"}},
}
"""What a configuration must have for another value under a key: all cells, where the value says which cells
there are, ...
"""


def start_of(config: Config, key: Key) -> Config:
    """The configuration that another value under `key` goes into; see `STARTS`."""
    return config.with_values(**STARTS[key]) if key in STARTS else config


def changed(config: Config, key: Key, others: dict[Key, Any]) -> Config:
    """`start_of` with another value under `key`."""
    section, name = key
    if name == ALL:
        return config.with_values(**{section: others[key]})
    config = start_of(config, key)
    part = getattr(config, section)
    before = getattr(part, name)
    given = others.get(key, [])
    for value in [
        *(given if isinstance(given, list) else [given]),
        *options(before, type(part).model_fields[name].annotation),
    ]:
        try:
            other = config.with_values(**{section: {name: value}})
        except ValidationError:
            continue
        if getattr(getattr(other, section), name) != before:
            return other
    raise AssertionError(f"say in `others` what another value of {section}.{name} is")


def key_of(stage: Stage, run: RunDirectory) -> str:
    """What the key is made of; an error in its place where a changed value leads to one, which serves no
    stale result either.
    """
    out: list[Any] = [stage.version, run.config.run.seed, list(stage.inputs_of(run))]
    for part in (stage.config, stage.weights, stage.files):
        try:
            out.append(part(run))
        except UserError as error:
            out.append(str(error))
    return canonical_json(out)


def unseen(stage: Stage, run: RunDirectory, read: Read, others: dict[Key, Any]) -> list[str]:
    """Keys that the stage reads and that its cache key leaves out."""

    def key(config: Config) -> str:
        return key_of(stage, RunDirectory(run.root, config))

    return sorted(
        f"{section}.{name}"
        for section, name in read.keys
        if section != "execute"
        and (stage.name, section, name) not in REFUSES | OWN_VALUES
        and key(changed(run.config, (section, name), others)) == key(start_of(run.config, (section, name)))
    )


@pytest.mark.parametrize("name", EVERY)
def test_every_key_that_a_stage_reads_changes_its_cache_key(name: str, run, watched, others):
    assert watched[name].keys, "nothing was watched"
    assert unseen(*place_of(EVERY[name], run), watched[name], others) == []


def strings(value: Any) -> Iterator[str]:
    """All strings inside a value."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", EVERY)
def test_every_file_that_a_stage_opens_is_in_its_key(name: str, run, watched):
    """A weight or an outside file is there with its digest; a file of the run is of a stage whose digest is
    there.
    """
    stage, copy = EVERY[name], run.root.with_name(f"{run.root.name}-copy")
    digests = set(strings([stage.weights(run), stage.files(run)]))
    assert {file.name for file in outside(watched[name], copy) if digest_file(file) not in digests} == set()
    own = {file.relative_to(copy) for file in watched[name].files if copy in file.parents}
    declared = {run.folder(one).relative_to(run.root) for one in (*stage.inputs_of(run), name)}
    inside = {file for file in own if len(file.parts) > 1 and not declared & set(file.parents)}
    assert {file for file in inside if (run.root / file).is_file()} == set()


def test_weights_and_outside_files_were_seen(run, watched):
    copy = run.root.with_name(f"{run.root.name}-copy")
    seen = {file.name for read in watched.values() for file in outside(read, copy)}
    for name, kind in (
        ("starter64", "generator"),
        ("fairforge-small", "attributes"),
        ("fairforge-mesh148", "landmarks"),
    ):
        assert weights.find_weight(name, kind).path.name in seen


@pytest.mark.parametrize("name", EVERY)
def test_every_input_changes_the_key(name: str, run, tmp_path: Path):
    """Another digest of an input stage, another seed: another key."""
    stage, copy = EVERY[name], RunDirectory(tmp_path, run.config)
    for one in (*EVERY, "model"):
        source = run.folder("cells") / "model.safetensors" if one == "model" else stage_marker(run, one)
        if source.is_file():
            write_bytes(tmp_path / source.relative_to(run.root), source.read_bytes())
    before = stage.parts(copy)
    for needed in stage.inputs_of(copy):
        if isinstance(stage, NestedStage) and needed in stage.outer_inputs(copy):
            continue  # in its key by the file that it reads of it: see the next test
        marker = read_json(stage_marker(copy, needed))
        write_json(stage_marker(copy, needed), {**marker, "digest": "0" * 64})
        seen = needed.rpartition("/")[2] if isinstance(stage, NestedStage) else needed
        assert changed_parts(before, stage.parts(copy)) == [f"inputs.{seen} changed"]
        write_json(stage_marker(copy, needed), marker)
    assert (
        stage.parts(RunDirectory(tmp_path, copy.config.with_values(run={"seed": 8})))["seed"]
        != before["seed"]
    )


def test_another_fit_of_the_cells_changes_the_key_of_the_second_dataset(run, tmp_path: Path):
    """Its candidates are drawn from the fit of the run, which is a file to them."""
    stage, copy = EVERY["cross/sample"], RunDirectory(tmp_path, run.config)
    assert stage.inputs_of(copy) == ("cells",)
    with pytest.raises(MissingError, match="stage cells"):
        stage.parts(copy)
    for source in (stage_marker(run, "cells"), run.folder("cells") / "model.safetensors"):
        write_bytes(tmp_path / source.relative_to(run.root), source.read_bytes())
    before = stage.parts(copy)
    model = copy.folder("cells") / "model.safetensors"
    write_bytes(model, model.read_bytes() + b"\0")
    assert changed_parts(before, stage.parts(copy)) == ["files.cell_model changed"]


BRANCHES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "rejection": ("sample", {"sample": {"strategy": "rejection"}}),
    "search": ("sample", {"sample": {"strategy": "search"}}),
    "sets": (
        "sample",
        {"sample": {"counterfactual": True, "max_per_cell": 9}, "pair": {"allow_short": True}},
    ),
    "photographs": ("sample", {"sample": {"source": "photographs"}}),
    "both": ("sample", {"sample": {"source": "both"}}),
    "both, forged": ("forge", {"sample": {"source": "both"}}),
    "named cells": ("sample", {"sample": {"cell_model": "model.safetensors"}}),
    "without gates": ("forge", {"forge": {"gates": False}}),
    "latents": ("forge", {"forge": {"methods": ("swap-latent",)}}),
    "whole sets": ("pair", {"sample": {"counterfactual": True}, "pair": {"allow_short": True}}),
    "qualities": ("pair", {"pair": {"qualities": ("raw", "jpeg")}}),
}
"""Other ways that a configuration leads through a stage: name -> stage, configuration. Their tasks are made,
not worked on.
"""


@pytest.mark.parametrize("branch", BRANCHES)
def test_other_branches_of_a_stage_read_nothing_unseen_either(branch: str, run, others, patches):
    name, values = BRANCHES[branch]
    data = {section: dict(part) for section, part in values.items()}
    if data.get("sample", {}).get("source") in ("photographs", "both"):
        data["sample"]["photographs"] = others["sample", "photographs"][0]
    elif branch == "named cells":
        data["sample"]["cell_model"] = str(run.folder("cells") / "model.safetensors")
    other = RunDirectory(run.root, run.config.with_values(**data))
    with pytest.MonkeyPatch.context() as patch:
        watch = Watch(patch)
        context = Context(other, Executor("local", 1), Reporter(quiet=True))
        read = read_by(watch, patches, lambda: EVERY[name].tasks(context, "key"))
    assert unseen(EVERY[name], other, read, others) == []


@pytest.mark.parametrize("name", [name for name, stage in EVERY.items() if isinstance(stage, NestedStage)])
def test_the_second_dataset_is_made_by_the_same_stages_with_a_configuration_of_its_own(name: str, run):
    """Its keys are those of the stage itself in a run directory `cross`, its version among them."""
    stage = EVERY[name]
    assert isinstance(stage, NestedStage)
    inner, other = stage.inner, stage.scope(run)
    assert name == f"cross/{inner.name}"
    assert stage.parts(run) == inner.parts(other)
    assert stage.folder(run) == run.folder(name) == inner.folder(other)
    assert other.config.run.seed != run.config.run.seed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(inner), "version", 99)
        assert stage.parts(run)["version"] == 99
    if inner.name != "sample":
        assert stage.inputs_of(run) == tuple(f"cross/{one}" for one in inner.inputs_of(other))


def test_every_weight_changes_the_keys_of_the_stages_that_use_it(run):
    used: dict[str, set[tuple[str, str]]] = {}
    for name, stage in EVERY.items():
        asked: list[tuple[str, str]] = []

        def weight(
            model: str, kind: str, other: object = None, asked: list[tuple[str, str]] = asked
        ) -> weights.Weight:
            asked.append((model, kind))
            return weights.Weight(model, Path(), digest_value([model, kind, other == (model, kind)]), kind)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(models, "weight_of", weight)
            before, used[name] = stage.weights(run), set(asked)
            for one in used[name]:
                patch.setattr(models, "weight_of", functools.partial(weight, other=one))
                assert changed_parts(before, stage.weights(run))
    kinds = {name: {kind for _, kind in found} for name, found in used.items()}
    faces = {"detection", "landmarks", "identity"}
    assert kinds["cells"] == {"generator", "attributes"}
    assert kinds["sample"] == {"generator"}
    assert kinds["verify"] == {"attributes", *faces}
    assert kinds["forge"] == faces
    for name in ("sample", "verify", "forge", "pair"):
        assert used[f"cross/{name}"] == used[name]


@pytest.mark.parametrize("name", FORGERIES.names())
def test_files_that_a_method_s_parameters_name_are_in_the_key(name: str, run, tmp_path: Path):
    entry = FORGERIES.get(name)
    texts = {key for key, field in entry.params.model_fields.items() if field.annotation in (str, Path)}
    directions = {"directions"} if entry.facts["directions"] else set()
    assert texts == {*entry.facts["files"], *entry.facts["weights"], *directions}, (
        "a text is taken for a file: say otherwise here"
    )
    for key in texts:
        (tmp_path / key).write_bytes(b"weights")
        other = run.config.with_values(
            forge={"methods": (name,), "held_out": (), "params": {name: {key: str(tmp_path / key)}}}
        )
        found = [EVERY["forge"].files(RunDirectory(run.root, other))]
        (tmp_path / key).write_bytes(b"other weights")
        found.append(EVERY["forge"].files(RunDirectory(run.root, other)))
        assert set(found[0]) == set(found[1]) == {f"{name}.{key}"}
        assert found[0] != found[1]
