"""A saved state of the right key with other content: exit 3 with words, in every training that goes on from
one.
"""

from pathlib import Path

import pytest
import torch

from manifests.errors import DataError

PARTS = ["nothing", "a part is gone", "empty networks", "other shapes", "figures of another kind"]


def spoiled(state: dict, how: str) -> object:
    """The state as a file of another program, or a damaged one, may hold it; its key stays."""
    networks = [name for name, value in state.items() if isinstance(value, dict)]
    if how == "nothing":
        return {"key": state["key"]}
    if how == "a part is gone":
        return {name: value for name, value in state.items() if name != networks[-1]}
    if how == "empty networks":
        return {**state, **{name: {} for name in networks}}
    if how == "other shapes":
        return {**state, networks[0]: {name: torch.zeros(1) for name in state[networks[0]]}}
    return {**state, "epoch": [], networks[0]: [1]}


@pytest.mark.parametrize("other", [[1], None, 5, "text", {}])
def test_what_is_no_state_at_all(tmp_path: Path, other: object):
    from detector.inference.checkpoints import read_state
    from generators.training.networks import read_discriminator
    from generators.training.networks import read_state as read_generator_state

    path = tmp_path / "state.pt"
    torch.save(other, path)
    for read in (read_generator_state, read_discriminator, *([read_state] if other != {} else [])):
        with pytest.raises(DataError) as caught:
            read(path)
        assert caught.value.exit_code == 3


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A training of a detector that was stopped after its first epoch: what goes on from its folder."""
    from detector.training.loop import train
    from detector.training.settings import TrainSettings
    from tests.detector.detector_fixtures import TINY, make_set

    folder = tmp_path_factory.mktemp("detector")
    manifest, settings = make_set(folder / "set"), TrainSettings(**TINY)

    def stop(event):
        if event.get("epoch") == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, manifest, folder / "out", stop)
    return folder / "out" / "state.pt", lambda: train(settings, manifest, folder / "out", lambda event: None)


@pytest.fixture(scope="module")
def face_model(tmp_path_factory):
    """The same of a face network."""
    from tests.attribute_models import test_fitting

    folder = tmp_path_factory.mktemp("fit")
    with pytest.raises(test_fitting.Killed):
        test_fitting.train(folder, kill_after=1)
    return folder / "checkpoint.pt", lambda: test_fitting.train(folder)


@pytest.mark.parametrize("how", PARTS)
@pytest.mark.parametrize("training", ["detector", "face_model"])
def test_a_state_of_the_right_key_with_other_content(request: pytest.FixtureRequest, training: str, how: str):
    path, again = request.getfixturevalue(training)
    good = path.read_bytes()
    torch.save(spoiled(torch.load(path, weights_only=True), how), path)
    try:
        with pytest.raises(DataError) as caught:
            again()
        assert caught.value.exit_code == 3
        assert str(path) in caught.value.what
    finally:
        path.write_bytes(good)
