"""Versions of a release: what is withdrawn goes with all that was made of it and stays named; what differs is
listed and judged.
"""

import json
import shutil

import pyarrow as pa
import pytest
from pydantic import ValidationError

from manifests.errors import MissingError
from manifests.release import ReleaseInfo, build_release, check_release
from manifests.release.difference import compare_releases, raised
from manifests.release.withdrawal import affected, parse_entry, withdraw
from manifests.store import read_manifest, write_manifest
from pipeline.__main__ import main
from tests.manifests.release_fixture import INFO, edit_json, edit_rows


def later(version, **values):
    return INFO.model_copy(update={"version": version, **values})


def real_of(folder):
    return next(row for row in read_manifest(folder / "manifest.parquet").to_pylist() if row["label"] == 0)


@pytest.fixture(scope="module")
def shorter(dataset, tmp_path_factory):
    """The next version, without one face."""
    face = real_of(dataset)
    out = tmp_path_factory.mktemp("next") / "r"
    return build_release(
        dataset, out, later("2.0.0", withdrawn=(f"{face['identity_id']}: the person asked: today",))
    ).path


def test_what_is_withdrawn_goes_with_its_fakes_and_stays_named(dataset, finished, shorter):
    face = real_of(dataset)
    rows = read_manifest(finished / "manifest.parquet").to_pylist()
    gone = {row["image_id"] for row in rows if face["image_id"] in (row["image_id"], row["target_id"])}
    assert len(gone) == 3
    left = {row["image_id"] for row in read_manifest(shorter / "manifest.parquet").to_pylist()}
    assert left == {row["image_id"] for row in rows} - gone
    assert not [path for path in shorter.rglob("*") if path.name.split(".")[0] in gone]
    facts = json.loads((shorter / "release.json").read_text())
    assert facts["withdrawn"] == [
        {"id": face["identity_id"], "reason": "the person asked: today", "images": sorted(gone)}
    ]
    assert facts["claims"] == {"balanced": False, "disjoint": True}
    assert "Not balanced" in (shorter / "README.md").read_text()
    assert face["identity_id"] in (shorter / "DATASHEET.md").read_text()
    assert check_release(shorter) == []


def test_an_image_and_everything_that_took_part_of_it_goes():
    rows = [
        {
            "image_id": name,
            "identity_id": f"i{name}",
            "target_id": target,
            "source_id": source,
            "driver_id": driver,
        }
        for name, target, source, driver in (
            ("a", None, None, None),
            ("b", "a", None, None),
            ("c", "x", "a", None),
            ("d", "x", None, "c"),
            ("x", None, None, None),
        )
    ]
    table = pa.Table.from_pylist(rows)
    assert affected(table, "a") == affected(table, "ia") == ["a", "b", "c", "d"]
    assert affected(table, "c") == ["c", "d"]
    kept, named = withdraw(table, ["c", "nobody: gone before"])
    assert kept["image_id"].to_pylist() == ["a", "b", "x"]
    assert [one["id"] for one in named] == ["c", "nobody"]
    assert named[1]["images"] == []


def test_entries_have_an_id_and_may_have_a_reason():
    assert parse_entry("a1: asked for: twice") == ("a1", "asked for: twice")
    assert parse_entry("a1") == ("a1", "no reason given")
    with pytest.raises(ValidationError, match="has no id"):
        ReleaseInfo.model_validate({**INFO.model_dump(), "withdrawn": [": why"]})


def test_the_difference_names_what_is_withdrawn_and_wants_a_new_major(finished, shorter):
    found = compare_releases(finished, shorter)
    assert (len(found.removed), found.added, found.changed, found.level) == (3, (), (), "major")
    assert set(found.removed) <= set(found.withdrawn)
    assert found.findings == ()


@pytest.mark.parametrize(
    ("change", "level"),
    [
        (lambda rows: rows[0].update(age="20-29"), "major"),
        (lambda rows: rows[:-1], "major"),
        (lambda rows: None, "none"),
    ],
    ids=["changed", "removed", "same"],
)
def test_a_version_that_was_not_raised_far_enough_is_named(finished, release, change, level):
    edit_rows(release, change)
    edit_json(release, "release.json", lambda facts: facts.update(version="1.2.1"))
    found = compare_releases(finished, release)
    assert found.level == level
    assert ("version" in {finding.code for finding in found.findings}) == (level != "none")
    assert ("unnamed" in {finding.code for finding in found.findings}) == bool(found.removed)


def test_records_that_were_added_ask_for_a_minor(finished, shorter):
    assert compare_releases(shorter, finished).level == "minor"
    codes = {finding.code for finding in compare_releases(shorter, finished).findings}
    assert codes == {"version", "forgotten"}


def test_the_same_pixels_in_other_files_are_another_packaging(dataset, finished, tmp_path):
    """As a signature does it: other bytes, the same picture."""
    from manifests.atomic import digest_bytes

    shutil.copytree(dataset, tmp_path / "d")
    table = read_manifest(tmp_path / "d" / "manifest.parquet")
    rows = table.to_pylist()
    for row in rows:
        path = tmp_path / "d" / row["path"]
        path.write_bytes(path.read_bytes() + b"\0")
        row["sha256"] = digest_bytes(path.read_bytes())
    write_manifest(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / "d" / "manifest.parquet")
    new = build_release(tmp_path / "d", tmp_path / "r", later("1.2.1")).path
    found = compare_releases(finished, new)
    assert (found.level, len(found.repacked), found.changed, found.findings) == ("patch", 48, (), ())
    assert dict(found.columns) == {"sha256": 48}


def test_another_picture_under_the_same_id_is_a_change(finished, release):
    from manifests.atomic import digest_bytes
    from manifests.images import encode, read_image

    row = next(
        row for row in read_manifest(release / "manifest.parquet").to_pylist() if row["codec"] == "png"
    )
    data = encode(255 - read_image(release / row["path"]), "png")
    (release / row["path"]).write_bytes(data)
    edit_rows(
        release,
        lambda rows: next(one for one in rows if one["image_id"] == row["image_id"]).update(
            sha256=digest_bytes(data)
        ),
    )
    assert compare_releases(finished, release).changed == (row["image_id"],)


@pytest.mark.parametrize(
    ("old", "new", "level"),
    [
        ("1.2.3", "2.0.0", "major"),
        ("1.2.3", "1.3.0", "minor"),
        ("1.2.3", "1.2.4", "patch"),
        ("1.2.3", "1.2.3", "none"),
        ("1.2.3", "1.1.9", None),
        ("1.2", "2.0.0", None),
        ("x", "1.0.0", None),
        ("1.9.0", "1.10.0", "minor"),
    ],
)
def test_versions_are_compared_number_by_number(old, new, level):
    assert raised(old, new) == level


def test_the_command_lists_what_differs_and_ends_with_the_gates_code_where_something_is_unsaid(
    finished, shorter, release, tmp_path, capsys
):
    assert main(["diff-release", str(finished), str(shorter)]) == 0
    said = capsys.readouterr().out
    assert "version 1.2.0 -> 2.0.0" in said
    assert "removed   3 (e.g. " in said
    edit_rows(release, lambda rows: rows[:-1])
    assert main(["diff-release", str(finished), str(release), "--json"]) == 4
    value = json.loads(capsys.readouterr().out)
    assert {finding["code"] for finding in value["findings"]} == {"unnamed", "version"}
    assert len(value["removed"]) == 1
    assert main(["diff-release", str(finished), str(tmp_path / "none")]) == 3
    with pytest.raises(MissingError):
        compare_releases(tmp_path, finished)
