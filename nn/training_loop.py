"""The one loop of all trainings: each step a function of its number, states on the way, exact resume.

What a training does for it:

    states = StateFile(out / "state.pt", key, {"step": int, "network": dict}, ANEW)
    state = states.read()  # None, or what an earlier call wrote; another training's is refused
    if state is not None:
        with states.restoring():
            network.load_state_dict(state["network"])


    def step(number):  # draws by (seed, number) alone
        return {"loss": loss}


    def save(done, figures):
        states.write({"step": done, "network": network.state_dict()})


    run_steps(step, Steps(total, done), due=lambda done: done % 100 == 0, save=save)

Killed at any moment and called again, it goes on from the last state that was written and ends in the same
bytes: a state is written whole or not at all, and equal states are equal bytes (`nn.saving`). A training in
epochs is one in steps whose states are due where an epoch ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.errors import UsageError
from manifests.watching import watching
from nn.saving import save_state
from nn.tensor_files import read_state, restoring

Figures = dict[str, list[float]]
"""Name -> its value at every step since the last state."""


class OtherTraining(UsageError):
    """The state is another training's. computed_in: the precision, where that is all they differ in."""

    def __init__(self, what: str, why: str, fix: str, computed_in: str | None) -> None:
        super().__init__(what, why, fix)
        self.computed_in = computed_in


@dataclass(frozen=True)
class StateFile:
    """Where a training keeps what it needs to go on.

    Args:
        path: the file.
        key: what the training is: a digest of its settings, data and the weights it starts from.
        entries: name -> type of what a state must hold, beside its key.
        anew: what to do about a state that is damaged or another's, as a sentence's end.
        others: what makes a training another one, for the message.
        keys: precision -> key, of the same training computed otherwise.
    """

    path: Path
    key: str
    entries: Mapping[str, type | tuple[type, ...]]
    anew: str
    others: str = "other settings or data"
    keys: Mapping[Any, str] = field(default_factory=dict)

    def read(self) -> dict[str, Any] | None:
        """The state, on the CPU; None where there is none.

        Raises:
            OtherTraining: it is another training's.
            DataError: it is damaged, or lacks an entry.
        """
        if not self.path.is_file():
            return None
        state = read_state(self.path, {"key": str, **self.entries}, self.anew)
        if state["key"] != self.key:
            raise self.other(next((used for used, key in self.keys.items() if key == state["key"]), None))
        return state

    def other(self, computed_in: str | None = None) -> OtherTraining:
        """The error of a state that is another training's.

        Args:
            computed_in: the precision, where that is all they differ in.
        """
        anew = f"choose another --out, or {self.anew}"
        if computed_in is None:
            why = f"is the state of a training with {self.others}"
            return OtherTraining(str(self.path), why, anew, None)
        why = f"is the state of this training computed in {computed_in}, which is not chosen here"
        fix = f"repeat the command with --precision {computed_in}, or {anew}"
        return OtherTraining(str(self.path), why, fix, computed_in)

    def restoring(self) -> AbstractContextManager[None]:
        """A context in which a state is put into networks and optimisers made for it; what does not fit is a
        `DataError`.
        """
        return restoring(self.path, self.anew)

    def write(self, state: Mapping[str, Any]) -> None:
        """Write a state with the key before it, atomically.

        Args:
            state: tensors, numbers, strings, lists, dictionaries; its order is that of the file.

        Raises:
            PartialError: the disk is full; what was there stays.
            UsageError: the folder cannot be written.
        """
        save_state(self.path, {"key": self.key, **state})


@dataclass(frozen=True)
class Steps:
    """How many steps a training has.

    Args:
        total: in all.
        done: before this call, in [0, total].
        what: the work, as progress is told of it.
        place: says where a step is, for errors.
        advice: what to do where the loss is no number any more.
    """

    total: int
    done: int = 0
    what: str = "training"
    place: Callable[[int], str] = "step {}".format
    advice: str = "lower the learning rate"


def never(done: int) -> bool:
    """No step is due, or the last."""
    return False


def run_steps(
    step: Callable[[int], Mapping[str, float]],
    steps: Steps,
    *,
    due: Callable[[int], bool],
    save: Callable[[int, Figures], None],
    stop: Callable[[int], bool] = never,
) -> int:
    """Do the steps that are left; after those that are `due` and after the last one, `save`.

    Args:
        step: does a step by its number from 0, and gives its figures by name; a function of the seed and the
            number alone.
        steps: how many.
        due: whether a state is written after so many steps.
        save: gets the number of steps done, and the figures of each step since the last state.
        stop: asked before each step, with the number of steps done: whether the training ends early.

    Returns:
        The number of steps done.

    Raises:
        UsageError: a figure is not finite; nothing is saved then.
    """
    figures: Figures = {}
    with watching(steps.what, steps.total, "steps", steps.done) as tell:
        for number in range(steps.done, steps.total):
            if stop(number):
                return number
            for name, value in step(number).items():
                if not math.isfinite(value):
                    raise UsageError(
                        "training", f"the {name} became {value} at {steps.place(number)}", steps.advice
                    )
                figures.setdefault(name, []).append(value)
            tell(number + 1)
            if due(number + 1) or number + 1 == steps.total:
                save(number + 1, figures)
                figures = {}
    return steps.total
