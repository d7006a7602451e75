"""Every kind of damage to a release is found and named: each is planted and covered up as far as one can,
then checked.

`check-release` has a code for each; a kind that would be found as something else fails here.
"""

import json
import re

import numpy as np
import pytest

from manifests.atomic import digest_bytes
from manifests.images import encode
from manifests.release import check_release
from pipeline.__main__ import main
from tests.manifests.release_fixture import SIZE, edit_croissant, edit_json, edit_rows, resum


def first(release, label, codec="png"):
    """The first row with this label and codec."""
    from manifests.store import read_manifest

    rows = read_manifest(release / "manifest.parquet").to_pylist()
    return next(row for row in rows if row["label"] == label and row["codec"] == codec)


def picture(size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)


def replaced(release, row, data):
    """Another file in an image's place, with its digest everywhere."""
    (release / row["path"]).write_bytes(data)

    def change(rows):
        next(one for one in rows if one["image_id"] == row["image_id"])["sha256"] = digest_bytes(data)

    edit_rows(release, change)


def value(name, new, where=lambda row: row["label"] == 1):
    """A change of one column in the first row that fits."""

    def change(rows):
        next(row for row in rows if where(row))[name] = new

    return change


# --- files ---


def an_image_is_gone(release):
    (release / first(release, 0)["path"]).unlink()
    resum(release)


def a_paper_is_gone(release):
    (release / "DATASHEET.md").unlink()
    resum(release)


def a_byte_is_changed(release):
    path = release / first(release, 1)["path"]
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


def a_file_is_added(release):
    (release / "images" / "notes.txt").write_text("mine")


def a_link_stands_for_a_file(release):
    path = release / first(release, 0)["path"]
    path.rename(release.parent / "elsewhere.png")
    path.symlink_to(release.parent / "elsewhere.png")


def checksums_are_none(release):
    (release / "SHA256SUMS").write_text("nonsense\n")


# --- pictures ---


def a_picture_is_cut_off(release):
    row = first(release, 0)
    replaced(release, row, (release / row["path"]).read_bytes()[:60])


def a_picture_is_larger_than_its_row_says(release):
    replaced(release, first(release, 0), encode(picture(2 * SIZE), "png"))


def a_picture_has_another_codec(release):
    replaced(release, first(release, 0), encode(picture(), "jpeg", 90))


def a_picture_stands_in_two_splits(release):
    from manifests.store import read_manifest

    rows = read_manifest(release / "manifest.parquet").to_pylist()
    one, other = (
        next(row for row in rows if row["split"] == split and row["codec"] == "png" and not row["label"])
        for split in ("train", "test")
    )
    replaced(release, one, (release / other["path"]).read_bytes())


def a_mask_is_gone(release):
    (release / first(release, 1)["mask_path"]).unlink()
    resum(release)


def a_mask_is_of_another_size(release):
    (release / first(release, 1)["mask_path"]).write_bytes(encode(np.full((4, 4), 255, np.uint8), "png"))
    resum(release)


def a_mask_marks_nothing(release):
    (release / first(release, 1)["mask_path"]).write_bytes(encode(np.zeros((SIZE, SIZE), np.uint8), "png"))
    resum(release)


def a_mask_is_no_picture(release):
    (release / first(release, 1)["mask_path"]).write_text("mask")
    resum(release)


def a_real_image_has_a_mask(release):
    edit_rows(release, value("mask_path", first(release, 1)["mask_path"], lambda row: row["label"] == 0))


# --- rows ---


def the_manifest_is_cut_off(release):
    path = release / "manifest.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    resum(release)


def an_id_stands_twice(release):
    edit_rows(release, lambda rows: [*rows, dict(rows[0])], papers=False)


def a_label_is_wrong(release):
    edit_rows(release, value("label", 2), papers=False)


def a_real_image_has_a_method(release):
    edit_rows(release, value("label", 0), papers=False)


def a_family_is_unknown(release):
    edit_rows(release, value("family", "magic"), papers=False)


def a_split_is_unknown(release):
    edit_rows(release, value("split", "dev"), papers=False)


def a_cell_is_not_of_the_taxonomy(release):
    edit_rows(release, value("cell", "Green/Male"), papers=False)


def a_target_is_not_there(release):
    edit_rows(release, value("target_id", "nobody"), papers=False)


def a_path_leaves_the_folder(release):
    edit_rows(release, value("path", "../outside.png"), papers=False)


def a_pair_is_left_out(release):
    row = first(release, 1)
    (release / row["path"]).unlink()
    (release / row["mask_path"]).unlink()
    edit_rows(release, lambda rows: [one for one in rows if one["image_id"] != row["image_id"]])


def an_identity_is_in_two_splits(release):
    def change(rows):
        train = next(row for row in rows if row["split"] == "train")["identity_id"]
        pair = next(row for row in rows if row["split"] == "test")["pair_id"]
        for row in rows:
            row["identity_id"] = train if row["pair_id"] == pair else row["identity_id"]

    edit_rows(release, change)


# --- papers ---


def counts_are_wrong(release):
    edit_json(release, "release.json", lambda data: data["counts"].update(images=49))


def facts_are_no_facts(release):
    edit_json(release, "release.json", lambda data: data.pop("digests"))


def a_withdrawn_image_is_still_there(release):
    entry = {"id": first(release, 0)["image_id"], "reason": "asked for", "images": []}
    edit_json(release, "release.json", lambda data: data["withdrawn"].append(entry))


def a_licence_is_another(release):
    path = release / "LICENSES.csv"
    path.write_text(path.read_text().replace("CC0 1.0", "CC BY-NC 4.0", 1))
    resum(release)


def the_card_names_no_splits(release):
    path = release / "README.md"
    path.write_text(path.read_text().replace("images/train/**", "images/**"))
    resum(release)


def the_datasheet_lacks_a_section(release):
    path = release / "DATASHEET.md"
    path.write_text(path.read_text().replace("## Maintenance\n", ""))
    resum(release)


def the_table_for_datasets_has_other_labels(release):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = release / "images" / "train" / "metadata.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("label")
    flipped = pa.array([1 - label for label in table["label"].to_pylist()])
    pq.write_table(table.set_column(at, table.schema.field(at), flipped), path)
    resum(release)


# --- Croissant ---


def croissant_is_of_an_older_version(release):
    edit_croissant(release, lambda data: data.update(conformsTo="http://mlcommons.org/croissant/1.0"))


def croissant_names_no_column_of_the_manifest(release):
    edit_croissant(
        release, lambda data: data["recordSet"][0]["field"][3]["source"]["extract"].update(column="nothing")
    )


def croissant_has_another_digest(release):
    edit_croissant(release, lambda data: data["distribution"][0].update(sha256="0" * 64))


def croissant_does_not_say_its_limits(release):
    edit_croissant(release, lambda data: data.update({"rai:dataLimitations": ""}))


def croissant_does_not_say_where_it_comes_from(release):
    edit_croissant(release, lambda data: data.pop("prov:wasDerivedFrom"))


def croissant_does_not_say_whose_reading_race_is(release):
    def change(data):
        next(field for field in data["recordSet"][0]["field"] if field["name"] == "race").pop(
            "prov:wasAttributedTo"
        )

    edit_croissant(release, change)


def croissant_fetches_from_elsewhere(release):
    edit_croissant(
        release,
        lambda data: data["distribution"][0].update(contentUrl="https://example.org/manifest.parquet"),
    )


def croissant_makes_other_records(release):
    """All names are right, and the columns of two fields are exchanged."""

    def change(data):
        fields = {field["name"]: field["source"]["extract"] for field in data["recordSet"][0]["field"]}
        fields["race"]["column"], fields["gender"]["column"] = "gender", "race"
        data["recordSet"][0]["field"].append(data["recordSet"][0]["field"].pop(0))
        data["recordSet"][0].pop("key")

    edit_croissant(release, change)


def croissant_makes_no_records(release):
    edit_croissant(release, lambda data: data["recordSet"][0]["field"][3].update(dataType="sc:Boolean-ish"))


DAMAGE = [
    (an_image_is_gone, "missing-file"),
    (a_paper_is_gone, "missing-file"),
    (a_byte_is_changed, "changed-file"),
    (a_file_is_added, "extra-file"),
    (a_link_stands_for_a_file, "link"),
    (checksums_are_none, "unreadable"),
    (a_picture_is_cut_off, "unreadable-image"),
    (a_picture_is_larger_than_its_row_says, "wrong-size"),
    (a_picture_has_another_codec, "wrong-codec"),
    (a_picture_stands_in_two_splits, "same-image"),
    (a_mask_is_gone, "missing-mask"),
    (a_mask_is_of_another_size, "wrong-mask"),
    (a_mask_marks_nothing, "wrong-mask"),
    (a_mask_is_no_picture, "unreadable-mask"),
    (a_real_image_has_a_mask, "mask-of-real"),
    (the_manifest_is_cut_off, "unreadable"),
    (an_id_stands_twice, "duplicate-id"),
    (a_label_is_wrong, "bad-label"),
    (a_real_image_has_a_method, "real-method"),
    (a_family_is_unknown, "bad-family"),
    (a_split_is_unknown, "bad-split"),
    (a_cell_is_not_of_the_taxonomy, "bad-cell"),
    (a_target_is_not_there, "dangling-target"),
    (a_path_leaves_the_folder, "path-escapes"),
    (a_pair_is_left_out, "unbalanced"),
    (an_identity_is_in_two_splits, "leak"),
    (counts_are_wrong, "release-json"),
    (facts_are_no_facts, "release-json"),
    (a_withdrawn_image_is_still_there, "withdrawn"),
    (a_licence_is_another, "licences"),
    (the_card_names_no_splits, "card"),
    (the_datasheet_lacks_a_section, "datasheet"),
    (the_table_for_datasets_has_other_labels, "hub-metadata"),
    (croissant_is_of_an_older_version, "croissant"),
    (croissant_names_no_column_of_the_manifest, "croissant"),
    (croissant_has_another_digest, "croissant"),
    (croissant_does_not_say_its_limits, "rai"),
    (croissant_does_not_say_where_it_comes_from, "provenance"),
    (croissant_does_not_say_whose_reading_race_is, "provenance"),
    (croissant_fetches_from_elsewhere, "croissant"),
    (croissant_makes_other_records, "croissant-records"),
    (croissant_makes_no_records, "croissant-records"),
]
BESIDE = {"path-escapes": {"link-leaves", "missing-file"}, "real-method": {"dangling-target"}}
"""Codes that may stand beside the damage's own."""


def test_there_are_many_kinds_of_damage():
    assert len({code for _, code in DAMAGE}) >= 20


@pytest.mark.parametrize(("damage", "code"), DAMAGE, ids=[damage.__name__ for damage, _ in DAMAGE])
def test_damage_is_found_and_named(release, damage, code):
    damage(release)
    found = {finding.code for finding in check_release(release)}
    assert code in found
    assert found - {code} <= BESIDE.get(code, set())


def test_a_lossless_file_of_what_went_through_a_video_codec_is_no_damage(release):
    edit_rows(release, value("codec", "h264", lambda row: row["codec"] == "png" and row["label"] == 0))
    assert {finding.code for finding in check_release(release)} <= {
        "unbalanced"
    }  # its pair has another codec now


def test_the_command_ends_with_the_gates_code_and_names_what_it_found(release, capsys):
    assert main(["check-release", str(release)]) == 0
    assert f"{release}: whole" in capsys.readouterr().out
    a_licence_is_another(release)
    assert main(["check-release", str(release), "--json"]) == 4
    (finding,) = json.loads(capsys.readouterr().out)
    assert finding["code"] == "licences"
    assert len(finding["ids"]) == 1
    a_byte_is_changed(release)
    assert main(["check-release", str(release)]) == 4
    assert re.search(r"^changed-file: .*\(e\.g\. images/", capsys.readouterr().out, re.MULTILINE)
