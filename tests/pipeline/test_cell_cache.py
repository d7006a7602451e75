"""Fitted cells kept between runs."""

from pathlib import Path

import pytest

from manifests.atomic import digest_file, write_json
from pipeline.__main__ import main
from pipeline.stages.cells.cache import keep, take

FIT = {
    "cells.latents": 200,
    "cells.shard_size": 100,
    "cells.min_latents": 4,
    "cells.refine_rounds": 0,
    "cells.hit_rate_draws": 8,
    "cells.min_race_prob": 0.4,
    "cells.min_gender_prob": 0.6,
    "dataset.only": '["White/Female", "Asian/Female"]',
    "execute.executor": "local",
}


def fit(out: Path, **sets: object) -> int:
    given = {**FIT, **sets}
    return main(
        [
            "fit-cells",
            "--out",
            str(out),
            *(part for key, value in given.items() for part in ("--set", f"{key}={value}")),
        ]
    )


def test_a_second_run_takes_the_fit_of_the_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
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


def fine() -> None:
    """A check that refuses nothing."""


def test_what_is_damaged_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAIRFORGE_CACHE", str(tmp_path / "cache"))
    files = [tmp_path / "model.safetensors", tmp_path / "cells.json"]
    files[0].write_bytes(b"one")
    files[1].write_bytes(b"two")
    copies = [tmp_path / "out" / path.name for path in files]
    copies[0].parent.mkdir()
    assert not take("k", copies, "cells", fine)
    keep("k", files, "cells")
    assert not take("other", copies, "cells", fine)
    assert take("k", copies, "cells", fine)
    assert [path.read_bytes() for path in copies] == [b"one", b"two"]
    stored = next((tmp_path / "cache").rglob("cells.json"))
    stored.write_bytes(b"twO")
    copies[1].unlink()
    assert not take("k", copies, "cells", fine)
    assert not copies[1].exists()
    stored.unlink()
    assert not take("k", copies, "cells", fine)
    monkeypatch.setenv("FAIRFORGE_CACHE", "")
    keep("k", files, "cells")
    assert not take("k", copies, "cells", fine)


def poison(cache: Path, model: bytes, cells: bytes) -> None:
    """Other content under digests that fit it."""
    folder = next(cache.rglob("digests.json")).parent
    (folder / "model.safetensors").write_bytes(model)
    (folder / "cells.json").write_bytes(cells)
    write_json(folder / "digests.json", {path.name: digest_file(path) for path in folder.glob("[mc]*")})


def test_a_poisoned_fit_is_refused_and_fresh_passes_it_by(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    cache = tmp_path / "cache"
    monkeypatch.setenv("FAIRFORGE_CACHE", str(cache))
    assert fit(tmp_path / "a") == 0
    good = (tmp_path / "a" / "cells" / "model.safetensors").read_bytes()
    for number, (model, cells) in enumerate(
        [(b"garbage", b"{}"), (good, b"[1]"), (good, b'{"White/Female": 1}')]
    ):
        poison(cache, model, cells)
        capsys.readouterr()
        assert fit(tmp_path / f"p{number}") == 0
        assert "taken from the cache" not in capsys.readouterr().err
        assert (tmp_path / f"p{number}" / "cells" / "model.safetensors").read_bytes() == good
    poison(cache, good, (tmp_path / "a" / "cells" / "cells.json").read_bytes())
    arguments = [part for key, value in FIT.items() for part in ("--set", f"{key}={value}")]
    assert main(["fit-cells", "--out", str(tmp_path / "a"), "--fresh", *arguments]) == 0
    assert "taken from the cache" not in capsys.readouterr().err


@pytest.mark.parametrize("place", ["/dev/null/x", "file/x"])
def test_a_cache_that_is_no_folder_is_said_before_anything_is_fitted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FAIRFORGE_CACHE", place if place.startswith("/") else str(tmp_path / place))
    assert fit(tmp_path / "a") == 2
    said = capsys.readouterr().err
    assert "is no place for it" in said
    assert "fix: set FAIRFORGE_CACHE" in said
    assert not list((tmp_path / "a").rglob("part-*"))


def test_a_folder_in_the_place_of_a_digest_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAIRFORGE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "cells.json"
    file.write_bytes(b"two")
    keep("k", [file], "cells")
    digests = next((tmp_path / "cache").rglob("digests.json"))
    digests.unlink()
    digests.mkdir()
    assert not take("k", [file], "cells", fine)
    keep("k", [file], "cells")
    assert take("k", [file], "cells", fine)
