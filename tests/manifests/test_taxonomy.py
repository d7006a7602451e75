"""Taxonomies: cells, maps into each other, and where there is no map."""

import itertools

import numpy as np
import pytest

from manifests.errors import UsageError
from manifests.taxonomy import AGES, GENDERS, TAXONOMIES, get_taxonomy


def test_the_four_taxonomies_and_their_sizes():
    assert {name: len(t.races) for name, t in TAXONOMIES.items()} == {
        "fairface7": 7, "fairface4": 4, "ffpp": 4, "monk3": 3}
    assert len(AGES) == 9
    assert GENDERS == ("Male", "Female")


@pytest.mark.parametrize("name", TAXONOMIES)
def test_cells_are_races_times_genders_and_split_again(name):
    taxonomy = get_taxonomy(name)
    assert list(taxonomy.cells) == [f"{r}/{g}" for r, g in itertools.product(taxonomy.races, taxonomy.genders)]
    for race, gender in itertools.product(taxonomy.races, taxonomy.genders):
        assert taxonomy.split_cell(taxonomy.cell(race, gender)) == (race, gender)


@pytest.mark.parametrize("name", TAXONOMIES)
def test_maps_name_known_races_on_both_sides(name):
    taxonomy = get_taxonomy(name)
    for other, table in taxonomy.maps.items():
        assert set(table) == set(taxonomy.races), "every race says where it goes, or None"
        assert {to for to in table.values() if to is not None} <= set(get_taxonomy(other).races)


@pytest.mark.parametrize(("race", "expected"), [
    ("Middle Eastern", "White"), ("Latino_Hispanic", "White"), ("East Asian", "Asian"), ("Southeast Asian", "Asian"),
    ("Indian", "Indian"), ("Black", "Black"), (None, None), ("Martian", None),
])
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
    seven = np.array([[0.1, 0.2, 0.05, 0.3, 0.15, 0.12, 0.08]], np.float32)  # White Black Latino East SE Indian ME
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
