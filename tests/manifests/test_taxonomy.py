"""Taxonomies: cells, maps into each other, and where there is no map."""

import itertools

import numpy as np
import pytest

from manifests.errors import UsageError
from manifests.taxonomy import AGES, GENDERS, TAXONOMIES, get_taxonomy


def test_the_taxonomies_and_their_sizes():
    assert {name: (len(t.races), len(t.cells)) for name, t in TAXONOMIES.items()} == {
        "fairface7": (7, 14),
        "fairface4": (4, 8),
        "ffpp": (4, 8),
        "monk3": (3, 6),
        "fairface7-ages": (7, 56),
        "fairface4-ages": (4, 32),
        "ffpp-ages": (4, 32),
    }
    assert len(AGES) == 9
    assert GENDERS == ("Male", "Female")


@pytest.mark.parametrize("name", TAXONOMIES)
def test_cells_are_races_times_genders_times_ages_and_split_again(name):
    taxonomy = get_taxonomy(name)
    ages = taxonomy.ages or (None,)
    cells = []
    for race, gender, age in itertools.product(taxonomy.races, taxonomy.genders, ages):
        cell = taxonomy.cell(race, gender, age)
        assert cell == "/".join(part for part in (race, gender, age) if part)
        assert taxonomy.split_cell(cell) == (race, gender)
        assert taxonomy.parts(cell).get("age") == age
        assert taxonomy.find_cell(cell.replace("/", "-")) == taxonomy.find_cell(cell) == cell
        cells.append(cell)
    assert list(taxonomy.cells) == cells


@pytest.mark.parametrize("name", [name for name in TAXONOMIES if name.endswith("-ages")])
def test_every_age_band_is_in_one_bin_and_its_probability_too(name):
    taxonomy, plain = get_taxonomy(name), get_taxonomy(name.removesuffix("-ages"))
    bins = [taxonomy.age_bin(band) for band in AGES]
    assert bins == ["0-19"] * 3 + ["20-39"] * 2 + ["40-59"] * 2 + ["60+"] * 2
    assert taxonomy.age_bin("12") is None
    assert taxonomy.cell(taxonomy.races[0], "Male", None) is None
    assert plain.cell(plain.races[0], "Male", "20-29") == f"{plain.races[0]}/Male"
    bands = AGES[::-1]  # the columns come in the model's own order
    given = np.random.default_rng(0).dirichlet(np.ones(9), 5).astype(np.float32)
    binned = taxonomy.bin_ages(given, bands)
    for k, age_bin in enumerate(taxonomy.ages):
        columns = [c for c, band in enumerate(bands) if bins[AGES.index(band)] == age_bin]
        assert np.allclose(binned[:, k], given[:, columns].sum(axis=1))
    assert np.allclose(binned.sum(axis=1), 1)


def test_an_age_axis_leaves_the_maps_as_they_are():
    aged = get_taxonomy("fairface7-ages")
    for race in aged.races:
        assert aged.map_race(race, "fairface4-ages") == get_taxonomy("fairface7").map_race(race, "fairface4")
        assert get_taxonomy("fairface7").map_race(race, "fairface7-ages") == race
    probabilities = np.eye(7, dtype=np.float32)
    assert np.array_equal(
        aged.aggregate(probabilities, "fairface4-ages"),
        get_taxonomy("fairface7").aggregate(probabilities, "fairface4"),
    )


@pytest.mark.parametrize("name", TAXONOMIES)
def test_maps_name_known_races_on_both_sides(name):
    taxonomy = get_taxonomy(name)
    for other, table in taxonomy.maps.items():
        assert set(table) == set(taxonomy.races), "every race says where it goes, or None"
        assert {to for to in table.values() if to is not None} <= set(get_taxonomy(other).races)


@pytest.mark.parametrize(
    ("race", "expected"),
    [
        ("Middle Eastern", "White"),
        ("Latino_Hispanic", "White"),
        ("East Asian", "Asian"),
        ("Southeast Asian", "Asian"),
        ("Indian", "Indian"),
        ("Black", "Black"),
        (None, None),
        ("Martian", None),
    ],
)
def test_fairface_merge(race, expected):
    assert get_taxonomy("fairface7").map_race(race, "fairface4") == expected


def test_a_race_that_straddles_several_maps_to_nothing():
    assert get_taxonomy("fairface4").map_race("White", "ffpp") is None
    assert get_taxonomy("ffpp").map_race("others", "fairface4") is None


def test_a_taxonomy_maps_to_itself():
    assert get_taxonomy("monk3").map_race("dark", "monk3") == "dark"
    assert get_taxonomy("monk3").map_race("White", "monk3") is None


def test_skin_tone_is_not_race():
    with pytest.raises(UsageError, match="cannot be mapped"):
        get_taxonomy("monk3").map_race("light", "fairface4")


def test_probabilities_are_summed_by_hand():
    seven = np.array(
        [[0.1, 0.2, 0.05, 0.3, 0.15, 0.12, 0.08]], np.float32
    )  # White Black Latino East SE Indian ME
    four = get_taxonomy("fairface7").aggregate(seven, "fairface4")
    np.testing.assert_allclose(four, [[0.1 + 0.05 + 0.08, 0.2, 0.45, 0.12]], rtol=1e-6)
    assert four.dtype == np.float32


def test_mass_without_counterpart_is_dropped():
    out = get_taxonomy("fairface4").aggregate(np.full((2, 4), 0.25, np.float32), "ffpp")
    np.testing.assert_allclose(out.sum(1), 0.75)


def test_unknown_names_have_the_nearest():
    with pytest.raises(UsageError, match="did you mean fairface"):
        get_taxonomy("fairface5")
    with pytest.raises(UsageError, match=r"did you mean .*White/Male"):
        get_taxonomy("fairface4").split_cell("White/male")


def test_unknown_race_or_gender_has_no_cell():
    taxonomy = get_taxonomy("fairface4")
    assert taxonomy.cell("White", None) is None
    assert taxonomy.cell("white", "Male") is None


def test_taxonomies_cannot_be_changed():
    with pytest.raises(TypeError):
        TAXONOMIES["fairface7"].maps["fairface4"]["White"] = "Black"
