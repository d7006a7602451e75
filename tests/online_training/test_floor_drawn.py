"""The linear probe of a training on fakes drawn anew: its fakes are drawn once."""

from __future__ import annotations

from pathlib import Path

from pipeline.stages.evaluate.floors import Floors, build_floors, training_of
from tests.online_training.online_set import METHODS, PARAMS, make_set


def test_a_train_split_of_real_faces_gets_the_trainings_own_fakes(tmp_path: Path) -> None:
    manifest = make_set(tmp_path / "set")
    assert training_of([manifest], {}) is None
    training = training_of([manifest], {"online": METHODS, "online_params": PARAMS})
    assert training is not None
    (floor,), left_out = build_floors(Floors(("linear-probe",)), training, "cpu")
    assert (floor.title, left_out) == ("linear probe", {})
    bare = training_of(
        [make_set(tmp_path / "bare", landmarks=False)], {"online": METHODS, "online_params": PARAMS}
    )
    found, left_out = build_floors(Floors(("linear-probe",)), bare, "cpu")
    assert found == []
    assert "no real face that fakes can be made of" in left_out["linear probe"]
