"""Releases: same bytes, checksums, what the check finds."""

import hashlib
import re
import shutil
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.errors import MissingError
from manifests.release import ReleaseInfo, build_release, check_release, layout
from manifests.release.check_papers import check_papers
from manifests.release.layout import hub_tables, placed
from manifests.store import read_manifest
from tests.manifests.release_fixture import (
    INFO,
    META,
    SPLITS,
    bytes_below,
    codes,
    edit_croissant,
    edit_rows,
    make_dataset,
    resum,
)

# --- same bytes, whole ---


def test_same_inputs_give_the_same_bytes_of_every_file(finished, tmp_path):
    make_dataset(tmp_path / "elsewhere" / "made again")
    result = build_release(
        tmp_path / "elsewhere" / "made again" / "manifest.parquet", tmp_path / "other name", INFO
    )
    assert bytes_below(result.path) == bytes_below(finished)
    assert result.n_images == 48


def test_metadata_in_pieces_are_the_same_rows(dataset, finished, monkeypatch):
    table = placed(read_manifest(dataset), dataset)
    whole = {name: pa.concat_tables(pieces) for name, pieces in hub_tables(table)}
    monkeypatch.setattr(layout, "GROUP", 5)
    cut = {name: list(pieces) for name, pieces in hub_tables(table)}
    assert {name: pa.concat_tables(pieces) for name, pieces in cut.items()} == whole
    assert max(len(pieces) for pieces in cut.values()) > 1
    assert not check_papers(finished)


def test_another_version_gives_other_bytes(dataset, finished, tmp_path):
    build_release(dataset, tmp_path / "r", INFO.model_copy(update={"version": "1.2.1"}))
    differ = {n for n, data in bytes_below(tmp_path / "r").items() if data != (finished / n).read_bytes()}
    assert differ == {
        "README.md",
        "DATASHEET.md",
        "CITATION.cff",
        "croissant.json",
        "release.json",
        "SHA256SUMS",
    }


def test_every_image_and_mask_is_there_as_the_dataset_has_it(dataset, finished):
    """Images stand under their split and label, masks where they stood; rows differ in `path` alone."""
    given, released = (
        pq.read_table(dataset / "manifest.parquet"),
        pq.read_table(finished / "manifest.parquet"),
    )
    assert released.drop_columns(["path"]).equals(given.drop_columns(["path"]))
    paths = released["path"].to_pylist()
    masks = [path for path in released["mask_path"].to_pylist() if path]
    assert set(bytes_below(finished)) == {
        *paths,
        *masks,
        *(f"images/{split}/metadata.parquet" for split in SPLITS),
        *META,
    }
    splits, labels = released["split"].to_pylist(), released["label"].to_pylist()
    for old, new, split, label in zip(given["path"].to_pylist(), paths, splits, labels, strict=True):
        assert new.startswith(f"images/{split}/{('real', 'fake')[label]}/")
        assert (finished / new).read_bytes() == (dataset / old).read_bytes()
    assert all((finished / mask).read_bytes() == (dataset / mask).read_bytes() for mask in masks)
    assert len(masks) == 32


def test_checksums_are_those_of_the_files(dataset, finished, tmp_path):
    lines = (finished / "SHA256SUMS").read_text().splitlines()
    sums = {line[66:]: line[:64] for line in lines}
    assert sums == {
        n: hashlib.sha256(d).hexdigest() for n, d in bytes_below(finished).items() if n != "SHA256SUMS"
    }
    digests = dict(build_release(dataset, tmp_path / "r", INFO).digests)
    assert digests.pop("SHA256SUMS") == hashlib.sha256((finished / "SHA256SUMS").read_bytes()).hexdigest()
    assert digests == sums


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum on this machine")
def test_sha256sum_reads_the_checksums(release):
    def run():
        return subprocess.run(
            ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=release, capture_output=True, check=False
        )

    assert run().returncode == 0
    (release / "README.md").write_text("other")
    assert b"README.md: FAILED" in run().stdout


def test_names_with_blanks_and_line_separators_survive(tmp_path):
    """U+2028 and U+0085 end a line for str.splitlines, but neither in a file nor for sha256sum."""
    make_dataset(tmp_path / "d")
    table = pq.read_table(tmp_path / "d" / "manifest.parquet")
    masks = table.column("mask_path").to_pylist()
    strange, first = "masks/a b/ä\u2028\x85.png", next(k for k, mask in enumerate(masks) if mask)
    (tmp_path / "d" / strange).parent.mkdir()
    shutil.move(tmp_path / "d" / masks[first], tmp_path / "d" / strange)
    at = table.column_names.index("mask_path")
    renamed = pa.array([strange if k == first else mask for k, mask in enumerate(masks)])
    pq.write_table(table.set_column(at, table.schema.field(at), renamed), tmp_path / "d" / "manifest.parquet")
    build_release(tmp_path / "d", tmp_path / "r", INFO)
    assert check_release(tmp_path / "r") == []


# --- what the check finds ---


def test_a_fresh_release_has_no_findings(finished):
    assert check_release(finished) == []


def test_changed_image(release):
    victim = sorted((release / "images").rglob("*.png"))[0]
    data = bytearray(victim.read_bytes())
    data[-20] ^= 1
    victim.write_bytes(data)
    name = victim.relative_to(release).as_posix()
    assert ("changed-file", (name,)) in {(f.code, f.ids) for f in check_release(release)}
    resum(release)  # the manifest still knows
    assert codes(release) == {"changed-file"}


def test_missing_image(release):
    victim = sorted((release / "images").rglob("*.jpg"))[0]
    victim.unlink()
    name = victim.relative_to(release).as_posix()
    assert ("missing-file", (name,)) in {(f.code, f.ids) for f in check_release(release)}
    resum(release)
    assert codes(release) == {"missing-file"}


def test_missing_mask_and_missing_card(release):
    next((release / "masks").iterdir()).unlink()
    assert codes(release) == {"missing-file"}
    (release / "README.md").unlink()
    (finding,) = check_release(release)
    assert (finding.code, finding.ids) == ("missing-file", ("README.md",))


@pytest.mark.parametrize("name", ["extra.txt", "images/SHA256SUMS", "images/00/.hidden.jpg"])
def test_extra_file(release, name):
    (release / name).parent.mkdir(exist_ok=True)
    (release / name).write_text("not of the release")
    (finding,) = check_release(release)
    assert (finding.code, finding.ids) == ("extra-file", (name,))


def test_image_that_does_not_decode_although_every_digest_fits(release):
    victim = sorted((release / "images").rglob("*.png"))[0]
    victim.write_bytes(victim.read_bytes()[:60])
    name = victim.relative_to(release).as_posix()

    def new_digest(rows):
        next(row for row in rows if row["path"] == name)["sha256"] = hashlib.sha256(
            victim.read_bytes()
        ).hexdigest()

    edit_rows(release, new_digest)
    (finding,) = check_release(release)
    assert (finding.code, finding.ids) == ("unreadable-image", (victim.stem,))


def test_truncated_manifest(release):
    path = release / "manifest.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    (finding,) = check_release(release)
    assert finding.code == "unreadable"
    assert "manifest.parquet" in finding.message


def _column(data):
    data["recordSet"][0]["field"][3]["source"]["extract"]["column"] = "no_such_column"


def _url(data):
    data["distribution"][0]["contentUrl"] = "elsewhere.parquet"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_column, "no_such_column"),
        (_url, "elsewhere.parquet"),
        (lambda d: d["distribution"][0].update(sha256="0" * 64), "manifest.parquet"),
        (lambda d: d.pop("recordSet"), "recordSet"),
        (lambda d: d["distribution"][0].pop("contentUrl"), "contentUrl"),
        (lambda d: d["distribution"][0].update(contentUrl=None), "contentUrl"),
        (lambda d: d["recordSet"][0]["field"][0]["source"]["extract"].update(column=["path"]), "path"),
    ],
    ids=["column", "url", "digest", "no record set", "no url", "null url", "column is a list"],
)
def test_changed_croissant(release, change, words):
    edit_croissant(release, change)
    (finding,) = check_release(release)
    assert finding.code == "croissant"
    assert words in str(finding)


@pytest.mark.parametrize("text", [b'{"@context": ', b"\xff\xfe", b"[]", b"null", b'{"distribution": ["x"]}'])
def test_croissant_that_is_not_croissant(release, text):
    (release / "croissant.json").write_bytes(text)
    resum(release)
    assert codes(release) == {"croissant"}


@pytest.mark.parametrize("text", [b"nonsense\n", b"\xff\xfe\n", b"abc  README.md\n"])
def test_checksums_that_are_not_checksums(release, text):
    (release / "SHA256SUMS").write_bytes(text)
    (finding,) = check_release(release)
    assert finding.code == "unreadable"
    assert "SHA256SUMS" in finding.message


def test_no_folder_at_all(tmp_path):
    with pytest.raises(MissingError):
        check_release(tmp_path / "nothing")


def test_no_date_is_made_up_where_none_is_given(tmp_path):
    """No file of a release without a date says a day, the clock's or another."""
    make_dataset(tmp_path / "d")
    info = ReleaseInfo.model_validate({**INFO.model_dump(), "date": ""})
    folder = build_release(tmp_path / "d", tmp_path / "r", info).path
    for name in ("README.md", "CITATION.cff", "croissant.json", "LICENSES.md", "DATASHEET.md"):
        text = (folder / name).read_text().replace("cff-version: 1.2.0", "")
        assert not re.search(
            r"\b(19|20)\d\d-\d\d-\d\d\b|date-released|datePublished\"", text.split("\n## ")[0]
        ), name
    assert info.cite().endswith(f"version {info.version}.")
    assert check_release(folder) == []
    assert ReleaseInfo.model_validate({**INFO.model_dump(), "date": "2026-02-28"}).cite().endswith("(2026).")
