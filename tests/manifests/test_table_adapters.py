"""Datasets described by tables, lists and file names: small trees with the traps that are known of them."""

import json
from collections import Counter

import numpy as np
import pytest

from manifests import read_manifest, validate
from manifests.adapters import ADAPTERS, import_images
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import encode
from tests.manifests.manifest_rows import drawn

PICTURE = encode(drawn(np.random.default_rng(2), 8), "png")


def put(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURE)


def rows_of(adapter, source, out, **params):
    result = import_images(adapter, source, out, params=params)
    assert validate(result.manifest) == []
    return read_manifest(result.manifest).to_pylist()


def skipped(out):
    return (out / "skipped.csv").read_text()


# --- DeepfakeBench ---


def bench(root, **changes):
    """Two fakes that share a name, a Windows path, compressions, and the two reals."""
    value, sets = (
        {"FaceForensics++": {}},
        {"FF-real": ["000", "003"], "FF-DF": ["000_003"], "FF-NT": ["000_003"]},
    )
    for label, names in sets.items():
        videos = {}
        for name in names:
            paths = [f"ff/{label}/c23/frames/{name}/{k:03d}.png" for k in range(3)]
            put(*(root / path for path in paths))
            videos[name] = {
                "label": label,
                "frames": [path.replace("/", "\\") if label == "FF-DF" else path for path in paths],
            }
        value["FaceForensics++"][label] = {"train": {}, "test": {"c23": videos, "c40": {}}}
    value.update(changes)
    (root / "list.json").write_text(json.dumps(value))
    return root / "list.json"


def test_deepfakebench_videos_of_one_name_stay_apart(tmp_path):
    rows = rows_of("deepfakebench", bench(tmp_path / "b"), tmp_path / "out", frames=2)
    assert Counter((row["label"], row["method"], row["family"]) for row in rows) == {
        (0, "none", "none"): 4,
        (1, "Deepfakes", "swap"): 2,
        (1, "NeuralTextures", "reenact"): 2,
    }
    assert len({row["video_id"] for row in rows}) == 4
    assert {row["identity_id"] for row in rows} == {"FaceForensics++:000_003"}
    assert {row["split"] for row in rows} == {"test"}


def test_deepfakebench_without_compressions_and_with_other_names_of_real(tmp_path):
    put(tmp_path / "x/1.png", tmp_path / "y/1.png")
    (tmp_path / "l.json").write_text(
        json.dumps(
            {
                "DFDC": {"DFDC_Real": {"test": {"a": {"label": "DFDC_Real", "frames": ["x/1.png"]}}}},
                "Celeb-DF-v2": {
                    "CelebDFv2_fake": {
                        "test": {"id0_id1_0000": {"label": "CelebDFv2_fake", "frames": ["y/1.png"]}}
                    }
                },
            }
        )
    )
    rows = rows_of("deepfakebench", tmp_path / "l.json", tmp_path / "out")
    assert {(row["dataset"], row["label"], row["identity_id"]) for row in rows} == {
        ("DFDC", 0, "DFDC:a"),
        ("Celeb-DF-v2", 1, "Celeb-DF-v2:id0"),
    }


def test_deepfakebench_errors(tmp_path):
    path = bench(tmp_path / "b")
    with pytest.raises(DataError, match="no video at compression raw"):
        list(ADAPTERS.create("deepfakebench", {"compression": "raw"}).read(path))
    with pytest.raises(MissingError):
        list(ADAPTERS.create("deepfakebench").read(tmp_path / "none.json"))
    entry = {"a": {"frames": ["../secret.png"]}}
    for changes, words in ((("test", entry), "leaves the folder"), (("dev", entry), "split is not one of")):
        bench(tmp_path / "b", X={"X_real": dict([changes])})
        (bad,) = [item for item in ADAPTERS.create("deepfakebench").read(path) if item.problem]
        assert words in bad.problem
    (tmp_path / "bad.json").write_text('{"a": [1]}')
    with pytest.raises(DataError, match="not a list of DeepfakeBench"):
        list(ADAPTERS.create("deepfakebench").read(tmp_path / "bad.json"))


# --- PG-FDD ---

EIGHT = "img_path,label,ismale,isasian,iswhite,isblack,intersec_label,spe_label\n"
SIX = "img_path,label,ismale,iswhite,isblack,intersec_label\n"


def test_purdue_labels_of_eight_and_of_six_cells(tmp_path):
    """3 is male-others of eight cells and female-white of six."""
    put(*(tmp_path / "m" / f"v{k}" / "1.png" for k in range(4)))
    (tmp_path / "m" / "test.csv").write_text(
        EIGHT + "v0/1.png,1,1,-1,-1,-1,3,4\nv1/1.png,0,-1,1,-1,-1,4,0\nv2/1.png,1,1,0,1,-1,1,1\n"
    )
    rows = rows_of("purdue", tmp_path / "m", tmp_path / "8")
    assert {row["video_id"]: (row["cell"], row["method"], row["split"]) for row in rows} == {
        "purdue/NeuralTextures/v0": ("others/Male", "NeuralTextures", "test"),
        "purdue/none/v1": ("asian/Female", "none", "test"),
        "purdue/Deepfakes/v2": (None, "Deepfakes", "test"),
    }
    (tmp_path / "m" / "cdf.csv").write_text(SIX + "v3/1.png,1,-1,1,-1,3\n")
    (row,) = rows_of("purdue", tmp_path / "m" / "cdf.csv", tmp_path / "6", split="val", dataset="celebdf")
    assert (row["cell"], row["split"], row["dataset"]) == ("white/Female", "val", "celebdf")


def test_purdue_contradiction_is_left_out_with_its_reason(tmp_path):
    put(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "train.csv").write_text(EIGHT + "a.png,0,1,-1,1,-1,1,0\nb.png,0,1,-1,1,-1,5,0\n")
    assert len(rows_of("purdue", tmp_path, tmp_path / "out")) == 1
    reason = "intersec_label contradicts its attributes (white, Male): '5' (train.csv line 3)"
    assert f'b.png,"{reason}"' in skipped(tmp_path / "out")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("../a.png,0,1,-1,1,-1,1,0", "leaves the folder"),
        ("a.png,2,1,-1,1,-1,1,0", "label is not"),
        ("a.png,0,1,-1,x,-1,1,0", "iswhite"),
    ],
)
def test_purdue_rows_that_cannot_be_used_are_named_by_their_line(tmp_path, row, words):
    (tmp_path / "train.csv").write_text(EIGHT + row + "\n")
    (item,) = ADAPTERS.create("purdue").read(tmp_path)
    assert words in item.problem
    assert "train.csv line 2" in item.problem


# --- AI-Face, FairFace, UTKFace, GenImage ---

AIFACE = "Image Path,Predicted Gender,Predicted Age,Skin Tone,Target,Skin Tone Group,Intersection\n"


def test_aiface_tones(tmp_path):
    lines = ["/a.png,1,2,3,0,0,3", "b.png,0,2,4,1,1,1", "c.png,0.0,2,10.0,1,2,2", "d.png,1,2,7,1,2,2"]
    put(*(tmp_path / f"{name}.png" for name in "abcd"))
    (tmp_path / "test.csv").write_text(AIFACE + "\n".join(lines) + "\n")
    rows = rows_of("aiface", tmp_path / "test.csv", tmp_path / "out")
    assert sorted((row["cell"], row["label"], row["split"]) for row in rows) == [
        ("dark/Female", 1, "test"),
        ("light/Male", 0, "test"),
        ("medium/Female", 1, "test"),
    ]
    assert "Intersection contradicts its attributes (dark, Male): 2" in skipped(tmp_path / "out")
    with pytest.raises(UsageError, match="skin tones"):
        import_images("aiface", tmp_path / "test.csv", tmp_path / "x", "fairface4")
    (tmp_path / "bad.csv").write_text(AIFACE + "a.png,1,2,11,0,0,3\n")
    (item,) = ADAPTERS.create("aiface").read(tmp_path / "bad.csv")
    assert item.problem == "Skin Tone is above 10: '11' (bad.csv line 2)"


def test_fairface_ages_of_a_spreadsheet(tmp_path):
    put(tmp_path / "val/1.jpg", tmp_path / "val/2.jpg")
    (tmp_path / "fairface_label_val.csv").write_text(
        "file,age,gender,race,service_test\nval/1.jpg,03-Sep,Male,Latino_Hispanic,True\nval/2.jpg,Oct-19,Female,East"
        " Asian,False\n"
    )
    rows = rows_of("fairface", tmp_path, tmp_path / "out", splits=["val"])
    assert {(row["age"], row["cell"], row["split"]) for row in rows} == {
        ("3-9", "White/Male", "val"),
        ("10-19", "Asian/Female", "val"),
    }
    assert [f.message.split()[0] for f in ADAPTERS.create("fairface").check(tmp_path)] == [
        "fairface_label_train.csv",
        "train",
    ]
    (tmp_path / "fairface_label_val.csv").write_text("file,age,gender,race\nval/1.jpg,35,Male,White\n")
    item, other = ADAPTERS.create("fairface", {"splits": ["val"]}).read(tmp_path)
    assert item.problem == "age is no band of FairFace: '35' (fairface_label_val.csv line 2)"
    assert (other.key, other.problem) == ("val/2.jpg", "is not named by fairface_label_val.csv")


def test_utkface_names_with_a_missing_part(tmp_path):
    names = [
        "26_1_2_20170116184024662.jpg.chip.jpg",
        "9_0_4_20170109150557335.jpg",
        "61_1_20170109142408075.jpg",
        "100_0_3_20170112213500903.jpg",
    ]
    put(*(tmp_path / "utk" / name for name in names))
    rows = rows_of("utkface", tmp_path / "utk", tmp_path / "out")
    assert sorted((row["cell"] or "", row["gender"], row["age"]) for row in rows) == [
        ("", "Male", "3-9"),
        ("Asian/Female", "Female", "20-29"),
        ("Indian/Male", "Male", "more than 70"),
    ]
    assert "61_1_20170109142408075.jpg,its name is not" in skipped(tmp_path / "out")


def test_genimage_codec_trap_goes_through_one_encoder(tmp_path):
    """Real JPEG against fake PNG: after the import both are of one codec and size."""
    root = tmp_path / "g"
    for split in ("train", "val"):
        put(root / "ADM/imagenet_ai_0508_adm" / split / "ai" / "1.PNG")
        path = root / "ADM/imagenet_ai_0508_adm" / split / "nature" / "n01.JPEG"
        path.parent.mkdir(parents=True)
        path.write_bytes(encode(drawn(np.random.default_rng(3), 20), "jpeg", 80))
    out = import_images("genimage", root, tmp_path / "out", codec="jpeg", quality=90, size=16)
    rows = read_manifest(out.manifest).to_pylist()
    assert {(row["codec"], row["quality"], row["width"], row["path"][-4:]) for row in rows} == {
        ("jpeg", 90, 16, ".jpg")
    }
    assert Counter((row["label"], row["method"], row["split"]) for row in rows) == {
        (0, "none", "train"): 1,
        (1, "ADM", "train"): 1,
        (0, "none", "test"): 1,
        (1, "ADM", "test"): 1,
    }
    (root / "BigGAN").mkdir()
    assert len(ADAPTERS.create("genimage").check(root)) == 4


@pytest.mark.parametrize("name", ADAPTERS.names())
def test_every_adapter_says_what_is_missing_of_an_empty_folder(tmp_path, name):
    adapter = ADAPTERS.create(name)
    found = adapter.check(tmp_path)
    assert found
    assert all(len(f.message) > 20 for f in found)
    with pytest.raises(MissingError):
        list(adapter.read(tmp_path))


def test_swapped_labels_and_missing_annotations_are_warned_of(tmp_path):
    """A list that takes 1 for real: the import finishes, and says that names and labels disagree."""
    names = [f"{kind}/{k}.png" for kind in ("real", "fake") for k in range(4)]
    put(*(tmp_path / "m" / name for name in names))
    for turned in (False, True):
        lines = [
            f"{name},{int(name.startswith('fake') != turned)},{'White,Male' if k else ','}"
            for k, name in enumerate(names)
        ]
        (tmp_path / "m" / "labels.csv").write_text("path,label,race,gender\n" + "\n".join(lines) + "\n")
        result = import_images("folder", tmp_path / "m", tmp_path / f"out{turned}")
        assert result.n_images == 8
        assert any("contradict the names of 8 of 8" in text for text in result.warnings) == turned
        assert any("1 of 8 images have no cell" in text for text in result.warnings)
