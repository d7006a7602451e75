"""Video datasets: small trees of the official layouts with the traps that are known of them."""

import json
from collections import Counter

import numpy as np
import pytest

from manifests import read_manifest, validate
from manifests.adapters import ADAPTERS, import_images
from manifests.adapters.annotations import gender_of, race_of, read_annotations, video_key
from manifests.adapters.videos import frame_files
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import encode
from manifests.video_frames import evenly
from tests.manifests.manifest_rows import drawn

PICTURE = encode(drawn(np.random.default_rng(1), 8), "png")


def frames(place, name, count=3):
    """Extracted frames 0.png, 1.png, ... of a video."""
    folder = place / "frames" / name
    folder.mkdir(parents=True)
    for k in range(count):
        (folder / f"{k}.png").write_bytes(PICTURE)


def rows_of(adapter, source, out, **params):
    result = import_images(adapter, source, out, params=params)
    assert validate(result.manifest) == []
    return read_manifest(result.manifest).to_pylist()


def skipped(out):
    return (out / "skipped.csv").read_text()


def ffpp_tree(root, methods=("Deepfakes", "NeuralTextures")):
    for split, pair in (("train", ["003", "000"]), ("val", ["010", "011"]), ("test", ["953", "974"])):
        (root / f"{split}.json").parent.mkdir(parents=True, exist_ok=True)
        (root / f"{split}.json").write_text(json.dumps([pair]))
        a, b = pair
        for name in pair:
            frames(root / "original_sequences/youtube/c23", name)
        for method in methods:
            for name in (f"{a}_{b}", f"{b}_{a}"):
                frames(root / f"manipulated_sequences/{method}/c23", name)
    return root


HEAD = ",path,label,male,young,middle_aged,senior,asian,white,black\n"


def annotated(root, lines):
    path = root / "A-FF++.csv"
    path.write_text(
        HEAD
        + "".join(
            f"{k},FaceForensics++/{place}/raw/face_images/{video}/frame{k}.png,1,{flags}\n"
            for k, (place, video, flags) in enumerate(lines)
        )
    )
    return path


# --- FaceForensics++ ---


def test_ffpp_pairs_splits_and_identities(tmp_path):
    """A pair of the list is two reals and both directions of every forgery, in one split, of one shared
    identity.
    """
    rows = rows_of("ffpp", ffpp_tree(tmp_path / "ff"), tmp_path / "out", frames=2)
    assert len(rows) == 3 * (2 + 4) * 2
    test = [row for row in rows if row["split"] == "test"]
    assert {row["video_id"] for row in test} == {
        "ffpp/none/953",
        "ffpp/none/974",
        "ffpp/Deepfakes/953_974",
        "ffpp/Deepfakes/974_953",
        "ffpp/NeuralTextures/953_974",
        "ffpp/NeuralTextures/974_953",
    }
    assert {row["identity_id"] for row in test} == {"ffpp:953_974"}
    assert Counter((row["label"], row["method"], row["family"]) for row in test) == {
        (0, "none", "none"): 4,
        (1, "Deepfakes", "swap"): 4,
        (1, "NeuralTextures", "reenact"): 4,
    }
    split_of = {}
    for row in rows:
        assert split_of.setdefault(row["identity_id"], row["split"]) == row["split"]
        assert (row["cell"], row["attribute_source"], row["dataset"]) == (None, None, "ffpp")


def test_ffpp_annotations_follow_the_visible_face(tmp_path):
    """953_974 without its own annotation: Deepfakes shows the source 974, NeuralTextures the target 953."""
    root = ffpp_tree(tmp_path / "ff")
    table = annotated(
        root,
        [
            ("original_sequences/youtube", "953", "1,1,-1,-1,-1,1,-1"),
            ("original_sequences/youtube", "974", "-1,-1,-1,1,1,-1,-1"),
            ("manipulated_sequences/Deepfakes", "974_953", "1,-1,-1,-1,-1,-1,-1"),
        ],
    )
    rows = rows_of("ffpp", root, tmp_path / "out", frames=1, annotations=str(table), splits=["test"])
    found = {row["video_id"].removeprefix("ffpp/"): row for row in rows}
    assert {key: (row["cell"], row["age"], row["attribute_source"]) for key, row in found.items()} == {
        "none/953": ("white/Male", "young", "annotation:A-FF++.csv"),
        "none/974": ("asian/Female", "senior", "annotation:A-FF++.csv"),
        "Deepfakes/953_974": ("asian/Female", "senior", "inherited"),
        "Deepfakes/974_953": ("others/Male", None, "annotation:A-FF++.csv"),
        "NeuralTextures/953_974": ("white/Male", "young", "inherited"),
        "NeuralTextures/974_953": ("asian/Female", "senior", "inherited"),
    }
    fake = found["Deepfakes/953_974"]
    assert (fake["target_cell"], fake["source_cell"]) == ("white/Male", "asian/Female")


def test_ffpp_check_names_the_download(tmp_path):
    root = ffpp_tree(tmp_path / "ff")
    adapter = ADAPTERS.create("ffpp", {"methods": ["FaceSwap"]})
    (finding,) = adapter.check(root)
    assert "FaceSwap/c23/videos is missing" in finding.message
    assert "-d FaceSwap -c c23" in finding.message
    (root / "val.json").unlink()
    assert "val.json" in ADAPTERS.create("ffpp").check(root)[0].message
    with pytest.raises(MissingError, match=r"val\.json"):
        list(ADAPTERS.create("ffpp").read(root))
    assert "FaceSap" in ADAPTERS.create("ffpp", {"methods": ["FaceSap"]}).check(root)[1].message


def test_a_video_that_is_not_there_is_a_row_with_its_reason(tmp_path):
    root = ffpp_tree(tmp_path / "ff")
    place = root / "manipulated_sequences/Deepfakes/c23/frames/953_974"
    for file in place.iterdir():
        file.unlink()
    rows = rows_of("ffpp", root, tmp_path / "out", frames=1)
    assert len(rows) == 17
    assert "ffpp/Deepfakes/953_974,holds no frame" in skipped(tmp_path / "out")
    place.rmdir()
    rows_of("ffpp", root, tmp_path / "again", frames=1)
    assert "ffpp/Deepfakes/953_974,is not there" in skipped(tmp_path / "again")


@pytest.mark.parametrize("text", ["{", "{}", "5", "null"])
def test_ffpp_split_file_that_is_no_list(tmp_path, text):
    root = ffpp_tree(tmp_path / "ff")
    (root / "val.json").write_text(text)
    with pytest.raises(DataError, match=r"val\.json"):
        list(ADAPTERS.create("ffpp").read(root))


@pytest.mark.parametrize("entry", ["[]", '["000"]', "3", "null", '["../x", "y"]', '["x/y", "z"]', "[1, 2]"])
def test_ffpp_entry_that_is_no_pair_is_left_out(tmp_path, entry):
    root = ffpp_tree(tmp_path / "ff")
    whole = list(ADAPTERS.create("ffpp").read(root))
    (root / "val.json").write_text(f'[{entry}, ["010", "011"]]')
    bad, *rest = sorted(ADAPTERS.create("ffpp").read(root), key=lambda item: item.problem is None)
    assert (bad.key, len(rest)) == ("val.json entry 1", len(whole))
    assert all(item.problem is None for item in rest)


def test_videos_that_no_list_names_are_left_out_by_name(tmp_path):
    root = ffpp_tree(tmp_path / "ff")
    (root / "val.json").write_text("[]")
    left = {item.key: item.problem for item in ADAPTERS.create("ffpp").read(root) if item.problem}
    assert len(left) == 2 + 2 * 2
    assert left["manipulated_sequences/Deepfakes/c23/videos/010_011"].startswith("is not named by train.json")


# --- annotations ---


def test_undefined_is_not_absent():
    """0 is not -1; two races at once are none; all absent is `others`; a set without `asian` has only
    three.
    """
    assert race_of({"asian": -1, "white": 1, "black": -1}) == "white"
    assert race_of({"asian": -1, "white": -1, "black": -1}) == "others"
    assert race_of({"asian": 0, "white": -1, "black": -1}) is None
    assert race_of({"asian": 1, "white": 1, "black": -1}) is None
    assert race_of({"asian": 1, "white": 0, "black": -1}) is None
    assert race_of({"white": -1, "black": -1}) == "others"
    assert race_of({}) is None
    assert [gender_of(flag) for flag in (1, -1, 0, None)] == ["Male", "Female", None, None]


def test_a_video_has_what_most_of_its_defined_frames_have(tmp_path):
    rows = [
        ("m/Deepfakes", "1_2", flags)
        for flags in ("1,0,0,0,-1,1,-1", "1,0,0,0,0,1,-1", "-1,0,0,0,-1,-1,1", "1,0,0,0,-1,1,-1")
    ]
    rows += [("m/Deepfakes", "2_1", "1,0,0,0,-1,1,-1"), ("m/Deepfakes", "2_1", "-1,0,0,0,-1,1,-1")]
    found, unreadable = read_annotations(annotated(tmp_path, rows))
    assert unreadable == []
    assert (found["Deepfakes", "1_2"].race, found["Deepfakes", "1_2"].gender) == ("white", "Male")
    assert (found["Deepfakes", "2_1"].race, found["Deepfakes", "2_1"].gender) == ("white", None)


def test_keys_of_annotated_paths():
    assert video_key("FaceForensics++/original_sequences/youtube/raw/face_images/000/frame1.png") == (
        "youtube",
        "000",
    )
    assert video_key("Celeb-DF\\Celeb-real\\id0_0000\\1.png") == ("Celeb-real", "id0_0000")


def test_annotations_that_cannot_be_used(tmp_path):
    (tmp_path / "a.csv").write_text("path,male\nx,1\n")
    with pytest.raises(DataError, match="lacks the columns white, black"):
        read_annotations(tmp_path / "a.csv")


def test_a_row_of_annotations_that_cannot_be_read_is_left_out_by_its_line(tmp_path):
    root = ffpp_tree(tmp_path / "ff")
    place = "original_sequences/youtube"
    table = annotated(root, [(place, "953", "1,1,-1,-1,-1,1,-1"), (place, "974", "2,,,,,1,1")])
    rows = rows_of("ffpp", root, tmp_path / "out", frames=1, annotations=str(table))
    assert {row["cell"] for row in rows if row["video_id"] == "ffpp/none/953"} == {"white/Male"}
    assert "A-FF++.csv line 3,male is above 1: '2' (a row of annotations)" in skipped(tmp_path / "out")


# --- Celeb-DF, DFD, DFDC ---


def celebdf_tree(root):
    for folder, names in (
        ("Celeb-real", ["id0_0000", "id1_0003"]),
        ("YouTube-real", ["00170"]),
        ("Celeb-synthesis", ["id0_id1_0000", "id1_id0_0003"]),
    ):
        for name in names:
            frames(root / folder, name)
    (root / "List_of_testing_videos.txt").write_text(
        "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n1 Celeb-real/id1_0003.mp4\n\n"
    )
    return root


def test_celebdf_marks_real_with_one(tmp_path):
    rows = rows_of("celebdf", celebdf_tree(tmp_path / "cdf"), tmp_path / "out", frames=1)
    found = {
        row["video_id"].rpartition("/")[2]: (row["label"], row["split"], row["identity_id"]) for row in rows
    }
    assert found == {
        "Celeb-real-id0_0000": (0, "train", "celebdf:id0"),
        "Celeb-real-id1_0003": (0, "test", "celebdf:id1"),
        "YouTube-real-00170": (0, "test", "celebdf:YouTube-real-00170"),
        "id0_id1_0000": (1, "test", "celebdf:id0"),
        "id1_id0_0003": (1, "train", "celebdf:id1"),
    }


def test_celebdf_annotations_without_an_asian_column(tmp_path):
    root = celebdf_tree(tmp_path / "cdf")
    (root / "a.csv").write_text("path,label,male,white,black\nCeleb-DF/Celeb-real/id0_0000/1.png,0,1,-1,-1\n")
    rows = rows_of("celebdf", root, tmp_path / "out", frames=1, annotations=str(root / "a.csv"))
    assert {row["cell"] for row in rows} == {None, "others/Male"}


def test_celebdf_list_turned_round_is_refused(tmp_path):
    root = celebdf_tree(tmp_path / "cdf")
    (root / "List_of_testing_videos.txt").write_text("0 YouTube-real/00170.mp4\n")
    with pytest.raises(DataError, match=r"1 marks the real.*line 1"):
        list(ADAPTERS.create("celebdf").read(root))


def test_celebdf_lines_that_cannot_be_used_are_left_out(tmp_path):
    """A video whose mark contradicts its folder goes neither to training nor to test."""
    root = celebdf_tree(tmp_path / "cdf")
    lines = [
        "0 Celeb-real/id0_0000.mp4",
        "x",
        "1 ../a.mp4",
        "1",
        "1.0\tCeleb-real\\id1_0003.mp4",
        "1 Celeb-real",
    ]
    with open(root / "List_of_testing_videos.txt", "a") as file:
        file.write("\n".join(lines))
    rows = rows_of("celebdf", root, tmp_path / "out", frames=1)
    assert len({row["video_id"] for row in rows}) == 4
    left = skipped(tmp_path / "out").splitlines()[1:]
    assert [line.split(",")[0] for line in left] == [
        "Celeb-real/id0_0000.mp4",
        *(f"List_of_testing_videos.txt line {k}" for k in (6, 7, 8)),
        "Celeb-real",
    ]


def test_dfd_is_split_by_actor(tmp_path):
    root = tmp_path / "ff"
    for actor in range(1, 11):
        frames(root / "original_sequences/actors/c23", f"{actor:02d}__kitchen")
    for name in ("01_02__kitchen__ABCDEFGH", "01_09__kitchen__ABCDEFGH", "10_09__kitchen__ABCDEFGH"):
        frames(root / "manipulated_sequences/DeepFakeDetection/c23", name)
    rows = rows_of("dfd", root, tmp_path / "out", frames=1)
    assert Counter(row["split"] for row in rows if not row["label"]) == {"train": 6, "val": 2, "test": 2}
    assert {row["video_id"]: row["split"] for row in rows if row["label"]} == {
        "dfd/DeepFakeDetection/01_02__kitchen__ABCDEFGH": "train",
        "dfd/DeepFakeDetection/10_09__kitchen__ABCDEFGH": "test",
    }
    assert "01_09__kitchen__ABCDEFGH,its actors 01 and 09 are in different splits" in skipped(
        tmp_path / "out"
    )
    assert len(rows_of("dfd", root, tmp_path / "all", frames=1, split="test")) == 13


def test_dfdc_fakes_share_their_originals_identity(tmp_path):
    root = tmp_path / "dfdc"
    for part, names in (("dfdc_train_part_0", ["aa", "bb"]), ("dfdc_train_part_10", ["cc"])):
        for name in names:
            frames(root / part, name)
    (root / "dfdc_train_part_0" / "metadata.json").write_text(
        json.dumps(
            {
                "bb.mp4": {"label": "FAKE", "split": "train", "original": "aa.mp4"},
                "aa.mp4": {"label": "REAL", "split": "train"},
            }
        )
    )
    (root / "dfdc_train_part_10" / "metadata.json").write_text(
        json.dumps({"cc.mp4": {"label": "REAL", "original": None}})
    )
    (root / "labels.csv").write_text("filename,label\ndd.mp4,1\n")
    frames(root, "dd")
    rows = rows_of("dfdc", root, tmp_path / "out", frames=1)
    assert {row["video_id"]: (row["identity_id"], row["split"]) for row in rows} == {
        "dfdc/none/aa": ("dfdc:aa", "train"),
        "dfdc/dfdc/bb": ("dfdc:aa", "train"),
        "dfdc/none/cc": ("dfdc:cc", "train"),
        "dfdc/dfdc/dd": ("dfdc:dd", "test"),
    }
    (root / "dfdc_train_part_10" / "metadata.json").write_text(json.dumps({"../cc.mp4": {"label": "REAL"}}))
    left = {item.key: item.problem for item in ADAPTERS.create("dfdc").read(root) if item.problem}
    assert "leaves the folder" in left["dfdc_train_part_10/metadata.json ../cc.mp4"]
    assert left["dfdc_train_part_10/cc"] == "is not named by dfdc_train_part_10/metadata.json"
    (tmp_path / "empty").mkdir()
    assert "metadata.json" in ADAPTERS.create("dfdc").check(tmp_path / "empty")[0].message


def test_dfdcp(tmp_path):
    root = tmp_path / "dfdcp"
    for folder, name in (
        ("original_videos/12", "12_A"),
        ("method_A/12", "12_34_A"),
        ("method_B/12", "12_34_A"),
    ):
        frames(root / folder, name)
    (root / "dataset.json").write_text(
        json.dumps(
            {
                "original_videos/12/12_A.mp4": {"label": "real", "set": "test", "target_id": 12},
                "method_A/12/12_34_A.mp4": {
                    "label": "fake",
                    "set": "test",
                    "target_id": 12,
                    "swapped_id": 34,
                },
                "method_B/12/12_34_A.mp4": {
                    "label": "fake",
                    "set": "train",
                    "target_id": 12,
                    "swapped_id": 34,
                },
            }
        )
    )
    rows = rows_of("dfdcp", root, tmp_path / "out", frames=1)
    assert Counter((row["method"], row["split"]) for row in rows) == {
        ("none", "test"): 1,
        ("method_A", "test"): 1,
        ("method_B", "train"): 1,
    }
    assert len({row["video_id"] for row in rows}) == 3
    assert {row["identity_id"] for row in rows} == {"dfdcp:12"}


# --- frames ---


def test_frames_are_spread_evenly_and_sorted_by_number(tmp_path):
    assert evenly(10, 5) == [1, 3, 5, 7, 9]
    assert evenly(3, 32) == [0, 1, 2]
    assert evenly(0, 4) == []
    for total in range(1, 60):
        for count in (1, 7, 32):
            found = evenly(total, count)
            assert len(set(found)) == min(total, count)
            assert max(np.diff(found), default=0) - min(np.diff(found), default=0) <= 1
    for name in ("10.png", "9.png", "frame2.jpg", "note.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [number for number, _ in frame_files(tmp_path)] == [2, 9, 10]


def test_video_without_a_decoder_says_how_to_get_one(tmp_path, monkeypatch):
    root = celebdf_tree(tmp_path / "cdf")
    (root / "Celeb-real" / "id7_0000.mp4").write_bytes(b"x")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="'av'") as caught:
        list(ADAPTERS.create("celebdf").read(root))
    assert "fairforge[video]" in caught.value.fix


def test_frames_from_a_real_video_and_a_broken_one(tmp_path):
    av = pytest.importorskip("av")
    root = celebdf_tree(tmp_path / "cdf")
    with av.open(str(root / "Celeb-real" / "id7_0000.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for k in range(20):
            image = np.full((32, 32, 3), 12 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    (root / "Celeb-real" / "id8_0000.mp4").write_bytes(b"not a video" * 100)
    rows = rows_of("celebdf", root, tmp_path / "out", frames=4)
    from manifests.images import read_image

    mine = [row for row in rows if row["video_id"].endswith("id7_0000")]
    grey = sorted(read_image(tmp_path / "out" / row["path"]).mean() for row in mine)
    np.testing.assert_allclose(grey, [12 * k for k in evenly(20, 4)], atol=6)
    assert "id8_0000,is not a readable video" in skipped(tmp_path / "out")


def test_taxonomy_is_the_adapters_own_unless_another_is_asked_for(tmp_path):
    root = ffpp_tree(tmp_path / "ff")
    table = annotated(root, [("original_sequences/youtube", "953", "1,1,-1,-1,-1,1,-1")])
    for taxonomy, cell in ((None, "white/Male"), ("fairface4", "White/Male")):
        out = tmp_path / str(taxonomy)
        result = import_images(
            "ffpp", root, out, taxonomy, {"frames": 1, "annotations": str(table), "splits": ["test"]}
        )
        assert {row["cell"] for row in read_manifest(result.manifest).to_pylist()} >= {cell}
    with pytest.raises(UsageError, match="cannot be mapped"):
        import_images("ffpp", root, tmp_path / "x", "monk3", {"frames": 1, "annotations": str(table)})
