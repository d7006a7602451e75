"""The column `origin` (photograph or synthetic): old manifests, importers, exporters, gather, balance, card
and Croissant.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from manifests.adapters import ADAPTERS, import_images
from manifests.balance import check_balance, shortfalls
from manifests.exporters import EXPORTERS
from manifests.gathering import gather
from manifests.records import ImageRecord
from manifests.release import ReleaseInfo
from manifests.release.card import card
from manifests.release.croissant import croissant
from manifests.release.licences import licences_text
from manifests.schema import ORIGINS, SCHEMA_VERSION, check_table, metadata_of, origin_counts
from manifests.store import read_manifest, write_manifest, write_table
from tests.manifests.adapter_cases import CASES as PICTURE_CASES
from tests.manifests.clip_cases import CLIP_CASES
from tests.manifests.manifest_rows import CELLS, balanced_rows, changed, drawn_set, table
from tests.manifests.test_gathering import SHARES, source

CASES = {**PICTURE_CASES, **CLIP_CASES}
INFO = ReleaseInfo(name="n", version="1", creators=("c",), licence="CC BY 4.0", description="d")


def both_origins(generated_fakes: bool = False) -> list[ImageRecord]:
    """A balanced set of each origin; or photographs with forgeries, and generated faces as fakes in their
    pairs.
    """
    photographs = [row.model_copy(update={"origin": "photograph"}) for row in balanced_rows()]
    if generated_fakes:
        return photographs + [
            row.model_copy(
                update={
                    "image_id": f"g-{row.image_id}",
                    "label": 1,
                    "method": "synthesis-g",
                    "family": "synthesis",
                    "origin": "synthetic",
                    "identity_id": f"g-{row.image_id}",
                }
            )
            for row in photographs
            if row.label == 0
        ]
    return photographs + [
        row.model_copy(
            update={
                "image_id": f"g-{row.image_id}",
                "origin": "synthetic",
                "identity_id": f"g-{row.identity_id}",
                "pair_id": f"g-{row.pair_id}",
                "target_id": row.target_id and f"g-{row.target_id}",
            }
        )
        for row in balanced_rows()
    ]


def test_a_manifest_without_the_column_is_read_with_nulls(tmp_path: Path):
    drawn_set(tmp_path, per_cell=1, size=8)
    old = read_manifest(tmp_path).drop_columns(["origin"])
    assert check_table(old) == []
    assert check_balance(old) == []
    write_table(old, tmp_path / "manifest.parquet")
    found = read_manifest(tmp_path)
    assert found["origin"].null_count == found.num_rows
    assert metadata_of(found)["schema_version"] == str(SCHEMA_VERSION) == "1"
    assert set(origin_counts(old)) == set(origin_counts(found))


def test_another_word_is_no_origin():
    rows = changed(balanced_rows(), "train-White-Male-000", origin="painting")
    assert [finding.code for finding in check_table(table(rows))] == ["bad-origin"]


@pytest.mark.parametrize("generated_fakes", [False, True])
def test_balance_takes_the_origin_in(generated_fakes: bool):
    rows = both_origins(generated_fakes)
    assert check_balance(table(rows)) == []
    gone = "g-val-Black-Female-001"
    fewer = [row for row in rows if not row.image_id.startswith(gone)]
    named = "synthesis-g" if generated_fakes else "synthetic none"
    assert f"val Black/Female {named}" in shortfalls(table(fewer))
    assert "unbalanced" in {finding.code for finding in check_balance(table(fewer))}


def test_cells_that_are_even_in_all_but_the_origin_are_unbalanced():
    """As many real images in every cell, but in one of them all of one origin."""
    rows = [row.model_copy(update={"origin": ORIGINS[int(row.pair_id[-1])]}) for row in balanced_rows()]
    assert check_balance(table(rows)) == []
    swapped = [
        row.model_copy(update={"origin": "photograph"}) if row.cell == CELLS[0] else row for row in rows
    ]
    lacking = shortfalls(table(swapped))
    assert lacking["train White/Male synthetic none"] == 2
    assert lacking["train Black/Male photograph none"] == 1


def test_a_forgery_of_another_origin_than_its_pair_is_found():
    rows = changed(both_origins(), "val-Black-Female-001-blend-b", origin="synthetic")
    found = {finding.code: finding for finding in check_balance(table(rows))}
    assert "origin differs" in found["pair-disagrees"].message


@pytest.mark.parametrize("name", ADAPTERS.names())
def test_every_adapter_says_what_it_knows(name: str, tmp_path: Path):
    """A camera's faces are photographs; a layout that anybody may fill says nothing, or what its rows say."""
    for number, case in enumerate(CASES[name]):
        items = [item for item in case.items(tmp_path / str(number)) if item.problem is None]
        assert items
        real = {item.origin for item in items if item.label == 0}
        anybody = name in ("folder", "imagefolder", "webdataset", "deepfakebench", "purdue")
        assert real == {None if anybody else "photograph"}
        made = {item.origin for item in items if item.family == "synthesis"}
        assert made <= {"synthetic"}


@pytest.mark.parametrize("name", sorted(set(EXPORTERS.names()) & set(ADAPTERS.names()) - {"purdue"}))
def test_origin_and_consent_come_back_from_every_layout_with_a_place_for_them(name: str, tmp_path: Path):
    made = drawn_set(tmp_path / "set", per_cell=2, size=8)
    rows = [
        {**row, "origin": ORIGINS[k % 2], "consent": f"consent {k % 3}", "licence": f"licence {k % 3}"}
        for k, row in enumerate(made.to_pylist())
    ]
    write_manifest(type(made).from_pylist(rows, schema=made.schema), tmp_path / "set" / "manifest.parquet")
    place = EXPORTERS.create(name).export(tmp_path / "set", tmp_path / "out")
    back = read_manifest(import_images(name, place, tmp_path / "back", "fairface4").manifest)

    def facts(found: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
        return Counter(
            tuple(row[key] for key in ("cell", "label", "origin", "consent", "licence")) for row in found
        )

    assert facts(back.to_pylist()) == facts(rows)


def test_an_origin_that_is_none_is_a_reason(tmp_path: Path):
    from manifests.images import encode

    (tmp_path / "a.png").write_bytes(encode(drawn_picture(), "png"))
    (tmp_path / "labels.csv").write_text("path,label,origin\na.png,0,painting\n")
    (item,) = ADAPTERS.create("folder").read(tmp_path)
    assert "origin" in str(item.problem)


def drawn_picture() -> Any:
    import numpy as np

    return np.full((8, 8, 3), 90, np.uint8)


def test_gather_counts_and_shares_by_cell_and_origin(tmp_path: Path):
    photographs = source(tmp_path / "a", range(12), "a", origin="photograph", consent="asked")
    drawn = source(tmp_path / "b", range(100, 112), "b", origin="synthetic")
    found = read_manifest(gather([photographs, drawn], tmp_path / "out", shares=SHARES, per_cell=4).manifest)
    counts = Counter(zip(*(found[name].to_pylist() for name in ("cell", "origin", "split")), strict=True))
    assert len(counts) == 2 * 2 * 3
    assert {(split, n) for (_, _, split), n in counts.items()} == {("train", 2), ("val", 1), ("test", 1)}
    assert {row["consent"] for row in found.to_pylist() if row["origin"] == "photograph"} == {"asked"}


def test_licences_name_the_datasets_of_photographs():
    named = {"photograph": "fairface-parquet", "synthetic": "demo"}
    rows = [row.model_copy(update={"dataset": named[str(row.origin)]}) for row in both_origins()]
    text = licences_text(table(rows, "fairface4"), "CC BY 4.0")
    assert f"- `fairface-parquet`: {2 * 3 * len(CELLS)} images" in text
    assert "`demo`" not in text
    assert "FairFace is a source of the photographs" in text
    assert "Photographs come from" not in licences_text(table(balanced_rows(), "fairface4"), "CC BY 4.0")


def test_card_and_croissant_say_where_faces_come_from():
    made = table(both_origins(), "fairface4")
    text = card(made, INFO, {})
    reals = 2 * 3 * len(CELLS)
    assert f"Real images: {reals} photographs, {reals} synthetic faces." in text
    assert "| White/Male, photograph | 2 | 2 | 2 |" in text
    told = croissant(made, INFO, "0" * 64, 1)
    assert told["rai:dataCollection"].startswith("Synthetic faces drawn")
    assert "and Photographs chosen" in told["rai:dataCollection"]
    assert "images/origin" in {field["@id"] for field in told["recordSet"][0]["field"]}
    alone = card(table(balanced_rows(), "fairface4"), INFO, {})
    assert "| White/Male | 2 |" in alone
    assert "of unknown origin" in alone
    fakes = card(table(both_origins(generated_fakes=True), "fairface4"), INFO, {})
    assert "| White/Male | 2 |" in fakes, "one origin of real images: cells are not taken apart"
