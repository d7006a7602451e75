"""`--device`, `--workers`, `--seed`, `execute.digests` reach whatever a run does: the calls in the source,
and the stages' own.
"""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

from manifests.atomic import write_bytes
from manifests.errors import MissingError
from pipeline.__main__ import main
from pipeline.engine.config import Config
from pipeline.engine.config_file import load_config
from pipeline.engine.executors import Executor
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.runner import Flags, run_stages
from pipeline.engine.stage import Context
from pipeline.engine.stages import all_stages
from pipeline.stages.evaluate.image_scores import COLUMNS

STAGES = [stage for stage in all_stages() if not stage.optional]
OPTIONAL = [stage for stage in all_stages() if stage.optional]

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipeline", "detector", "generators", "attribute_models")
PASSED_ON = ("device", "workers", "threads", "digests")


def functions() -> tuple[dict[str, dict[str, int | None]], set[str]]:
    """Public functions that take a device, workers, threads or digests, with the parameter's position (None:
    by name alone).

    And the names of all methods: `x.train()` need not be the function `train`.
    """
    found: dict[str, dict[str, int | None]] = {}
    methods: set[str] = set()
    for file in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        tree = ast.parse(file.read_text())
        methods |= {
            node.name
            for one in tree.body
            if isinstance(one, ast.ClassDef)
            for node in one.body
            if isinstance(node, ast.FunctionDef)
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                places = {arg.arg: k for k, arg in enumerate(node.args.args)} | {
                    arg.arg: None for arg in node.args.kwonlyargs
                }
                taken = {name: places[name] for name in PASSED_ON if name in places}
                if taken:
                    found[node.name] = taken
    return found, methods


def test_every_call_in_the_pipeline_says_where_and_how_wide_it_runs():
    (known, methods), seen, forgotten = functions(), set(), []
    assert {"train", "load_detector", "score_manifest", "load_generator"} <= set(known)
    for file in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            plain = isinstance(node.func, ast.Name)
            name = node.func.id if plain else getattr(node.func, "attr", "")
            if name not in known or (not plain and name in methods):
                continue
            seen.add(name)
            named = {keyword.arg for keyword in node.keywords}
            forgotten += [
                f"{file.relative_to(ROOT)}:{node.lineno}: {name} without {parameter}"
                for parameter, place in known[name].items()
                if parameter not in named and None not in named and (place is None or len(node.args) <= place)
            ]
    assert {"train", "load_detector", "score_manifest"} <= seen
    assert not forgotten, "\n".join(forgotten)


def context(tmp_path: Path, **sections: dict) -> Context:
    run = RunDirectory(tmp_path, Config.model_validate(sections))
    return Context(run, Executor("local", 1), Reporter(quiet=True))


@pytest.mark.parametrize(("train", "seed"), [({}, 9), ({"seed": "auto"}, 9), ({"seed": 3}, 3)])
def test_training_in_a_run_follows_its_device_workers_and_seed(tmp_path, monkeypatch, train, seed):
    calls = []
    monkeypatch.setattr(
        "detector.training.loop.train",
        lambda *values, **named: (
            calls.append((values[0], named)) or SimpleNamespace(metrics=[{"val_auc": 0.5}])
        ),
    )
    stage = next(stage for stage in STAGES if stage.name == "train")
    execute = {"device": "cuda:1", "workers": 5, "digests": "sampled"}
    where = context(tmp_path, run={"seed": 9}, execute=execute, train=train)
    stage.finish(where, [])
    ((settings, named),) = calls
    assert named == {"device": "cuda:1", "workers": 5, "build_forge": None, "digests": "sampled"}
    assert settings.seed == seed
    assert stage.config(where.run)["train"]["seed"] == seed


def test_evaluation_in_a_run_follows_its_device_and_workers(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    monkeypatch.setattr("detector.load_detector", lambda path, device: calls.append(device), raising=False)

    def scored(model, checkpoint, manifest, split, out, threads, digests, strict):
        calls.append((split, threads, digests, strict))
        if len(calls) == 4:
            raise InterruptedError
        return [{**dict.fromkeys(COLUMNS), "image_id": "i", "label": 0, "method": "none", "score": 0.5}], []

    monkeypatch.setattr("pipeline.stages.evaluate.evaluation.score_in_parts", scored)
    monkeypatch.setattr("pipeline.stages.evaluate.measuring.Measure.of", lambda *_: {})
    monkeypatch.setattr("detector.metrics.thresholds.threshold_of", lambda *_: 0.5)
    stage = next(stage for stage in STAGES if stage.name == "evaluate")
    evaluate = {"threshold": "val-eer", "floors": []}
    where = context(tmp_path, execute={"device": "cuda:1", "workers": 5}, evaluate=evaluate)
    write_bytes(tmp_path / "detector" / "checkpoint.safetensors", b"weights")
    with pytest.raises(InterruptedError):
        stage.finish(where, [])
    assert calls == ["cuda:1", *((split, 5, "whole", True) for split in ("val", "test", None))]


@pytest.mark.parametrize(
    ("executor", "workers", "feeding"), [("local", 6, 6), ("process", 2, 1), ("process", 9, 2)]
)
def test_an_ablation_follows_its_device_and_shares_its_workers(
    tmp_path, monkeypatch, executor, workers, feeding
):
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    (stage,) = OPTIONAL
    where = context(
        tmp_path,
        execute={"device": "cuda:1", "workers": workers, "executor": executor},
        ablation={"seeds": [1, 2], "variants": {"a": {}, "b": {}}},
    )
    where = Context(where.run, Executor(executor, workers), where.reporter)
    tasks = stage.tasks(where, "key")
    assert [(task.payload.device, task.payload.feeding) for task in tasks] == [("cuda:1", feeding)] * 4
    calls = {}
    monkeypatch.setattr("pipeline.stages.ablation.stage.write_arm", lambda *_: tmp_path)
    monkeypatch.setattr("detector.training.loop.train", lambda *values, **named: calls.update(train=named))

    def loaded(path, device):
        calls["load"] = device
        raise InterruptedError

    monkeypatch.setattr("detector.load_detector", loaded, raising=False)
    with pytest.raises(InterruptedError):
        tasks[0].call(tasks[0])
    assert calls == {
        "train": {"device": "cuda:1", "workers": feeding, "build_forge": None, "digests": "whole"},
        "load": "cuda:1",
    }


def test_a_run_on_a_device_that_is_not_here_does_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    run = RunDirectory(tmp_path / "r", load_config(sets=["execute.device=cuda"]))
    with pytest.raises(MissingError, match="device 'cuda'"):
        run_stages(run, STAGES, flags=Flags(), reporter=Reporter(quiet=True), argv=[])
    for words in (["run"], ["run", "--dry-run"], ["train"], ["evaluate"]):
        assert main([*words, "--out", str(tmp_path / "r"), "--set", "execute.device=cuda"]) == 3
        error = capsys.readouterr().err
        assert "device 'cuda'" in error
        assert "fix: choose --device cpu" in error
    assert not (tmp_path / "r").exists()


def test_a_run_keeps_its_seed_rule_in_its_own_configuration(tmp_path):
    from pipeline.engine.config_file import dump_config

    file = tmp_path / "config.toml"
    file.write_text(dump_config(load_config(sets=["run.seed=5"])))
    assert load_config(file).training().seed == 5
    assert load_config(file, ["run.seed=7"]).training().seed == 7
    assert load_config(file, ["run.seed=7", "train.seed=3"]).training().seed == 3
    assert load_config(ROOT / "configs" / "demo.toml").training().seed == 2026
