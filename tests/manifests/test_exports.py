"""Exports: each layout as its own loader reads it, and back into a manifest without loss of what it can
hold.
"""

import csv
import json
import shutil
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest

from manifests import read_manifest, validate
from manifests.adapters import import_images
from manifests.atomic import digest_bytes, write_bytes
from manifests.errors import DataError, MissingError, UsageError
from manifests.exporters import EXPORTERS
from manifests.images import encode, read_image
from manifests.release import exporting
from manifests.release.exporting import image_bytes
from manifests.store import write_manifest, write_table
from pipeline.commands.export import export_manifest
from tests.manifests.manifest_rows import drawn_set, record, table

BLACK = encode(np.zeros((8, 8, 3), np.uint8), "png", None)
SAME = ("label", "method", "family", "race", "gender", "cell", "identity_id", "split")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A drawn set with frames of shared videos, one row without attributes, and taxonomy fairface4 in its
    metadata.
    """
    folder = tmp_path_factory.mktemp("set")
    table = drawn_set(
        folder, per_cell=2, size=8, methods={"none": "none", "swap-a": "swap", "blend-b": "blend"}
    )
    rows = table.to_pylist()
    for row in rows:
        row["video_id"] = f"video/{row['identity_id'][:-1]}{row['method']}"
    rows[0] |= {"race": None, "gender": None, "cell": None}
    meta = {**table.schema.metadata, b"fairforge.taxonomy": b"fairface4"}
    made = type(table).from_pylist(rows, schema=table.schema.with_metadata(meta))
    write_manifest(made, folder / "manifest.parquet")
    return folder


def facts(folder, columns=SAME):
    """Pixels and columns of every row, in an order that names play no part in."""
    rows = read_manifest(folder).to_pylist()
    return sorted(
        (read_image(folder / row["path"]).tobytes(), *(str(row[c]) for c in columns)) for row in rows
    )


@pytest.mark.parametrize(
    ("name", "source", "more"),
    [
        ("webdataset", "", ("pair_id", "video_id", "dataset", "age")),
        ("imagefolder", "", ("pair_id", "video_id", "dataset")),
        ("deepfakebench", "fairforge.json", ("pair_id", "video_id", "dataset")),
    ],
)
def test_export_and_import_give_the_same_rows_and_pixels(dataset, tmp_path, name, source, more):
    EXPORTERS.create(name).export(dataset, tmp_path / "ex")
    result = import_images(name, tmp_path / "ex" / source, tmp_path / "back", "fairface4")
    assert validate(result.manifest) == []
    assert facts(tmp_path / "back", SAME + more) == facts(dataset, SAME + more)


def test_purdue_round_trip_leaves_out_only_what_has_no_cell(dataset, tmp_path):
    EXPORTERS.create("purdue").export(dataset, tmp_path / "ex")
    import_images("purdue", tmp_path / "ex", tmp_path / "back", "fairface4")
    columns = ("label", "method", "family", "race", "gender", "cell", "identity_id", "video_id", "split")
    back, before = facts(tmp_path / "back", columns), facts(dataset, columns)
    assert back == [fact for fact in before if fact[4] != "None"]
    assert len(back) == len(before) - 1
    with open(tmp_path / "ex" / "left_out.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert "no intersec_label" in row["reason"]


def test_purdue_columns_are_those_of_its_loader(dataset, tmp_path):
    EXPORTERS.create("purdue").export(dataset, tmp_path / "ex")
    with open(tmp_path / "ex" / "train.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:8] == [
        "img_path",
        "label",
        "ismale",
        "isasian",
        "iswhite",
        "isblack",
        "intersec_label",
        "spe_label",
    ]
    for row in rows:
        male, races = row["ismale"] == "1", [row[f"is{race}"] == "1" for race in ("asian", "white", "black")]
        assert int(row["intersec_label"]) == races.index(True) + (0 if male else 4)
        assert (row["spe_label"] == "0") == (row["label"] == "0")
        assert (tmp_path / "ex" / row["img_path"]).is_file()
    strict = EXPORTERS.create("purdue", {"white": False}).export(dataset, tmp_path / "strict")
    assert "iswhite" in (strict / "train.csv").read_text().splitlines()[0]
    assert all(line.split(",")[4] == "-1" for line in (strict / "train.csv").read_text().splitlines()[1:])


def test_deepfakebench_as_its_loader_walks_it(dataset, tmp_path):
    """dataset -> label -> split -> video -> frames, and every frame's file is there."""
    path = EXPORTERS.create("deepfakebench", {"name": "mine"}).export(dataset, tmp_path / "ex")
    value, count = json.loads(path.read_text()), 0
    labels = json.loads((tmp_path / "ex" / "labels.json").read_text())
    assert labels == {"drawn_real": 0, "drawn_swap-a": 1, "drawn_blend-b": 1}
    for label, splits in value["drawn"].items():
        for videos in splits.values():
            for entry in videos.values():
                assert entry["label"] == label
                count += len(entry["frames"])
                assert all((path.parent / frame).is_file() for frame in entry["frames"])
    assert count == read_manifest(dataset).num_rows
    assert max(len(e["frames"]) for e in value["drawn"]["drawn_real"]["train"].values()) == 2


def test_webdataset_shards_are_the_same_bytes_and_hold_pairs_side_by_side(dataset, tmp_path):
    for name in "ab":
        EXPORTERS.create("webdataset", {"shard": 5}).export(dataset, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files[:2] == ["test-000000.tar", "test-000001.tar"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        with tarfile.open(tmp_path / "a" / name) as tar:
            members = tar.getnames()
        assert len(members) <= 10
        assert [m.rsplit(".", 1)[0] for m in members[::2]] == [m.rsplit(".", 1)[0] for m in members[1::2]]


def test_a_shard_cut_short_or_without_a_half_is_named(dataset, tmp_path):
    EXPORTERS.create("webdataset").export(dataset, tmp_path / "ex")
    shard = tmp_path / "ex" / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"train-000000\.tar"):
        import_images("webdataset", shard, tmp_path / "back")
    with tarfile.open(tmp_path / "half.tar", "w") as tar:
        info = tarfile.TarInfo("a.json")
        tar.addfile(info)
    with pytest.raises(DataError, match="no usable image"):
        import_images("webdataset", tmp_path / "half.tar", tmp_path / "half")
    assert "a,has no picture" in (tmp_path / "half" / "skipped.csv").read_text()


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_an_image_that_is_gone_is_an_error(dataset, tmp_path, name):
    write_manifest(read_manifest(dataset), tmp_path / "manifest.parquet")
    with pytest.raises(DataError, match="is not there"):
        EXPORTERS.create(name).export(tmp_path, tmp_path / "ex")
    with pytest.raises(MissingError):
        EXPORTERS.create(name).export(tmp_path / "none", tmp_path / "ex")


def test_command(dataset, tmp_path, capsys):
    from pipeline.__main__ import main

    out = str(tmp_path / "ex")
    assert main(["export", "webdataset", str(dataset), "--out", out, "--set", "shard=1000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": out, "format": "webdataset", "files": 3}
    assert main(["export", "webdataset", str(dataset), "--out", out]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["export", "webdatset", str(dataset), "--out", out + "2"]) == 2
    assert "did you mean webdataset" in capsys.readouterr().err


def test_imagefolder_loads_by_the_rules_of_datasets(tmp_path):
    """A column empty in one split, ids that look like numbers, names of months.

    `datasets` (FolderBasedBuilder) reads one kind of metadata file alone, wants equal features in every
    split, `file_name` as text, and every file beside its metadata; the features it makes of a parquet file
    are its schema's, and those that the schema's `huggingface` entry names.
    """
    rows = [
        record(
            f"{k:03d}",
            path=f"images/{k}.png",
            split=split,
            identity_id=f"00{k}",
            race=None,
            gender=None,
            cell=None,
            video_id="2020-01-01" if split == "test" else None,
            age=None,
            quality=None,
            codec="png",
            sha256=digest_bytes(BLACK),
        )
        for k, split in enumerate(("train", "train", "val", "test"))
    ]
    for k in range(4):
        write_bytes(tmp_path / "m" / "images" / f"{k}.png", BLACK)
    write_manifest(table(rows), tmp_path / "m" / "manifest.parquet")
    out = EXPORTERS.create("imagefolder").export(tmp_path / "m", tmp_path / "ex")
    files = sorted(path for path in out.rglob("metadata.*"))
    assert [path.relative_to(out).as_posix() for path in files] == [
        f"{s}/metadata.parquet" for s in ("test", "train", "val")
    ]
    tables = [pq.read_table(path) for path in files]
    assert all(found.schema.equals(tables[0].schema, check_metadata=True) for found in tables)
    kinds = {field.name: str(field.type) for field in tables[0].schema}
    assert kinds.pop("label") == "int64"
    assert set(kinds.values()) == {"string"}
    assert next(iter(kinds)) == "file_name"
    features = json.loads(tables[0].schema.metadata[b"huggingface"])["info"]["features"]
    assert features.pop("label") == {"names": ["real", "fake"], "_type": "ClassLabel"}
    assert features == {name: {"dtype": "string", "_type": "Value"} for name in kinds}
    found = [
        (path.parent / row["file_name"], row)
        for path, made in zip(files, tables, strict=True)
        for row in made.to_pylist()
    ]
    assert all(path.is_file() for path, _ in found)
    assert {row["identity_id"] for _, row in found} == {"000", "001", "002", "003"}
    assert {row["video_id"] for _, row in found} == {None, "2020-01-01"}


def with_rows(dataset, folder, **values):
    """A copy of the set below `folder` whose first complete real row has other values."""
    made = read_manifest(dataset)
    shutil.copytree(dataset / "images", folder / "images")
    rows = [row for row in made.to_pylist() if row["target_id"] is None and row["race"]]
    rows[0] |= values
    write_table(
        type(made).from_pylist(rows, schema=made.schema).sort_by("image_id"), folder / "manifest.parquet"
    )
    return folder / rows[0]["path"]


@pytest.mark.parametrize(
    "image_id", ["../../../out", "a/b", "a\\b", "..", "", "a\0b", "a\x1b[2J", "a\nb", "x" * 300]
)
@pytest.mark.parametrize("name", EXPORTERS.names())
def test_an_id_that_is_no_file_name_is_refused(dataset, tmp_path, name, image_id):
    with_rows(dataset, tmp_path / "m", image_id=image_id)
    assert "bad-id" in {finding.code for finding in validate(tmp_path / "m")}
    with pytest.raises(DataError, match="bad-id") as caught:
        EXPORTERS.create(name).export(tmp_path / "m", tmp_path / "ex")
    assert "\x1b" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


@pytest.mark.parametrize("name", EXPORTERS.names())
@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_link_that_leaves_the_folder_is_not_followed(dataset, tmp_path, name, where):
    image = with_rows(dataset, tmp_path / "m")
    place = image if where == "file" else image.parent
    shutil.move(place, tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert "link-leaves" in {finding.code for finding in validate(tmp_path / "m")}
    with pytest.raises(DataError, match="is a link that leads out"):
        EXPORTERS.create(name).export(tmp_path / "m", tmp_path / "ex")


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_what_is_no_picture_is_not_given_away(dataset, tmp_path, name):
    image = with_rows(dataset, tmp_path / "m", sha256=None)
    image.write_text("PRIVATE KEY\n")
    with pytest.raises(DataError, match="is not a readable image"):
        EXPORTERS.create(name).export(tmp_path / "m", tmp_path / "ex")
    assert not [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and "ex" in path.parts and b"PRIVATE" in path.read_bytes()
    ]


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_an_altered_picture_is_not_given_away(dataset, tmp_path, name):
    image = with_rows(dataset, tmp_path / "m")
    image.write_bytes(BLACK)
    with pytest.raises(DataError, match="sha256 differs"):
        EXPORTERS.create(name).export(tmp_path / "m", tmp_path / "ex")


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_the_ending_of_what_is_given_away_is_a_pictures(dataset, tmp_path, name):
    evil = with_rows(dataset, tmp_path / "m", path="images/evil.pth", sha256=None)
    evil.write_bytes(BLACK)
    EXPORTERS.create(name).export(tmp_path / "m", tmp_path / "ex")
    made = [path.name for path in (tmp_path / "ex").rglob("*")]
    for shard in (tmp_path / "ex").glob("*.tar"):
        with tarfile.open(shard) as tar:
            made += tar.getnames()
    assert not [made_name for made_name in made if made_name.endswith(".pth")]


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_a_killed_export_goes_on_and_ends_in_the_same_bytes(dataset, tmp_path, name, monkeypatch):
    def contents(folder):
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    export_manifest(name, dataset, tmp_path / "whole", [])
    left = [5]

    def dies(*arguments):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return image_bytes(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(exporting, "image_bytes", dies)
        with pytest.raises(KeyboardInterrupt):
            export_manifest(name, dataset, tmp_path / "cut", [])
    (tmp_path / "cut" / ".fairforge.json.a1b2c3d4.tmp").write_text("half")
    with pytest.raises(UsageError, match="unfinished export"):
        export_manifest("webdataset", dataset, tmp_path / "cut", ["shard=3"])
    export_manifest(name, dataset, tmp_path / "cut", [])
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    with pytest.raises(UsageError, match="is not empty"):
        export_manifest(name, dataset, tmp_path / "cut", [])
