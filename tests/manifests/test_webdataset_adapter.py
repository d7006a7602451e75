"""Tars of the wild: names with dots, masks, halves, joined, unsorted, compressed, damaged."""

import gzip
import io
import json
import tarfile

import pytest

from manifests.adapters import ADAPTERS
from manifests.adapters.webdataset import split_name
from manifests.errors import DataError, MissingError
from manifests.images import encode
from manifests.tar_index import members_of
from tests.manifests.adapter_files import picture


def png(key=0):
    return encode(picture(key, 8), "png")


def told(label=0, **more):
    return json.dumps({"label": label, **more}).encode()


def tar_of(*files, links=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, kind in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.png"
            tar.addfile(info)
    return buffer.getvalue()


def read(tmp_path, data, name="train-0.tar"):
    (tmp_path / name).write_bytes(data)
    return list(ADAPTERS.create("webdataset").read(tmp_path / name))


def kept(items):
    return [(item.key, item.label, item.bytes_of()) for item in items if item.problem is None]


def left(items):
    return {item.key: item.problem for item in items if item.problem is not None}


TWO = [("a.png", png(0)), ("a.json", told(0)), ("b.png", png(1)), ("b.json", told(1))]
BOTH = [("a", 0, png(0)), ("b", 1, png(1))]


def test_names_of_parts():
    assert split_name("x.y/a.mask.PNG") == ("x.y/a", "mask.png")
    assert [split_name(n) for n in ("./a.png", "a", ".a.png", "._a.png", "x/.a")] == [
        ("a", "png"),
        ("a", ""),
        ("", "a.png"),
        ("", "_a.png"),
        ("", "a"),
    ]


@pytest.mark.parametrize(
    "order", [[0, 1, 2, 3], [0, 2, 1, 3], [1, 3, 0, 2]], ids=["sorted", "pictures first", "lists first"]
)
def test_parts_of_a_sample_may_stand_anywhere(tmp_path, order):
    assert sorted(kept(read(tmp_path, tar_of(*(TWO[k] for k in order))))) == BOTH


def test_masks_and_other_parts_are_not_the_picture_nor_the_list(tmp_path):
    more = [("a.mask.png", png(7)), ("a.meta.json", told(1)), ("b.txt", b"words"), ("b.mask.jpg", png(8))]
    items = read(tmp_path, tar_of(*more, *TWO, *[(n.replace("mask", "seg"), d) for n, d in more[:1]]))
    assert kept(items) == BOTH
    assert {key: why.split(",")[0] for key, why in left(items).items()} == dict.fromkeys(
        ("a.mask.png", "a.meta.json", "b.txt", "b.mask.jpg", "a.seg.png"),
        "is neither the picture of its sample nor its json or cls",
    )


def test_names_with_dots_are_one_sample_and_say_so(tmp_path):
    files = [
        (f"id0.{k:04d}.{end}", data) for k in range(3) for end, data in (("png", png(k)), ("json", told()))
    ]
    items = read(tmp_path, tar_of(*files, *TWO))
    assert kept(items) == BOTH
    assert "a sample's name ends at its first dot" in left(items)["id0"]


def test_a_name_that_stands_twice_is_named_and_the_first_is_kept(tmp_path):
    items = read(tmp_path, tar_of(*TWO, ("a.png", png(5)), ("a.json", told(1))))
    assert kept(items) == BOTH
    assert set(left(items)) == {"a.png", "a.json"}
    assert all("stands twice; the first one was kept" in why for why in left(items).values())


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            [("c.jpg", png()), ("c.png", png()), ("c.json", told())],
            "has more than one picture: 'jpg, png, json'",
        ),
        ([("c.png", png())], "has no JSON beside it, nor a cls"),
        ([("c.json", told())], "has no picture"),
        ([("c.png", png()), ("c.json", b"[1]")], "its JSON holds a list where an object belongs"),
        ([("c.png", png()), ("c.json", b"{")], "its JSON is not JSON"),
        ([("c.png", png()), ("c.json", b"{}")], "label is missing"),
        ([("c.png", png()), ("c.json", b"[" * 50_000)], "nested too deeply"),
        ([("c.png", png()), ("c.cls", b"7")], "label is not"),
        ([("c.png", png()), ("c.json", told(0)), ("c.cls", b"1")], "its labels contradict each other"),
        ([("c.png", png()), ("c.json", told(0, cls=1))], "its labels contradict each other"),
        ([("c.png", png()), ("c.json", told(race=["White"]))], "value is not a single value"),
        ([("c.png", png()), ("c.json", told(landmarks="1 2"))], "landmarks are no list"),
        ([("c.png", png()), ("c.json", told(landmarks=[1, None]))], "a landmark is missing"),
        ([("c.png", png()), ("c.json", told(1, family="magic"))], "family is not one of"),
        ([("c.png", png()), ("c.json", told(split="dev"))], "split is not one of"),
        ([("c.png", png()), ("c.json", b" " * ((1 << 24) + 1))], "has more than 16777216 bytes"),
    ],
    ids=range(16),
)
def test_a_sample_that_cannot_be_used_takes_no_other_with_it(tmp_path, files, words):
    items = read(tmp_path, tar_of(*TWO[:2], *files, *TWO[2:]))
    assert kept(items) == BOTH
    assert words in left(items)["c"]


def test_files_of_no_sample_are_named(tmp_path):
    links = [
        ("l.png", tarfile.SYMTYPE),
        ("h.png", tarfile.LNKTYPE),
        ("p.png", tarfile.FIFOTYPE),
        ("folder", tarfile.DIRTYPE),
    ]
    items = read(tmp_path, tar_of(*TWO, ("README", b""), ("._a.png", b""), (".hidden.png", b""), links=links))
    assert kept(items) == BOTH
    assert set(left(items)) == {"README", ".hidden.png", "l.png", "h.png", "p.png"}


def test_labels_of_cls_and_names_that_are_not_utf8(tmp_path):
    items = read(
        tmp_path,
        tar_of(("a\udcff.png", png(0)), ("a\udcff.cls", b"1\n"), ("b.PNG", png(1)), ("b.JSON", told("real"))),
    )
    assert kept(items) == [("a\ufffd", 1, png(0)), ("b", 0, png(1))]


def test_joined_tars_are_read_on(tmp_path):
    first, second = tar_of(*TWO[:2]), tar_of(*TWO[2:])
    assert kept(read(tmp_path, first + second)) == BOTH
    assert kept(read(tmp_path, first + bytes(40_960) + second + bytes(512))) == BOTH


@pytest.mark.parametrize("junk", [b"junk", b"x" * 5000, b"\x1f\x8b" + bytes(600)])
def test_what_follows_the_end_mark_is_named(tmp_path, junk):
    data = tar_of(*TWO)
    items = read(tmp_path, data + junk)
    assert kept(items) == BOTH
    assert left(items)[f"byte {len(data)}"].startswith("it follows the end of the tar and is no tar")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[:-9216], "cut short"),
        (lambda data: data[:700], "not a readable tar"),
        (lambda data: data[:512], "not a readable"),
        (lambda data: data[:1024] + b"x" * 512 + data[1536:], "damaged at byte 1024"),
        (lambda data: b"x" * 512 + data, "not a readable tar"),
        (lambda data: b"", "not a readable tar"),
        (lambda data: b"text", "not a readable tar"),
        (gzip.compress, "is compressed (gzip)"),
        (lambda data: b"BZh91" + data, "is compressed (bzip2)"),
        (lambda data: b"PK\x03\x04" + data, "is compressed (zip)"),
    ],
    ids=range(10),
)
def test_tars_that_cannot_be_read_say_why(tmp_path, spoil, words):
    data = tar_of(*TWO)
    assert data[1024:1025] == b"a"
    with pytest.raises(DataError, match=r"train-0\.tar") as caught:
        read(tmp_path, spoil(data))
    assert words in str(caught.value)


def test_compressed_shards_of_a_folder_are_named(tmp_path):
    (tmp_path / "train-0.TAR").write_bytes(tar_of(*TWO))
    for name in ("train-1.tar.gz", "train-2.tgz"):
        (tmp_path / name).write_bytes(gzip.compress(tar_of(*TWO)))
    items = list(ADAPTERS.create("webdataset").read(tmp_path))
    assert kept(items) == BOTH
    assert set(left(items)) == {"train-1.tar.gz", "train-2.tgz"}
    (tmp_path / "train-0.TAR").unlink()
    with pytest.raises(MissingError):
        list(ADAPTERS.create("webdataset").read(tmp_path))


def test_the_index_holds_no_bytes_of_the_tar(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of(*((f"{k}.png", b"x" * 100) for k in range(50))))
    with open(path, "rb") as file:
        found = list(members_of(path, file))
        assert len(found) == 50
        file.seek(found[7].start)
        assert (found[7].name, file.read(found[7].size)) == ("7.png", b"x" * 100)
