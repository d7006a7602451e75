"""The training run: phases, snapshots, exact resume."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generators.checkpoints.files import save_generator
from generators.sampling import draw_z, even_classes, map_latents, synthesize
from generators.stylegan2.generator import Generator
from generators.training.compiled import check_compiler
from generators.training.feature_networks import FeatureNetwork
from generators.training.images import open_images
from generators.training.networks import (
    ANEW,
    STATE,
    Networks,
    add_features,
    assemble,
    blank_networks,
    first_networks,
    grown_networks,
)
from generators.training.settings import TrainSettings
from generators.training.steps import Stepper
from generators.training.warmup import warm_up
from manifests.allocator import keep_freed_memory
from manifests.atomic import digest_arrays, digest_value, unlinked, write_bytes
from manifests.errors import UsageError
from manifests.images import encode
from manifests.seeding import seed_of
from nn.precision import choose, possible
from nn.processes import World
from nn.tensor_files import restore_optimizer
from nn.tracking import log_figures
from nn.training_loop import Figures, StateFile, Steps, run_steps

GRID = 6


def grid_image(generator: Generator, seed: int, rows: int = GRID) -> np.ndarray:
    """A sheet of faces from fixed latents (psi 1, constant noise, a class after another): uint8 [rows H, rows
    H, 3].
    """
    count = rows * rows
    z = draw_z(seed, [("grid", i) for i in range(count)], generator.z_dim)
    images = synthesize(generator, map_latents(generator, z, even_classes(generator, count)))
    size = generator.resolution
    return images.reshape(rows, rows, size, size, 3).swapaxes(1, 2).reshape(rows * size, rows * size, 3)


class TrainingRun:
    """One run in `out`: `state.pt` (all that resuming needs), `generator.safetensors` (averaged weights),
    `samples-*.png`, `metrics.jsonl`.

    Args:
        settings: of the run.
        data: what `prepare` returned.
        out: the folder.
        world: this process among all.
        start: a generator to go on from.
        known: its discriminator, where there is one (`networks.read_discriminator`).
        heads: its discriminator on frozen features, where there is one (`networks.read_heads`); it goes on
            for those networks that this run sees with too.
        metadata: more strings for the checkpoint's header.
        frozen: the networks that `settings.feature_networks` names.
        report: is told a line now and then.

    Raises:
        UsageError: settings of a start without one; a discriminator that is known and to be warmed up;
            `compile` without a C++ compiler.
    """

    def __init__(
        self,
        settings: TrainSettings,
        data: dict[str, Any],
        out: Path,
        world: World,
        *,
        start: Generator | None = None,
        known: Mapping[str, torch.Tensor] | None = None,
        heads: Mapping[str, torch.Tensor] | None = None,
        metadata: dict[str, str] | None = None,
        frozen: Mapping[str, FeatureNetwork] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.choice = choose(
            settings.precision, str(world.device), lambda native: world.mean(float(native)) == 1.0
        )
        if settings.compile:
            check_compiler(str(world.device))
        asked, settings = settings, settings.model_copy(update={"precision": self.choice.used})
        self.settings, self.data, self.out, self.world = settings, data, out, world
        unused = settings.of_a_start() if start is None else []
        if unused:
            raise UsageError(
                ", ".join(unused),
                "says how training goes on from a generator, and there is none",
                "give --start, or leave it out",
            )
        if known is not None and settings.warmup_kimg:
            raise UsageError(
                "warmup_kimg", "is for a generator without its discriminator", "leave it out: --start has one"
            )
        self.start, self.report = start, report
        self.known = None if settings.features_alone else known
        self.heads = heads if settings.feature_networks else None
        self.frozen = {name: (frozen or {})[name] for name in settings.feature_networks}
        self.metadata = {**(metadata or {}), "precision": self.choice.used}
        self.c_dim = len(set(data["labels"])) if data.get("labels") else 0
        self.keys = {used: self._key(used) for used in possible(asked.precision)}
        self.key = self.keys[self.choice.used]
        self.phase, self.step, self.lines = 0, 0, 0
        self.state = StateFile(
            out / "state.pt",
            self.key,
            STATE,
            ANEW,
            "other settings, data or number of processes",
            self.keys,
        )
        self.networks: Networks | None = None
        self.stepper: Stepper | None = None

    def _key(self, used: str) -> str:
        """What a run computed in this precision is; under the names that states of earlier versions have."""
        values = self.settings.key_values()
        return digest_value(
            {
                "settings": {**values, "precision": {"float32": "fp32", "bfloat16": "bf16"}[used]},
                "resolution": self.settings.phases[0].resolution,
                "data": self.data["sha256"],
                **({"balanced": True} if self.data.get("groups") else {}),
                "start": None if self.start is None else self.start.sha256,
                **({"features": {n: f.digest for n, f in self.frozen.items()}} if self.frozen else {}),
                "world": self.world.size,
                **{
                    name: digest_arrays({n: v.cpu().numpy() for n, v in found.items()})
                    for name, found in (("known", self.known), ("heads", self.heads))
                    if found is not None
                },
            }
        )

    def _steps(self, phase: int) -> int:
        return math.ceil(self.settings.phases[phase].kimg * 1000 / self.settings.batch)

    def _enter(self, networks: Networks) -> Stepper:
        resolution = self.settings.phases[self.phase].resolution
        images = open_images(
            self.out / "data",
            resolution,
            self.data.get("labels"),
            self.data.get("groups"),
            self.data.get("weights"),
        )
        self.networks = networks
        add_features(networks, self.settings, self.frozen, self.world.device)
        p = self.stepper.ada.p if self.stepper else 0.0
        self.stepper = Stepper(
            self.settings,
            self.world,
            images,
            networks,
            self.phase,
            from_scratch=self.phase == 0 and self.start is None,
        )
        self.stepper.ada.p = p
        return self.stepper

    def _begin(self) -> Stepper:
        """The state in `out`, or fresh networks."""
        state = self.state.read()
        if state is None:
            self._cut_metrics(
                0
            )  # of a run that was killed before its first state, or whose state was removed
            networks = first_networks(self.settings, self.c_dim, self.start, self.world.device, self.known)
            if self.start is not None and self.settings.warmup_kimg:
                known = warm_up(
                    self.settings, self.world, self.out / "data", self.data, networks.average, self.report
                )
                networks = assemble(
                    networks.generator, networks.average, known, self.settings, self.world.device, self.start
                )
            stepper = self._enter(networks)
            if self.heads is not None and networks.features is not None:
                taken = networks.features.take(self.heads)
                self.report(f"heads that go on: {', '.join(taken) or 'none'}")
            return stepper
        if state["phase"] >= len(self.settings.phases):
            raise self.state.other()
        self.phase, self.step = state["phase"], state["step"]
        networks = blank_networks(
            self.settings,
            self.settings.phases[self.phase].resolution,
            self.c_dim,
            self.start,
            self.world.device,
            fading=any(name.startswith("faded_rgb.") for name in state["discriminator"]),
        )
        with self.state.restoring():
            stepper = self._enter(networks)
            for name, part in networks.parts().items():
                if isinstance(part, torch.optim.Optimizer):
                    restore_optimizer(part, state[name])
                else:
                    part.load_state_dict(state[name])
        with self.state.restoring():
            stepper.ada.p, stepper.ada.signs, stepper.path_mean = (
                state["p"],
                list(state["signs"]),
                state["path_mean"],
            )
            lines = self._logged(state)
        self._cut_metrics(lines)
        kimg = self.step * self.settings.batch / 1000
        self.report(f"resumed at {networks.generator.resolution} px, {kimg:.1f} kimg of that phase")
        return stepper

    def _logged(self, state: dict[str, Any]) -> int:
        """How many lines of `metrics.jsonl` the state knows of. Earlier versions kept their bytes, which vary
        with the clock.
        """
        path = self.out / "metrics.jsonl"
        if "metrics_lines" in state:
            return int(state["metrics_lines"])
        with open(path if path.is_file() else os.devnull, "rb") as file:
            return file.read(int(state["metrics_bytes"])).count(b"\n")

    def _cut_metrics(self, lines: int) -> None:
        """Forget what was logged after the state was written."""
        path, self.lines = self.out / "metrics.jsonl", lines
        if path.is_file():
            with open(path, "rb+", opener=unlinked) as file:
                for _ in takewhile(lambda _: file.readline(), range(lines)):
                    pass
                file.truncate()

    def run(self, stop_after: int | None = None) -> Path:
        """Train to the end; returns the path of `generator.safetensors`.

        Args:
            stop_after: so many more steps, for tests; None: all that are left.

        Raises:
            UsageError: `out` holds another run, or a loss is no longer finite.
            DataError: the state in `out` is damaged.
        """
        torch.set_num_threads(self.settings.threads)
        keep_freed_memory()
        self.report(self.choice.text)
        self.stepper = self._begin()
        total = sum(map(self._steps, range(len(self.settings.phases))))
        first = self._steps_before() + min(self.step, self._steps(self.phase))  # a phase may be shorter now
        clock = time.monotonic()
        every = max(1, round(self.settings.snapshot_kimg * 1000 / self.settings.batch))

        def save(done: int, figures: Figures) -> None:
            nonlocal clock
            count = len(figures["loss_g"]) * self.settings.batch
            means = {name: sum(values) / len(values) for name, values in figures.items()}
            self._snapshot(means, count / (time.monotonic() - clock))
            clock = time.monotonic()

        run_steps(
            self._one,
            Steps(total, first, advice="lower the learning rates, or use --precision float32"),
            due=lambda done: self.step % every == 0 or self.step == self._steps(self.phase),
            save=save,
            stop=lambda done: stop_after is not None and done - first >= stop_after,
        )
        return self.out / "generator.safetensors"

    def _steps_before(self) -> int:
        return sum(map(self._steps, range(self.phase)))

    def _grow(self) -> None:
        """Go on to the next phase where this one is done."""
        while self.step >= self._steps(self.phase):
            assert self.networks is not None
            self.phase, self.step = self.phase + 1, 0
            resolution = self.settings.phases[self.phase].resolution
            self._enter(
                grown_networks(self.networks, self.settings, resolution, self.world.device, self.start)
            )

    def _one(self, number: int) -> dict[str, float]:
        """The step that is next; its number in the whole run is `number`."""
        self._grow()
        assert self.stepper is not None
        settings, discriminator = self.settings, self.stepper.networks.discriminator
        if discriminator.faded_rgb is not None:
            discriminator.fade = min(1.0, self.step * settings.batch / max(settings.fade_kimg * 1000, 1e-8))
        shown = self.stepper.shown(self.step)
        judged = self.stepper.discriminator_step(self.step, shown) | self.stepper.features_step(shown)
        out = judged | self.stepper.generator_step(self.step)
        self.step += 1
        return out

    def _snapshot(self, means: dict[str, float], rate: float) -> None:
        """Write what is there after a step. rate: images a second since the last time."""
        stepper = self.stepper
        assert stepper is not None
        settings, networks = self.settings, stepper.networks
        kimg = self.step * settings.batch / 1000
        if self.world.rank:
            self.world.barrier()
            return
        resolution = networks.generator.resolution
        line = {"resolution": resolution, "kimg": round(kimg, 3), "p": round(stepper.ada.p, 5)}
        line |= {name: round(value, 5) for name, value in means.items()}
        with open(self.out / "metrics.jsonl", "a", encoding="utf-8", opener=unlinked) as file:
            file.write(json.dumps({**line, "images_per_second": round(rate, 2)}, sort_keys=True) + "\n")
        self.lines += 1
        log_figures(self._steps_before() + self.step, {**line, "images_per_second": rate})
        self.save_average()
        grid = encode(grid_image(networks.average, seed_of(settings.seed, "grid")), "png")
        write_bytes(self.out / f"samples-{resolution:04d}-{kimg:07.1f}.png", grid)
        state = {
            "phase": self.phase,
            "step": self.step,
            "p": stepper.ada.p,
            "signs": stepper.ada.signs,
            "path_mean": stepper.path_mean,
            "metrics_lines": self.lines,
            **{name: part.state_dict() for name, part in networks.parts().items()},
        }
        self.state.write(state)
        self.report(", ".join(f"{name} {value}" for name, value in line.items()) + f", {rate:.1f} images/s")
        self.world.barrier()

    def save_average(self) -> Path:
        """Write the averaged generator as a checkpoint that every other command reads."""
        assert self.networks is not None
        path = self.out / "generator.safetensors"
        save_generator(path, self.networks.average, self.metadata)
        return path
