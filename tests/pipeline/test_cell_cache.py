"""Fitted cells kept between runs."""

from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.cell_cache import keep, take

FIT = {
    "cells.latents": 200, "cells.shard_size": 100, "cells.min_latents": 4, "cells.refine_rounds": 0, "cells.hit_rate_draws": 8,
    "cells.min_race_prob": 0.4, "cells.min_gender_prob": 0.6, "dataset.only": '["White/Female", "Asian/Female"]',
    "execute.executor": "local",
}


def fit(out: Path, **sets: object) -> int:
    given = {**FIT, **sets}
    return main(["fit-cells", "--out", str(out), *(part for key, value in given.items() for part in ("--set", f"{key}={value}"))])


def test_a_second_run_takes_the_fit_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("FAIRFORGE_CACHE", str(tmp_path / "cache"))
    said = []
    for name, sets in (("a", {}), ("b", {}), ("c", {"run.seed": 3}), ("b", {})):
        assert fit(tmp_path / name, **sets) == 0
        said.append(capsys.readouterr().err)
    assert ["taken from the cache" in text for text in said] == [False, True, False, False]
    assert "done already" in said[3]
    models = [(tmp_path / name / "cells" / "model.safetensors").read_bytes() for name in "abc"]
    assert models[0] == models[1] != models[2]
    monkeypatch.delenv("FAIRFORGE_CACHE")
    assert fit(tmp_path / "d") == 0
    assert "taken from the cache" not in capsys.readouterr().err
    assert (tmp_path / "d" / "cells" / "model.safetensors").read_bytes() == models[0]


def test_what_is_damaged_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAIRFORGE_CACHE", str(tmp_path / "cache"))
    files = [tmp_path / "model.safetensors", tmp_path / "cells.json"]
    files[0].write_bytes(b"one")
    files[1].write_bytes(b"two")
    copies = [tmp_path / "out" / path.name for path in files]
    copies[0].parent.mkdir()
    assert not take("k", copies)
    keep("k", files)
    assert not take("other", copies)
    assert take("k", copies)
    assert [path.read_bytes() for path in copies] == [b"one", b"two"]
    stored = next((tmp_path / "cache").rglob("cells.json"))
    stored.write_bytes(b"twO")
    copies[1].unlink()
    assert not take("k", copies)
    assert not copies[1].exists()
    stored.unlink()
    assert not take("k", copies)
    monkeypatch.setenv("FAIRFORGE_CACHE", "")
    keep("k", files)
    assert not take("k", copies)
