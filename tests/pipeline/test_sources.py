"""Where photographs come from: every kind of source, filters, cells, licences; and runs that need no
generator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import DataError, MissingError, UsageError
from manifests.images import read_image
from manifests.taxonomy import AGES
from pipeline.__main__ import main
from pipeline.engine.config import Config
from pipeline.engine.config_file import dump_config, load_config
from pipeline.engine.config_sample import STRICT, PhotographFilters
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.runner import plan, select
from pipeline.engine.shards import Task
from pipeline.engine.stages import all_stages
from pipeline.stages.cross.source import find_photographs
from pipeline.stages.sample.photograph_sources import photographs_of
from pipeline.stages.sample.photographs import CONSENT, Taken, choose, digests, take_photographs
from pipeline.stages.sample.stage import SampleStage, quotas
from tests.pipeline import photograph_files as made

STAGES = [stage for stage in all_stages() if not stage.optional]

FILTERS = PhotographFilters().model_dump()
Write = Callable[[Path, list[dict[str, Any]]], Path]
KINDS: dict[
    str, tuple[Write, bool, bool]
] = {  # how to write it; whether cells are known; whether by annotation
    "manifest": (made.manifest, True, True),
    "manifest file": (lambda path, rows: made.manifest(path, rows) / "manifest.parquet", True, True),
    "manifest without cells": (
        lambda path, rows: made.manifest(
            path, rows, race=None, gender=None, cell=None, attribute_source=None
        ),
        False,
        False,
    ),
    "predicted manifest": (
        lambda path, rows: made.manifest(path, rows, attribute_source="model:m@12345678"),
        True,
        False,
    ),
    "folder": (made.pictures, False, False),
    "folder with attributes.csv": (made.with_csv, True, True),
    "folder with attributes.parquet": (made.with_predictions, True, False),
    "parquet": (lambda path, rows: made.faces(path.with_suffix(".parquet"), rows), True, True),
}


def config_of(*paths: Path, **sample: Any) -> Config:
    """A run of photographs, all cells of the test's people wanted."""
    return Config.model_validate(
        {
            "dataset": {"only": made.CELLS, "per_cell": 2},
            "sample": {"source": "photographs", "photographs": [str(path) for path in paths], **sample},
        }
    )


def taken(config: Config, folder: Path) -> list[dict[str, Any]]:
    """Rows of the candidates, written below `folder`."""
    chosen, _ = choose(config, quotas(config))
    payload = Taken(config.sample.photographs, config.sample.filters, "fairface4", 5, tuple(chosen))
    return list(take_photographs(Task("sample", 0, folder, "key", take_photographs, payload)).to_pylist())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_gives_its_photographs(kind: str, tmp_path: Path):
    write, known, annotated = KINDS[kind]
    rows = made.people(8)
    config = config_of(write(tmp_path / "faces", rows))
    found = taken(config, tmp_path / "out")
    assert len(found) == 8
    assert {row["status"] for row in found} == {"ok"}
    assert {row["origin"] for row in found} == {"photograph"}
    cells = Counter(row["cell"] for row in found)
    assert cells == (dict.fromkeys(made.CELLS, 2) if known else {None: 8})
    assert all((row["attribute_source"] or "").startswith("annotation:") == annotated for row in found)
    assert all(row["consent"] and row["generator"] is None for row in found)
    pixels = {read_image(tmp_path / "out" / row["path"]).tobytes() for row in found}
    assert pixels == {made.picture(k).tobytes() for k in range(8)}
    assert taken(config, tmp_path / "again") == found


def test_licence_and_consent_are_those_of_each_photograph(tmp_path: Path):
    sources = [
        made.manifest(tmp_path / "m", made.people(4)),
        made.with_csv(tmp_path / "c", made.people(4, 4)),
        made.faces(tmp_path / "f.parquet", made.people(4, 8)),
    ]
    found = taken(config_of(*sources), tmp_path / "out")
    assert Counter((row["licence"], row["consent"], row["dataset"]) for row in found) == {
        ("CC0 1.0", "asked", "people"): 4,
        ("mine", "signed", "photographs"): 4,
        ("CC BY 4.0", CONSENT, "fairface-parquet"): 4,
    }
    assert len({row["image_id"] for row in found}) == 12


def test_the_same_name_in_two_sources_is_two_photographs(tmp_path: Path):
    rows = made.people(4)
    others = [{**other, "name": row["name"]} for row, other in zip(rows, made.people(4, 4), strict=True)]
    found = taken(
        config_of(made.with_csv(tmp_path / "a", rows), made.with_csv(tmp_path / "b", others)),
        tmp_path / "out",
    )
    assert len({row["image_id"] for row in found}) == len({row["sha256"] for row in found}) == 8


def test_of_each_person_one_photograph_is_tried(tmp_path: Path):
    rows = made.people(12)
    source = made.manifest(tmp_path / "m", rows, identity_id="somebody")
    found = taken(config_of(source), tmp_path / "out")
    assert Counter(row["cell"] for row in found) == dict.fromkeys(made.CELLS, 1)
    assert {row["identity_id"] for row in found} == {"people:somebody"}


def test_photographs_without_a_cell_are_tried_in_number_too(tmp_path: Path):
    config = config_of(made.pictures(tmp_path / "p", made.people(40)), tries=1)
    assert len(choose(config, quotas(config))[0]) == sum(quotas(config).values()) == 12


def test_races_in_fairface_s_words_are_mapped_and_others_left_out(tmp_path: Path):
    rows = [
        {**row, "race": race}
        for row, race in zip(made.people(3), ("East Asian", "Middle Eastern", "Martian"), strict=True)
    ]
    wanted = config_of(made.with_csv(tmp_path / "c", rows)).with_values(dataset={"only": ()})
    chosen, (said,) = choose(wanted, quotas(wanted))
    assert sorted(str(one.item.cell) for one in chosen) == ["Asian/Male", "White/Female"]
    assert "1 of them: its race and gender are no cell" in said
    seven = made.manifest(tmp_path / "seven", rows[:2], taxonomy="fairface7", cell=None)
    assert sorted(str(item.cell) for item in photographs_of(seven, "fairface4", FILTERS)) == [
        "Asian/Male",
        "White/Female",
    ]
    with pytest.raises(UsageError, match="monk3"):
        list(
            photographs_of(
                made.manifest(tmp_path / "monk", rows, taxonomy="fairface7", cell=None), "monk3", FILTERS
            )
        )


def test_fakes_generated_faces_and_children_are_left_out(tmp_path: Path):
    rows = made.people(4)
    for name, changes in (
        ("fake", {"label": 1, "method": "swap-a", "family": "swap"}),
        ("generated", {"origin": "synthetic"}),
        ("age", {"age": "3-9"}),
    ):
        source = made.manifest(tmp_path / name, rows, **changes)
        config = config_of(source)
        with pytest.raises(DataError, match=name):
            choose(config, quotas(config))
    older = config_of(source, filters={"ages": AGES})
    assert len(choose(older, quotas(older))[0]) == 4


def test_filters_are_set_in_the_configuration_and_the_strict_ones_are_still_there(tmp_path: Path):
    rows = made.people(4)
    source = made.faces(
        tmp_path / "f.parquet",
        rows,
        yaw_proxy=[0.1, 0.4, -0.4, 0.6],
        sharpness=[99.0, 20.0, 30.0, 99.0],
        brightness=[99.0] * 4,
        outside_frac=[0.0] * 4,
    )

    def kept(**sample: Any) -> set[str]:
        config = config_of(source, **sample)
        return {one.item.key for one in choose(config, quotas(config))[0]}

    assert kept() == {"000.png", "001.png", "002.png"}
    assert kept(filters="strict") == {"000.png"}
    assert kept(filters={"max_yaw": 1.0}) == {row["name"] for row in rows}
    assert kept(filters={"min_sharpness": 25.0}) == {"000.png", "002.png"}
    assert (
        STRICT["max_yaw"],
        STRICT["min_sharpness"],
        STRICT["min_brightness"],
        STRICT["max_outside_frac"],
    ) == (0.3, 25, 45, 0.05)
    with pytest.raises(UsageError, match="3-10 is none of"):
        load_config(sets=['sample.filters.ages=["3-10"]'])


def test_one_path_or_several_and_both_survive_the_file(tmp_path: Path):
    one = load_config(sets=["sample.source=photographs", "sample.photographs=m/photos"])
    assert one.sample.photographs == ("m/photos",)
    assert load_config(sets=["sample.photographs="]).sample.photographs == ()
    several = load_config(sets=['sample.photographs=["a", "b"]', "sample.filters=strict"])
    (tmp_path / "c.toml").write_text(dump_config(several))
    assert load_config(tmp_path / "c.toml") == several
    with pytest.raises(UsageError, match="named once"):
        load_config(sets=['sample.photographs=["a", "a"]'])


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["dataset.generated_as=fake"], "set sample.source = both"),
        (["dataset.generated_as=fake", "sample.source=photographs"], "set sample.source = both"),
        (["sample.counterfactual=true", "sample.source=both"], "set source = generator"),
    ],
)
def test_what_does_not_go_together_is_said(sets: list[str], words: str):
    with pytest.raises(UsageError, match=words) as caught:
        load_config(sets=sets)
    assert len(str(caught.value)) < 600


def test_sources_that_are_not_there_or_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(MissingError, match="names none"):
        digests([])
    configs = Path(__file__).parents[2] / "configs"
    for name in ("photographs", "both"):  # before the cells of a generator are fitted, too
        assert (
            main(
                [
                    "run",
                    "--config",
                    str(configs / f"{name}.toml"),
                    "--out",
                    str(tmp_path / "r"),
                    "--quiet",
                    "--set",
                    f"sample.photographs={tmp_path}/nowhere",
                ]
            )
            == 3
        )
        said = capsys.readouterr().err
        assert "nowhere: is not there" in said
        assert "--set sample.photographs=PATH" in said
    for kind, (write, *_) in KINDS.items():
        folder = tmp_path / kind.replace(" ", "-")
        before = digests([str(write(folder, made.people(4)))])
        assert digests([str(write(folder, made.people(5)))]) != before, kind
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match="holds no images"):
        list(photographs_of(tmp_path / "empty", "fairface4", FILTERS))


def test_a_run_of_photographs_needs_no_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stage `cells` is skipped and said to be; no stage asks for the weight of a generator that is not
    there.
    """
    monkeypatch.delenv("FAIRFORGE_DATA", raising=False)
    source = made.manifest(tmp_path / "m", made.people(4))
    config = config_of(source).with_values(cells={"generator": "nobody-has-this"})
    names = [stage.name for stage in select(None, None, config)]
    assert names == [stage.name for stage in STAGES if stage.name.partition("/")[0] not in ("cells", "cross")]
    run = RunDirectory(tmp_path / "run", config)
    said = {one.stage: (one.state, one.why) for one in plan(run)}
    assert said["cells"] == ("skipped", "no face comes from a generator")
    assert said["cross"][0] == "skipped"
    assert said["sample"][0] == "missing", "what it needs is there"
    for stage in STAGES:
        if stage.name in names:
            assert "generator" not in stage.weights(run)
    assert "nobody-has-this" not in str(SampleStage().config(run))
    with pytest.raises(UsageError, match="no second dataset"):
        select("cross", "cross", config)
    with pytest.raises(UsageError, match="no second dataset"):
        select(None, "cross/verify", config)
    other = config.with_values(cross={"source": "generator"})
    assert select(None, None, other)[0].name == "cells"


def test_plan_and_status_say_that_cells_are_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
):
    monkeypatch.delenv("FAIRFORGE_DATA", raising=False)
    source = made.manifest(tmp_path / "m", made.people(4))
    sets = ["--set", "sample.source=photographs", "--set", f"sample.photographs={source}"]
    assert main(["plan", "--out", str(tmp_path / "r"), *sets]) == 0
    assert "cells     skipped  no face comes from a generator" in capsys.readouterr().out
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "config.toml").write_text(dump_config(config_of(source)))
    assert main(["status", "--out", str(tmp_path / "r")]) == 0
    assert "cells     skipped      no face comes from a generator" in capsys.readouterr().out


def test_a_run_is_not_tested_on_the_photographs_it_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = made.faces(tmp_path / "fairface128" / "dev.parquet", made.people(4))
    monkeypatch.setenv("FAIRFORGE_DATA", str(tmp_path))
    assert find_photographs(Config()) == path
    assert find_photographs(config_of(path)) is None
    other = config_of(made.manifest(tmp_path / "m", made.people(4)))
    assert find_photographs(other) == path
    assert find_photographs(other.with_values(cross={"source": "none"})) is None
