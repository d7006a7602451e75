"""Releases: same bytes, checksums, what the check finds, interrupted and impossible builds, the card."""

import csv
import errno
import hashlib
import json
import re
import shutil
import subprocess

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError
from release_fixture import INFO, SPLITS, bytes_below, make_dataset

from manifests.errors import DataError, MissingError, PartialError, UsageError
from manifests.release import EXPORTERS, ReleaseInfo, build, build_release, check_release

META = {"README.md", "LICENSES.md", "CITATION.cff", "croissant.json", "manifest.parquet", "SHA256SUMS"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    make_dataset(folder)
    return folder


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """A release that no test may change."""
    out = tmp_path_factory.mktemp("releases") / "drawn"
    build_release(dataset, out, INFO)
    return out


@pytest.fixture
def release(finished, tmp_path):
    """A release to spoil."""
    return shutil.copytree(finished, tmp_path / "release")


def codes(folder):
    return {finding.code for finding in check_release(folder)}


def resum(folder):
    """Write SHA256SUMS anew, as somebody who spoils a release and covers it up would."""
    names = sorted(set(bytes_below(folder)) - {"SHA256SUMS"})
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def edit_croissant(folder, change):
    data = json.loads((folder / "croissant.json").read_text())
    change(data)
    (folder / "croissant.json").write_text(json.dumps(data))
    resum(folder)


# --- same bytes, whole ---

def test_same_inputs_give_the_same_bytes_of_every_file(finished, tmp_path):
    make_dataset(tmp_path / "elsewhere" / "made again")
    result = build_release(tmp_path / "elsewhere" / "made again" / "manifest.parquet", tmp_path / "other name", INFO)
    assert bytes_below(result.path) == bytes_below(finished)
    assert result.n_images == 48


def test_another_version_gives_other_bytes(dataset, finished, tmp_path):
    build_release(dataset, tmp_path / "r", INFO.model_copy(update={"version": "1.2.1"}))
    differ = {n for n, data in bytes_below(tmp_path / "r").items() if data != (finished / n).read_bytes()}
    assert differ == {"README.md", "CITATION.cff", "croissant.json", "SHA256SUMS"}


def test_every_image_and_mask_is_there_as_the_dataset_has_it(dataset, finished):
    given, released = bytes_below(dataset), bytes_below(finished)
    assert set(released) == set(given) | META
    assert all(released[name] == data for name, data in given.items() if name.startswith(("images/", "masks/")))
    assert pq.read_table(finished / "manifest.parquet").equals(pq.read_table(dataset / "manifest.parquet"))


def test_checksums_are_those_of_the_files(dataset, finished, tmp_path):
    lines = (finished / "SHA256SUMS").read_text().splitlines()
    sums = {line[66:]: line[:64] for line in lines}
    assert sums == {n: hashlib.sha256(d).hexdigest() for n, d in bytes_below(finished).items() if n != "SHA256SUMS"}
    digests = dict(build_release(dataset, tmp_path / "r", INFO).digests)
    assert digests.pop("SHA256SUMS") == hashlib.sha256((finished / "SHA256SUMS").read_bytes()).hexdigest()
    assert digests == sums


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum on this machine")
def test_sha256sum_reads_the_checksums(release):
    def run():
        return subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=release, capture_output=True, check=False)
    assert run().returncode == 0
    (release / "README.md").write_text("other")
    assert b"README.md: FAILED" in run().stdout


def test_names_with_blanks_and_line_separators_survive(tmp_path):
    """U+2028 and U+0085 end a line for str.splitlines, but neither in a file nor for sha256sum."""
    make_dataset(tmp_path / "d")
    table = pq.read_table(tmp_path / "d" / "manifest.parquet")
    paths = table.column("path").to_pylist()
    strange = "images/a b/ä\u2028\x85.jpg"
    (tmp_path / "d" / strange).parent.mkdir()
    shutil.move(tmp_path / "d" / paths[0], tmp_path / "d" / strange)
    at = table.column_names.index("path")
    field = table.schema.field(at)
    pq.write_table(table.set_column(at, field, pa.array([strange, *paths[1:]])), tmp_path / "d" / "manifest.parquet")
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
    table = pq.read_table(release / "manifest.parquet")
    name = victim.relative_to(release).as_posix()
    at = table.column_names.index("sha256")
    sums = [hashlib.sha256(victim.read_bytes()).hexdigest() if p == name else s
            for p, s in zip(table.column("path").to_pylist(), table.column("sha256").to_pylist(), strict=True)]
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(sums)), release / "manifest.parquet")
    data = json.loads((release / "croissant.json").read_text())
    data["distribution"][0]["sha256"] = hashlib.sha256((release / "manifest.parquet").read_bytes()).hexdigest()
    (release / "croissant.json").write_text(json.dumps(data))
    resum(release)
    (finding,) = check_release(release)
    assert (finding.code, finding.ids) == ("unreadable-image", (name,))


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


@pytest.mark.parametrize(("change", "words"), [
    (_column, "no_such_column"), (_url, "elsewhere.parquet"),
    (lambda d: d["distribution"][0].update(sha256="0" * 64), "manifest.parquet"),
    (lambda d: d.pop("recordSet"), "recordSet"),
    (lambda d: d["distribution"][0].pop("contentUrl"), "contentUrl"),
    (lambda d: d["distribution"][0].update(contentUrl=None), "contentUrl"),
    (lambda d: d["recordSet"][0]["field"][0]["source"]["extract"].update(column=["path"]), "path"),
], ids=["column", "url", "digest", "no record set", "no url", "null url", "column is a list"])
def test_changed_croissant(release, change, words):
    edit_croissant(release, change)
    (finding,) = check_release(release)
    assert finding.code == "croissant"
    assert words in str(finding)


@pytest.mark.parametrize("text", [b"{\"@context\": ", b"\xff\xfe", b"[]", b"null", b"{\"distribution\": [\"x\"]}"])
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


# --- builds that fail ---

class Stop(Exception):
    """Something that no code expects."""


@pytest.mark.parametrize("where", ["card", "write_checksums", "croissant", "_check_digests"])
def test_an_interrupted_build_leaves_the_older_release_and_no_half_folder(dataset, release, monkeypatch, where):
    before = bytes_below(release.parent)

    def stop(*args, **kwargs):
        raise Stop

    monkeypatch.setattr(build, where, stop)
    with pytest.raises(Stop):
        build_release(dataset, release, INFO.model_copy(update={"version": "2.0.0"}))
    assert bytes_below(release.parent) == before
    assert [p.name for p in release.parent.iterdir()] == ["release"]
    assert check_release(release) == []


@pytest.mark.parametrize("exists", [True, False], ids=["over an older one", "new"])
def test_full_disk(dataset, finished, tmp_path, monkeypatch, exists):
    place, done = tmp_path / "place", []
    place.mkdir()
    if exists:
        shutil.copytree(finished, place / "r")
    before, copy = bytes_below(place), shutil.copyfile

    def fill_up(source, target):
        done.append(target)
        if len(done) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", fill_up)
    with pytest.raises(PartialError) as caught:
        build_release(dataset, place / "r", INFO)
    assert "disk is full" in caught.value.why
    assert caught.value.exit_code == 5
    assert len(done) == 21
    assert bytes_below(place) == before
    assert {p.name for p in place.iterdir()} == ({"r"} if exists else set())


def test_older_release_is_back_when_the_rename_fails(dataset, release, monkeypatch):
    before, rename = bytes_below(release), type(release).rename

    def refuse(path, target):
        if path.name.endswith(".building"):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(type(release), "rename", refuse)
    with pytest.raises(UsageError, match="cannot be written"):
        build_release(dataset, release, INFO.model_copy(update={"version": "2.0.0"}))
    assert bytes_below(release) == before


def test_kill_between_the_two_renames_is_mended_by_the_next_build(dataset, release, monkeypatch):
    before = bytes_below(release)
    release.rename(release.with_name(".release.old"))
    monkeypatch.setattr(build, "card", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_release(dataset, release, INFO)
    assert bytes_below(release) == before


def test_newer_release_replaces_the_older_wholly(dataset, release):
    (release / "images" / "left-over.jpg").write_text("of the older one")
    build_release(dataset, release, INFO.model_copy(update={"version": "2.0.0"}))
    assert check_release(release) == []
    assert "Version 2.0.0" in (release / "README.md").read_text()
    assert [p.name for p in release.parent.iterdir()] == ["release"]


def test_what_is_not_a_release_is_not_replaced(dataset, tmp_path):
    (tmp_path / "home" / "thesis").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    for name in ("home", "file"):
        with pytest.raises(UsageError, match="is not a release"):
            build_release(dataset, tmp_path / name, INFO)
    assert (tmp_path / "home" / "thesis").is_dir()
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert build_release(dataset, tmp_path / "empty", INFO).n_images == 48


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_dataset_that_lacks_a_file(dataset, tmp_path, kind):
    shutil.copytree(dataset, tmp_path / "d")
    gone = next(p for p in sorted((tmp_path / "d" / kind).rglob("*")) if p.is_file())
    gone.unlink()
    with pytest.raises(DataError, match=gone.name):
        build_release(tmp_path / "d", tmp_path / "r", INFO)
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_dataset_whose_image_was_changed_is_not_given_away(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "d")
    a, b = sorted((tmp_path / "d" / "images").rglob("*.jpg"))[:2]
    shutil.copyfile(a, b)
    with pytest.raises(DataError, match="sha256 differs"):
        build_release(tmp_path / "d", tmp_path / "r", INFO)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("date", ["31.01.2026", "2026-1-1", "2026-02-30", "yesterday", ""])
def test_date_must_be_a_day_of_the_calendar(date):
    with pytest.raises(ValidationError, match=r"YYYY-MM-DD|out of range"):
        ReleaseInfo(**{**INFO.model_dump(), "date": date})


# --- card, licences, citation ---

def test_front_matter_is_yaml(finished):
    head = (finished / "README.md").read_text().split("---\n")[1]
    data = yaml.safe_load(head)
    assert data["pretty_name"] == INFO.name
    assert data["license"] == "cc-by-4.0"
    assert data["size_categories"] == ["n<1K"]
    assert data["configs"] == [{"config_name": "default", "data_files": "manifest.parquet"}]


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
            [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
        ]
        seen = 0
        for cell, *numbers in rows:
            for name, number in zip(head[1:], numbers, strict=True):
                split, method = name.split(" ")
                mask = pc.and_(pc.and_(pc.equal(table["split"], split), pc.equal(table["cell"], cell)),
                               pc.equal(table["method"], "none" if method == "real" else method))
                assert int(number) == pc.sum(pc.cast(mask, pa.int64())).as_py()
                seen += int(number)
        assert seen == table.num_rows
    assert "Not balanced" in card
    assert {name.split(" ")[0] for name in head[1:]} == set(SPLITS)


def test_card_says_what_the_data_are_and_are_not(finished):
    card = (finished / "README.md").read_text()
    assert re.search(r"Race, gender and age are \*\*perceived\*\*", card)
    for title in ("Composition", "How it was made", "Intended use", "Misuse", "Limitations", "Licence", "Citation"):
        assert f"\n## {title}\n" in card
    assert "Not balanced" not in card
    assert "Splits share no identity" in card
    assert "32 of 32 fakes name their target" in card


def test_card_shows_acceptance_audit_and_results(dataset, tmp_path):
    extras = {
        "acceptance": {"White/Male": {"attempted": 10, "accepted": 7, "rejected": {"race": 2, "blurred": 1}}},
        "audit": {"audits": {"duplicates": {"passed": False, "findings": ["two alike"]}}},
        "results": {"datasets": {"here": {
            "utility": {"n": 9, "AUC": 0.75, "ACC": 0.5}, "gaps": {"cell": {"F_FPR": 0.125, "F_MEO": None}},
        }}},
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
        with open(out / split / "metadata.csv", newline="") as file:
            for line in csv.DictReader(file):
                row = rows[line["image_id"]]
                assert row["split"] == split
                assert line["file_name"].startswith("fake/" if row["label"] else "real/")
                assert (out / split / line["file_name"]).read_bytes() == (dataset / row["path"]).read_bytes()
                assert (line["cell"], line["pair_id"], line["age"]) == (row["cell"], row["pair_id"], "")
                seen.add(line["image_id"])
    assert seen == set(rows)
    assert sum(p.suffix in (".png", ".jpg") for p in out.rglob("*")) == len(rows)


def test_imagefolder_of_a_dataset_that_lacks_an_image(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "d")
    gone = sorted((tmp_path / "d" / "images").rglob("*.jpg"))[0]
    gone.unlink()
    with pytest.raises(DataError, match=gone.name):
        EXPORTERS.create("imagefolder").export(tmp_path / "d", tmp_path / "hub")
