"""Trackers: what a training says is read back from what they wrote; none is needed, none is loaded
unasked.
"""

import contextlib
import importlib.util
import os
import subprocess
import sys

import pytest

from manifests import registry
from manifests.errors import MissingError, UsageError
from nn.tracking import TRACKERS, listening, log_figures, parse_track, tracked_by
from tests.nn.recorder import Recorder


def read_tensorboard(folder):
    """Settings as text, and the figures by step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    text = events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
    figures = {}
    for name in events.Tags()["scalars"]:
        for one in events.Scalars(name):
            figures.setdefault(one.step, {})[name] = one.value
    return dict(rows), figures


def read_mlflow(folder):
    from mlflow import MlflowClient

    client = MlflowClient(folder.absolute().as_uri())
    experiment = client.get_experiment_by_name("fairforge")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    figures = {}
    for name in run.data.metrics:
        for one in client.get_metric_history(run.info.run_id, name):
            figures.setdefault(one.step, {})[name] = one.value
    return run.data.params, figures


READERS = {"mlflow": read_mlflow, "tensorboard": read_tensorboard}


def test_every_tracker_is_read_back_here():
    assert set(READERS) == set(TRACKERS.names())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", READERS)
def test_figures_come_back(name, tmp_path, monkeypatch):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs fairforge[{name}]")
    for variable in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(variable, raising=False)
    with tracked_by([f"{name}:{tmp_path / 'figures'}"], {"epochs": 2, "lr": 0.5}):
        assert not (tmp_path / "figures").exists(), "made when the first figures come"
        log_figures(1, {"loss": 0.75, "name": "x", "whole": 3, "sure": True})
        log_figures(2, {"loss": 0.5, "whole": 4})
    settings, figures = READERS[name](tmp_path / "figures")
    assert settings == {"epochs": "2", "lr": "0.5"}
    assert figures == {1: {"loss": 0.75, "whole": 3.0}, 2: {"loss": 0.5, "whole": 4.0}}
    if name == "mlflow":
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.parametrize("name", READERS)
def test_without_its_package_the_extra_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(MissingError) as caught, tracked_by([f"{name}:{tmp_path / 'x'}"], {}):
        raise AssertionError("nothing is trained")
    assert caught.value.fix == f"pip install 'fairforge[{name}]'"
    assert list(tmp_path.iterdir()) == []


def test_who_listens_is_told_of_the_end_and_of_errors():
    first, second, third = Recorder(), Recorder(), Recorder()
    with listening([first], {"a": 1}):
        with contextlib.suppress(KeyError), listening([second], {}):
            log_figures(1, {"x": 1})
            raise KeyError
        log_figures(2, {"x": 2})
    log_figures(3, {"x": 3})
    assert (first.settings, first.lines, first.ended) == (
        {"a": "1"},
        [(1, {"x": 1.0}), (2, {"x": 2.0})],
        True,
    )
    assert (second.lines, second.ended) == ([(1, {"x": 1.0})], False)
    assert third.ended is None


@pytest.mark.parametrize("text", ["runs/tb", "tensorboard:", ":runs", ""])
def test_another_form_is_refused(text):
    with pytest.raises(UsageError):
        parse_track(text)


def test_an_unknown_tracker_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean tensorboard"):
        parse_track("tensorbord:x")


def test_knowing_trackers_loads_none_of_them():
    code = (
        "import sys; from nn.tracking import TRACKERS; TRACKERS.names(); "
        "sys.exit(bool({'torch', 'mlflow', 'tensorboard'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
