"""What every option of every command changes, or why it is refused: the table behind `test_options.py`.

A `Use` is one way to call a command: words that are always there, the functions that would do the work, and
for each option of the command a `Change` or a `Refusal`. Paths are `function.parameter.field...`, `emit`
being what prints.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Change:
    """`words` beside the use's own change exactly these values. beside: words that are there without them
    too.
    """

    words: str
    values: dict[str, Any]
    beside: str = ""


@dataclass(frozen=True)
class Refusal:
    """`words` end the command with exit code 2 and a message with `why`."""

    words: str
    why: str = "no use"


@dataclass(frozen=True)
class Plan:
    """The option under which nothing works: `instead` is called in place of the use's functions."""

    words: str = "--dry-run"
    instead: str = ""


Entry = Change | Refusal | Plan


@dataclass(frozen=True)
class Use:
    """One way to call a command."""

    command: str
    works: tuple[str, ...]
    entries: dict[str, Entry]
    words: str = ""
    returns: Any = ({}, "text")
    plans: tuple[str, ...] = field(default=())


def flag(option: str, path: str, value: Any = True) -> dict[str, Entry]:
    """An option without a value."""
    return {option: Change(option, {path: value})}


def given(option: str, text: str, path: str, value: Any = None, beside: str = "") -> dict[str, Entry]:
    """An option with a value, which arrives at `path` as `value` (default: the text)."""
    return {option: Change(f"{option} {text}", {path: text if value is None else value}, beside)}


JSON = flag("--json", "emit.as_json")
LOCAL = "run_stages.run.config"


def shared(config: str = LOCAL) -> dict[str, Entry]:
    """The flags that all commands of a run with this configuration have."""
    return {
        **given("--set", "sample.psi=0.7", f"{config}.sample.psi", 0.7),
        **given("--seed", "9", f"{config}.run.seed", 9),
        **given("--limit", "3", f"{config}.dataset.per_cell", 3),
        **JSON,
        "--config": Change("--config {config}", {f"{config}.run.name": "other", f"{config}.run.seed": 77}),
    }


STAGE: dict[str, Entry] = {
    **shared(),
    "--workers": Change(
        "--workers 5", {f"{LOCAL}.execute.workers": 5, f"{LOCAL}.execute.cluster_workers": 5}
    ),
    **given("--executor", "local", f"{LOCAL}.execute.executor"),
    **given("--device", "cuda:1", f"{LOCAL}.execute.device"),
    **given("--shard", "1/2", "run_stages.flags.shard"),
    **flag("--fresh", "run_stages.flags.fresh"),
    **flag("--allow-short", f"{LOCAL}.pair.allow_short"),
    **flag("--quiet", "run_stages.reporter.quiet"),
    "--dry-run": Plan(instead="plan"),
    "--out": Change("--out {tmp}/r2", {"run_stages.run.root": "{tmp}/r2"}),
}


def stage(command: str, **more: Entry) -> Use:
    """A command that runs stages."""
    own = {f"--{name.replace('_', '-')}": entry for name, entry in more.items()}
    return Use(
        command,
        ("pipeline.engine.runner.run_stages",),
        {**STAGE, **own},
        plans=("pipeline.engine.runner.plan",),
    )


def key(option: str, text: str, path: str, value: Any = None) -> Change:
    """An option of a stage verb that stands for a key of the configuration."""
    return Change(f"--{option} {text}", {f"{LOCAL}.{path}": text if value is None else value})


def refused(*options: str, why: str = "no use") -> dict[str, Entry]:
    """Options without a use in a command's other mode."""
    values = {
        "--shard": "1/2",
        "--executor": "local",
        "--limit": "3",
        "--workers": "5",
        "--kimg": "3",
        "--track": "tensorboard:t",
    }
    return {option: Refusal(f"{option} {values.get(option, '')}".strip(), why) for option in options}


CELLS = {
    "generator": key("generator", "g", "cells.generator"),
    "taxonomy": key("taxonomy", "fairface7", "dataset.taxonomy"),
    "only": key("only", "White-Male", "dataset.only", ["White/Male"]),
    "strategy": key("strategy", "search", "sample.strategy"),
}
TRAIN = {
    "backbone": "b",
    "pretrained": "p",
    "start": "s",
    "loss": "l",
    "optimizer": "sgd",
    "epochs": 3,
    "batch": 8,
}


def train(config: str) -> dict[str, Entry]:
    """The flags of `train` that stand for keys of its settings."""
    plain = {
        f"--{name}": Change(f"--{name} {value}", {f"{config}.{name}": value}) for name, value in TRAIN.items()
    }
    return {
        **plain,
        "--heads": Change("--heads race", {f"{config}.heads": ["race"]}),
        "--tune": Change("--tune norms", {f"{config}.tune": "norms"}),
        "--online": Change(
            "--online blend-self=2,blend-xray",
            {f"{config}.online.blend-self": 2.0, f"{config}.online.blend-xray": 1.0},
        ),
    }


IN_A_RUN = [
    stage(
        "run",
        **{
            "from": Change("--from train", {"run_stages.stages": ["train", "evaluate", "release", "report"]}),
            "to": Change("--to sample", {"run_stages.stages": ["cells", "sample"]}),
            "ray-address": key("ray-address", "auto", "execute.ray.address"),
            "gpus-per-worker": key("gpus-per-worker", "0.5", "execute.ray.gpus_per_worker", 0.5),
            "slurm-cluster": key("slurm-cluster", "local", "execute.slurm.cluster"),
            "partition": key("partition", "gpu", "execute.slurm.partition"),
            "time": key("time", "4:00:00", "execute.slurm.time"),
            "gres": key("gres", "gpu:1", "execute.slurm.gres"),
            "detach": Change("--detach", {f"{LOCAL}.execute.slurm.detach": True}, "--executor slurm"),
        },
    ),
    Use(
        "retry",
        ("pipeline.commands.retrying.retry_failed",),
        {
            **JSON,
            "--workers": Change(
                "--workers 5",
                {
                    "retry_failed.run.config.execute.workers": 5,
                    "retry_failed.run.config.execute.cluster_workers": 5,
                },
            ),
            **given("--executor", "local", "retry_failed.run.config.execute.executor"),
            **given("--device", "cuda:1", "retry_failed.run.config.execute.device"),
            **given("--set", "execute.ray.retries=7", "retry_failed.run.config.execute.ray.retries", 7),
            **flag("--quiet", "retry_failed.reporter.quiet"),
            "--out": Change("--out o2", {"retry_failed.run.root": "o2"}),
            "--dry-run": Plan(instead="failures_of"),
        },
        plans=("pipeline.commands.retrying.failures_of",),
    ),
    *map(stage, ("verify", "pair", "audit", "cross", "report")),
    stage("release", sign=Change("--sign c.pem k.pem", {f"{LOCAL}.release.sign": ["c.pem", "k.pem"]})),
    stage("fit-cells", **CELLS),
    stage(
        "sample",
        **CELLS,
        **{
            "per-cell": key("per-cell", "4", "dataset.per_cell", 4),
            "cell-model": Change(
                "--cell-model m", {f"{LOCAL}.sample.cell_model": "m", "run_stages.stages": ["sample"]}
            ),
            "counterfactual": Change("--counterfactual", {f"{LOCAL}.sample.counterfactual": True}),
        },
    ),
    Use(
        "sample",
        ("pipeline.engine.runner.run_stages",),
        {"--per-cell": Refusal("--per-cell 4", "beside --limit")},
        "--limit 3",
    ),
    stage(
        "forge",
        target=Refusal("--target t.jpg", "needs both"),
        method=Refusal("--method m", "needs both"),
        driver=Refusal("--source s.jpg", "needs both"),
    ),
    Use(
        "train",
        ("pipeline.engine.runner.run_stages",),
        {
            **STAGE,
            **train(f"{LOCAL}.train"),
            **refused("--track", why="no use in a run"),
            "--manifest": Refusal("--manifest {tmp}/m --limit 2"),
        },
        plans=("pipeline.engine.runner.plan",),
    ),
    Use(
        "evaluate",
        ("pipeline.engine.runner.run_stages",),
        {
            **STAGE,
            "--threshold": key("threshold", "val-eer", "evaluate.threshold"),
            "--mode": key("mode", "purdue", "evaluate.mode"),
            "--min-n": key("min-n", "7", "evaluate.min_n", 7),
            "--ties": key("ties", "mid", "evaluate.ties"),
            "--replicates": key("replicates", "70", "evaluate.replicates", 70),
            "--split": Refusal("--split val"),
            "--name": Refusal("--name n"),
            "--validation": Refusal("--validation v"),
            "--checkpoint": Refusal("--checkpoint c", "needs both"),
            "--manifest": Refusal("--manifest m", "needs both"),
        },
        plans=("pipeline.engine.runner.plan",),
    ),
]

ALONE = [
    Use(
        "train",
        ("pipeline.stages.train.manifest_training.train_detector",),
        {
            **train("train_detector.settings"),
            **JSON,
            **refused("--executor", "--shard", "--limit", "--allow-short"),
            "--set": Change("--set train.lr=0.5", {"train_detector.settings.lr": 0.5}),
            "--config": Change("--config {config}", {"train_detector.settings.seed": 77}),
            **given("--out", "o2", "train_detector.out"),
            **given("--manifest", "m2", "train_detector.manifest"),
            **given("--track", "tensorboard:t", "train_detector.track", ["tensorboard:t"]),
            **given("--workers", "5", "train_detector.workers", 5),
            **given("--device", "cuda:1", "train_detector.device"),
            **given("--seed", "9", "train_detector.settings.seed", 9),
            **flag("--fresh", "train_detector.fresh"),
            **flag("--quiet", "train_detector.quiet"),
            "--dry-run": Plan(instead="plan_training"),
        },
        "--manifest m",
        plans=("pipeline.stages.train.manifest_training.plan_training",),
    ),
    Use(
        "evaluate",
        ("pipeline.commands.evaluate.manifests.evaluate_manifests",),
        {
            **JSON,
            **refused("--executor", "--shard", "--limit", "--allow-short"),
            "--dry-run": Plan(instead="plan_evaluation"),
            "--set": Change("--set evaluate.min_n=8", {"evaluate_manifests.measure.min_n": 8}),
            "--config": Change(
                "--config {config}",
                {"evaluate_manifests.measure.seed": 77, "evaluate_manifests.request.threshold": "fixed"},
            ),
            **given("--out", "o2", "evaluate_manifests.request.out"),
            **given("--checkpoint", "c2", "evaluate_manifests.request.checkpoint"),
            **given("--manifest", "m2", "evaluate_manifests.request.manifests", ["m", "m2"]),
            **given("--name", "n", "evaluate_manifests.request.names", ["n"]),
            **given("--split", "val", "evaluate_manifests.request.split"),
            **given("--threshold", "val-eer", "evaluate_manifests.request.threshold"),
            **given("--validation", "v", "evaluate_manifests.request.validation"),
            **given("--mode", "purdue", "evaluate_manifests.measure.mode"),
            **given("--min-n", "7", "evaluate_manifests.measure.min_n", 7),
            **given("--ties", "mid", "evaluate_manifests.measure.ties"),
            **given("--replicates", "0", "evaluate_manifests.measure.replicates", 0),
            **given("--seed", "9", "evaluate_manifests.measure.seed", 9),
            **given("--workers", "5", "evaluate_manifests.workers", 5),
            **given("--device", "cuda:1", "evaluate_manifests.device"),
            **flag("--fresh", "evaluate_manifests.fresh"),
            **flag("--quiet", "evaluate_manifests.say.quiet"),
        },
        "--checkpoint c --manifest m",
        plans=("pipeline.commands.evaluate.manifests.plan_evaluation",),
    ),
    Use(
        "forge",
        ("pipeline.commands.forge.forge_photograph",),
        {
            **JSON,
            **refused("--workers", "--executor", "--shard", "--limit", "--allow-short", "--fresh"),
            "--dry-run": Plan(instead="plan_photograph"),
            **flag("--quiet", "stderr", ""),
            "--set": Change("--set forge.gates=false", {"forge_photograph.config.forge.gates": False}),
            "--config": Change(
                "--config {config}",
                {"forge_photograph.config.run.seed": 77, "forge_photograph.config.run.name": "other"},
            ),
            **given("--seed", "9", "forge_photograph.config.run.seed", 9),
            **given("--device", "cuda:1", "forge_photograph.config.execute.device"),
            "--out": Change(
                "--out o2.png", {"forge_photograph.out": "o2.png", "emit.text": "o2.png", "stderr": "o2.png"}
            ),
            **given("--target", "t2", "forge_photograph.target_path"),
            **given("--driver", "s2", "forge_photograph.source_path"),
            **given("--method", "m2", "forge_photograph.method"),
        },
        "--target t --method m --source s --out o.png",
        plans=("pipeline.commands.forge.plan_photograph",),
    ),
    Use(
        "train",
        ("pipeline.stages.train.manifest_training.train_detector",),
        {"--set": Refusal("--set sample.psi=1")},
        "--manifest m",
    ),
    Use(
        "evaluate",
        ("pipeline.commands.evaluate.manifests.evaluate_manifests",),
        {"--set": Refusal("--set train.lr=1")},
        "--checkpoint c --manifest m",
    ),
    Use(
        "forge",
        ("pipeline.commands.forge.forge_photograph",),
        {"--set": Refusal("--set train.lr=1")},
        "--target t --method m --out o.png",
    ),
]
