"""The loop of all trainings, its state file, and the running average, without any training of the project."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from manifests.errors import DataError, UsageError
from manifests.watching import watch_by
from nn.averaging import average_into, warming_decay
from nn.saving import save_state
from nn.training_loop import Figures, OtherTraining, StateFile, Steps, run_steps


class Sum:
    """A training that adds up the numbers of its steps, with a state every third step."""

    def __init__(self, out: Path, key: str = "k") -> None:
        self.state = StateFile(
            out / "state.pt", key, {"done": int, "sum": float}, "remove it", keys={"other": "b"}
        )
        self.done, self.sum, self.saved = 0, 0.0, []
        found = self.state.read()
        if found is not None:
            self.done, self.sum = found["done"], found["sum"]

    def step(self, number: int) -> dict[str, float]:
        self.sum += number
        return {"loss": float(number), "square": float(number**2)}

    def save(self, done: int, figures: Figures) -> None:
        self.saved.append((done, figures))
        self.state.write({"done": done, "sum": self.sum})

    def run(self, total: int = 8, **more) -> int:
        return run_steps(
            self.step, Steps(total, self.done), due=lambda done: done % 3 == 0, save=self.save, **more
        )


def test_states_are_saved_where_due_and_after_the_last_step_with_the_figures_between(tmp_path: Path):
    run = Sum(tmp_path)
    assert run.run() == 8
    assert [done for done, _ in run.saved] == [3, 6, 8]
    assert [figures["loss"] for _, figures in run.saved] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert run.saved[-1][1]["square"] == [36, 49]
    assert Sum(tmp_path).run() == 8
    assert Sum(tmp_path).sum == 28


def test_what_was_done_after_the_last_state_is_done_again(tmp_path: Path):
    killed = Sum(tmp_path)

    def dies(number: int) -> dict[str, float]:
        if number == 5:
            raise KeyboardInterrupt
        return Sum.step(killed, number)

    killed.step = dies
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    again = Sum(tmp_path)
    assert (again.done, again.sum) == (3, 3.0)
    again.run()
    assert again.sum == 28
    assert [done for done, _ in again.saved] == [6, 8]


def test_it_stops_where_it_is_told_to_and_saves_nothing_then(tmp_path: Path):
    run = Sum(tmp_path)
    assert run.run(stop=lambda done: done == 5) == 5
    assert [done for done, _ in run.saved] == [3]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_ends_it_and_nothing_is_saved(tmp_path: Path, value: float):
    run = Sum(tmp_path)
    steps = Steps(9, place=lambda number: f"epoch {number}", advice="lower it")
    with pytest.raises(UsageError, match=f"the loss became {value} at epoch 0") as caught:
        run_steps(lambda number: {"loss": value}, steps, due=lambda done: True, save=run.save)
    assert caught.value.fix == "lower it"
    assert not (tmp_path / "state.pt").exists()


def test_progress_goes_on_from_what_was_done(tmp_path: Path):
    told = []

    class Watching:
        def __init__(self, *words) -> None:
            told.append(words)

        def __enter__(self):
            return told.append

        def __exit__(self, *error) -> None:
            told.append("end")

    with watch_by(Watching):
        run_steps(lambda number: {}, Steps(4, 2, "clips"), due=lambda done: False, save=lambda *_: None)
    assert told == [("clips", 4, "steps", 2), 3, 4, "end"]


def test_another_training_s_state_is_refused_and_a_damaged_one(tmp_path: Path):
    Sum(tmp_path).run()
    with pytest.raises(OtherTraining, match="other settings or data") as caught:
        Sum(tmp_path, "another")
    assert caught.value.computed_in is None
    assert caught.value.fix == "choose another --out, or remove it"
    save_state(tmp_path / "state.pt", {"key": "b", "done": 1, "sum": 0.0})
    with pytest.raises(OtherTraining, match="computed in other") as caught:
        Sum(tmp_path)
    assert caught.value.computed_in == "other"
    assert "--precision other" in caught.value.fix
    save_state(tmp_path / "state.pt", {"key": "k", "done": 1})
    with pytest.raises(DataError, match="no sum"):
        Sum(tmp_path)
    (tmp_path / "state.pt").write_bytes(b"x")
    with pytest.raises(DataError):
        Sum(tmp_path)


def test_a_state_that_does_not_fit_is_a_damaged_file(tmp_path: Path):
    state = StateFile(tmp_path / "s", "k", {}, "remove it")
    state.write({"network": nn.Linear(2, 3).state_dict()})
    found = state.read()
    assert found is not None
    with pytest.raises(DataError, match="does not fit this training"), state.restoring():
        nn.Linear(3, 3).load_state_dict(found["network"])


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    pair = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    for k, one in enumerate(pair):
        nn.init.constant_(one.weight, float(k))
        one.running_mean.fill_(float(k))
        one.num_batches_tracked.fill_(7 * k)
    return pair


def test_the_average_keeps_its_share_and_integers_are_copied():
    average, network = networks()
    average_into(average, network, 0.75)
    assert average.weight.tolist() == [0.25] * 3
    assert average.running_mean.tolist() == [0.25] * 3
    assert int(average.num_batches_tracked) == 7
    average_into(average, network, 0.0)
    assert average.weight.tolist() == [1.0] * 3


def test_buffers_are_copied_where_they_are_not_averaged():
    average, network = networks()
    average_into(average, network, 0.75, buffers=False)
    assert average.weight.tolist() == [0.25] * 3
    assert average.running_mean.tolist() == [1.0] * 3


def test_early_averages_forget_faster():
    assert [warming_decay(0.5, step) for step in (0, 8, 100)] == [0.1, 0.5, 0.5]
