"""Balance: equal counts per split, cell and method; pairs whose halves agree."""

import pytest

from manifests.balance import check_balance, shortfalls
from manifests.taxonomy import get_taxonomy
from tests.manifests.manifest_rows import CELLS, METHODS, SPLITS, balanced_rows, changed, table

REAL, FAKE = "val-Black-Female-001", "val-Black-Female-001-blend-b"


def codes(rows, taxonomy=""):
    return [finding.code for finding in check_balance(table(rows, taxonomy))]


def test_a_balanced_set_has_no_finding():
    made = table(balanced_rows())
    assert check_balance(made) == []
    assert shortfalls(made) == {}


def test_splits_may_differ_in_size():
    rows = (
        balanced_rows(5, splits=("train",))
        + balanced_rows(2, splits=("val",))
        + balanced_rows(1, splits=("test",))
    )
    assert codes(rows) == []


def test_one_missing_fake_is_named_with_its_cell_and_method():
    rows = [row for row in balanced_rows() if row.image_id != FAKE]
    found = check_balance(table(rows))
    assert [f.code for f in found] == ["unbalanced"]
    assert "split val" in found[0].message
    assert "Black/Female blend-b lacks 1" in found[0].message
    assert shortfalls(table(rows)) == {"val Black/Female blend-b": 1}


def test_a_method_absent_from_one_cell_is_found_and_from_the_whole_split_is_not():
    rows = balanced_rows()
    assert codes([r for r in rows if (r.split, r.method) != ("test", "swap-a")]) == []
    assert codes([r for r in rows if (r.split, r.method, r.cell) != ("test", "swap-a", CELLS[0])]) == [
        "unbalanced"
    ]


def test_fewer_reals_than_fakes_of_each_method_is_found():
    extra = [
        r.model_copy(update={"image_id": f"{r.image_id}-again"})
        for r in balanced_rows()
        if r.method == "swap-a"
    ]
    assert codes(balanced_rows() + extra) == ["unbalanced"] * len(SPLITS)


def test_an_absent_cell_of_the_taxonomy_is_named():
    made = table(balanced_rows(), "fairface4")
    lacking = shortfalls(made)
    absent = set(get_taxonomy("fairface4").cells) - set(CELLS)
    assert set(lacking) == {f"{s} {c} {m}" for s in SPLITS for c in absent for m in METHODS}
    assert "Indian/Female" in check_balance(made)[0].message


def test_a_cell_absent_from_one_split_is_named():
    rows = [r for r in balanced_rows() if (r.split, r.cell) != ("test", "Black/Male")]
    found = check_balance(table(rows, "fairface4"))
    assert any("split test" in f.message and "Black/Male" in f.message for f in found)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("codec", "webp"),
        ("quality", 75),
        ("quality", None),
        ("width", 64),
        ("height", 31),
    ],
)
def test_a_pair_whose_halves_disagree_is_found(column, value):
    found = check_balance(table(changed(balanced_rows(), FAKE, **{column: value})))
    assert [f.code for f in found] == ["pair-disagrees"]
    assert column in found[0].message
    assert found[0].ids == (FAKE,)


def test_a_pair_across_cells_or_splits_is_found():
    assert "pair-disagrees" in codes(changed(balanced_rows(), FAKE, cell="White/Male"))
    assert "pair-disagrees" in codes(changed(balanced_rows(), FAKE, split="test"))


@pytest.mark.parametrize("pair_id", [None, "nobody"])
def test_a_fake_without_its_real_half_is_found(pair_id):
    found = check_balance(table(changed(balanced_rows(), FAKE, pair_id=pair_id)))
    assert [f.code for f in found] == ["no-real-half"]
    assert found[0].ids == (FAKE,)


def test_an_empty_manifest_is_not_an_error():
    assert check_balance(table([])) == []
