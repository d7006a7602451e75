"""Every reader of pictures, videos, tables, manifests, configurations and weights, on damaged inputs."""

import ast
from pathlib import Path

import pytest

from manifests import atomic
from manifests.adapters import ADAPTERS
from tests.fuzz import clip_inputs, reader_inputs, weight_inputs
from tests.fuzz.harness import fuzz
from tests.fuzz.test_fuzz_adapters import EXAMPLES

ROOT = Path(__file__).parents[2]
LEAST = 2000
"""Mutated inputs in all."""
TARGETS = [
    *reader_inputs.picture_targets(),
    *reader_inputs.score_targets(),
    *reader_inputs.table_targets(),
    *reader_inputs.config_targets(),
    *weight_inputs.weight_targets(),
    *weight_inputs.onnx_targets(),
    *clip_inputs.clip_targets(),
]
OPENING = {
    "open",
    "read_text",
    "read_bytes",
    "loads",
    "load",
    "ZipFile",
    "safe_open",
    "load_file",
    "ParquetFile",
    "Unpickler",
    "InferenceSession",
    "reader",
    "DictReader",
}
"""Calls that open or parse a file."""
OWN = {
    "generators.talking.espeak_process": "a library's name, the sentences of this package",
    "generators.talking.speech": "what its own process wrote",
    "pipeline.engine.executors.ray_worker": "a token that the command wrote, compared and no more",
    "pipeline.engine.executors.settled": "what it has just pickled",
    "pipeline.commands.look.fiftyone_script": "reads the groups that this package wrote beside it",
    "pipeline.commands.look.writing": "reads the script of this package",
    "manifests.atomic": "digests",
    "nn.precision": "what it asked of the machine",
    "nn.saving": "writes alone",
    "manifests.h264": "what it has just encoded",
    "manifests.clips.encoding": "what it writes",
    "manifests.registry": "entry points",
    "manifests.locks": "locks alone",
    "pipeline.commands.audit": "pictures by manifests.images",
    "pipeline.commands.weights.records": "cells by generators.cells.model",
    "manifests.gathering": "pictures by manifests.images",
    "detector.training.data": "pictures by manifests.images",
    "manifests.picture_shards": "tars by manifests.tar_index, pictures by manifests.images",
    "manifests.release.exporting": "pictures by manifests.images",
    "manifests.archives": "called by the readers of weights",
    "nn.safetensors_files": "called by the readers of weights",
    "nn.onnx_files": "called by the readers of models",
    "generators.training.images": "arrays of its own; pictures by manifests.images",
    "generators.training.loop": "its own metrics",
    "generators.training.pixel_files": "arrays of its own",
    "generators.training.networks": "its own state",
    "generators.autoencoder.training": "its own state",
    "generators.training.warmup": "its own arrays",
    "attribute_models.training.fitting": "its own checkpoint",
    "detector.inference.onnx_export": "what it has just written",
    "detector.training.files": "its own facts",
    "pipeline.stages.cells.cache": "its own cache",
    "pipeline.commands.generators.metrics": "its own cell model",
    "pipeline.commands.generators.training": "its own metrics; values of --set",
    "pipeline.commands.identities.companion": "indices by attribute_models.identity.index",
    "pipeline.engine.models": "a face model by attribute_models.loading",
    "pipeline.report": "files of a run",
    "pipeline.engine.run_directory": "files of a run",
    "pipeline.commands.site": "the project's own documents",
    "pipeline.stages": "files of a run",
    "pipeline.engine.stage": "files of a run",
    "manifests.adapters.import_parts": "parts of an import",
    "pipeline.stages.forge.directions": "its own directions",
    "pipeline.engine.progress_file": "its own figures",
    "pipeline.commands.forge": "pictures by manifests.images",
    "generators": "by generators.checkpoints.library",
}
"""Modules that open files that this program wrote, or hand on to a reader that is fuzzed."""


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(atomic, "_fsync", lambda fd: None)


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_reader(target):
    assert fuzz(target) >= target.examples


def test_enough_inputs_are_tried():
    assert EXAMPLES * len(ADAPTERS.names()) + sum(target.examples for target in TARGETS) >= LEAST


def opens_files(path):
    """Whether a module calls something of `OPENING`, or derives from an unpickler."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in OPENING:
            return True
    return False


def covered(module, names):
    return any(module == name or module.startswith(f"{name}.") for name in names)


def test_every_module_that_opens_a_file_is_fuzzed():
    """A new reader fails this until it has an input here."""
    fuzzed = {"manifests.adapters", *(name for target in TARGETS for name in target.modules)}
    found = []
    for folder in ("manifests", "nn", "generators", "attribute_models", "detector", "pipeline"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if (
                opens_files(path)
                and not covered(module, fuzzed)
                and module not in OWN
                and not covered(module, set(OWN) - {"generators"})
            ):
                found.append(module)
    assert found == []


def test_a_module_that_is_named_is_there():
    for name in {*OWN, *(name for target in TARGETS for name in target.modules)}:
        place = ROOT / name.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), name
