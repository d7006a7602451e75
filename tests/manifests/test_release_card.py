"""Releases: the card, licences, the citation, and the image folder."""

import re
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from manifests.errors import DataError
from manifests.exporters import EXPORTERS
from manifests.release import build_release, check_release
from tests.manifests.release_fixture import INFO, SPLITS


def test_front_matter_is_yaml(finished):
    head = (finished / "README.md").read_text().split("---\n")[1]
    data = yaml.safe_load(head)
    assert data["pretty_name"] == INFO.name
    assert data["license"] == "cc-by-4.0"
    assert data["size_categories"] == ["n<1K"]
    (config,) = data["configs"]
    assert config["data_files"] == [{"split": split, "path": f"images/{split}/**"} for split in SPLITS]
    features = {one["name"]: one["dtype"] for one in data["dataset_info"]["features"]}
    assert features["image"] == "image"
    assert features["label"] == {"class_label": {"names": {"0": "real", "1": "fake"}}}
    assert (features["seed"], features["psi"], features["width"], features["race"]) == (
        "int64",
        "float32",
        "int32",
        "string",
    )


def test_composition_equals_the_counts_of_the_manifest(dataset, finished, tmp_path):
    """Against pyarrow, also for a manifest that is not balanced."""
    shutil.copytree(dataset, tmp_path / "d")
    path = tmp_path / "d" / "manifest.parquet"
    pq.write_table(pq.read_table(path).slice(0, 37), path)
    table = pq.read_table(path)
    known = table.column("image_id").to_pylist()
    kept = pc.or_kleene(pc.is_null(table["target_id"]), pc.is_in(table["target_id"], pa.array(known)))
    pq.write_table(table.filter(kept), path)
    build_release(path, tmp_path / "r", INFO)
    for folder in (finished, tmp_path / "r"):
        table, card = pq.read_table(folder / "manifest.parquet"), (folder / "README.md").read_text()
        section = card.split("## Composition\n")[1].split("\n## ")[0]
        head, _, *rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in section.splitlines()
            if line.startswith("|")
        ]
        seen = 0
        for cell, *numbers in rows:
            for name, number in zip(head[1:], numbers, strict=True):
                split, method = name.split(" ")
                mask = pc.and_(
                    pc.and_(pc.equal(table["split"], split), pc.equal(table["cell"], cell)),
                    pc.equal(table["method"], "none" if method == "real" else method),
                )
                assert int(number) == pc.sum(pc.cast(mask, pa.int64())).as_py()
                seen += int(number)
        assert seen == table.num_rows
    assert "Not balanced" in card
    assert {name.split(" ")[0] for name in head[1:]} == set(SPLITS)


def test_card_says_what_the_data_are_and_are_not(finished):
    card = (finished / "README.md").read_text()
    assert re.search(r"Race, gender and age are \*\*perceived\*\*", card)
    for title in (
        "Composition",
        "How it was made",
        "Intended use",
        "Misuse",
        "Limitations",
        "Licence",
        "Citation",
    ):
        assert f"\n## {title}\n" in card
    assert "Not balanced" not in card
    assert "Splits share no identity" in card
    assert "32 of 32 fakes name their target" in card


def test_card_shows_acceptance_audit_and_results(dataset, tmp_path):
    extras = {
        "acceptance": {"White/Male": {"attempted": 10, "accepted": 7, "rejected": {"race": 2, "blurred": 1}}},
        "audit": {"audits": {"duplicates": {"passed": False, "findings": ["two alike"]}}},
        "results": {
            "datasets": {
                "here": {
                    "utility": {"n": 9, "AUC": 0.75, "ACC": 0.5},
                    "gaps": {"cell": {"F_FPR": 0.125, "F_MEO": None}},
                }
            }
        },
    }
    build_release(dataset, tmp_path / "r", INFO, extras)
    card = (tmp_path / "r" / "README.md").read_text()
    assert "| White/Male | 10 | 7 | race 2; blurred 1 |" in card
    assert "| duplicates | failed | 1 |" in card
    assert "- two alike" in card
    assert "| here | 9 | 0.750 | 0.500 | 0.125 | undefined | undefined | undefined |" in card
    assert check_release(tmp_path / "r") == []


def test_licences_are_counted_image_by_image(finished):
    text, table = (finished / "LICENSES.md").read_text(), pq.read_table(finished / "manifest.parquet")
    assert f"| CC0 1.0 | {pc.sum(pc.equal(table['licence'], 'CC0 1.0')).as_py()} |" in text
    assert f"| unknown | {table['licence'].null_count} |" in text
    assert f"`drawn` (sha256 {'0' * 64})" in text
    assert "FairFace" not in text  # no weights of ours made these pictures


def test_citation_is_yaml_with_what_was_given(finished):
    data = yaml.safe_load((finished / "CITATION.cff").read_text())
    assert (data["cff-version"], data["type"], data["title"]) == ("1.2.0", "dataset", INFO.name)
    assert (data["version"], data["date-released"]) == (INFO.version, INFO.date)
    assert [author["name"] for author in data["authors"]] == list(INFO.creators)


# --- exporters ---


def test_imagefolder_holds_every_image_once_under_its_label(dataset, tmp_path):
    out = EXPORTERS.create("imagefolder").export(dataset, tmp_path / "hub")
    rows = {row["image_id"]: row for row in pq.read_table(dataset / "manifest.parquet").to_pylist()}
    seen = set()
    for split in SPLITS:
        for line in pq.read_table(out / split / "metadata.parquet").to_pylist():
            row = rows[line["image_id"]]
            assert row["split"] == split
            assert line["file_name"].startswith("fake/" if row["label"] else "real/")
            assert (out / split / line["file_name"]).read_bytes() == (dataset / row["path"]).read_bytes()
            assert (line["cell"], line["pair_id"], line["age"]) == (row["cell"], row["pair_id"], None)
            seen.add(line["image_id"])
    assert seen == set(rows)
    assert sum(p.suffix in (".png", ".jpg") for p in out.rglob("*")) == len(rows)


def test_imagefolder_of_a_dataset_that_lacks_an_image(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "d")
    gone = sorted((tmp_path / "d" / "images").rglob("*.jpg"))[0]
    gone.unlink()
    with pytest.raises(DataError, match=gone.name):
        EXPORTERS.create("imagefolder").export(tmp_path / "d", tmp_path / "hub")
