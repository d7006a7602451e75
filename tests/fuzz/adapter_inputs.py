"""A small valid input of every registered adapter, and what an import does with it."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.adapters import import_images
from manifests.images import encode
from tests.clips.clip_files import clip_bytes, sound_bytes
from tests.fuzz.harness import Target

PNG = encode(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8), "png")
JPEG = encode(np.full((8, 8, 3), 90, np.uint8), "jpeg", 90)
FLAGS = b",path,label,male,young,middle_aged,senior,asian,white,black\n"


def table(*rows: tuple[Any, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def parquet(columns: dict[str, list[Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def tar(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def frames(*places: str) -> dict[str, bytes]:
    return {f"{place}/0.png": PNG for place in places}


def folder() -> dict[str, bytes]:
    rows = [
        ("a.png", 0, "White", "Male", "20-29", "p1", "train", "none"),
        ("b.png", 1, "Black", "Female", "3-9", "p2", "val", "swap"),
        ("c.jpg", "fake", "Asian", "Male", "", "p3", "test", "swap"),
    ]
    head = ("path", "label", "race", "gender", "age", "identity_id", "split", "method")
    return {"labels.csv": table(head, *rows), "a.png": PNG, "b.png": PNG, "c.jpg": JPEG}


def imagefolder() -> dict[str, bytes]:
    columns = {
        "file_name": ["real/a.png", "fake/b.png"],
        "label": [0, 1],
        "race": ["White", None],
        "identity_id": ["0012", "x"],
    }
    return {
        "train/metadata.parquet": parquet(columns),
        "train/real/a.png": PNG,
        "train/fake/b.png": PNG,
        "val/metadata.csv": table(("file_name", "label", "gender"), ("c.png", 1, "Male"), ("d.png", 0, "")),
        "val/c.png": PNG,
        "val/d.png": PNG,
    }


def webdataset() -> dict[str, bytes]:
    row = {
        "label": 1,
        "method": "swap-a",
        "race": "White",
        "gender": "Male",
        "landmarks": [1.0, 2.0],
        "identity_id": "7",
    }
    members = {"a.png": PNG, "a.json": json.dumps(row).encode(), "b.jpg": JPEG, "b.json": b'{"cls": 0}'}
    return {"train-000000.tar": tar(**members)}


def fairface_parquet() -> dict[str, bytes]:
    return {
        "faces.parquet": parquet(
            {
                "file": ["1.jpg", "2.jpg", "3.jpg"],
                "race": ["White", "East Asian", "Black"],
                "gender": ["Male", "Female", "Male"],
                "age": ["20-29", "3-9", "more than 70"],
                "image": [PNG, JPEG, PNG],
                "yaw_proxy": [0.1, 0.2, None],
                "mesh148_x64": [[64] * 296] * 3,
            }
        )
    }


def purdue() -> dict[str, bytes]:
    head = ("img_path", "label", "ismale", "isasian", "iswhite", "isblack", "intersec_label", "spe_label")
    rows = (
        ("v0/1.png", 1, 1, -1, -1, -1, 3, 4),
        ("v1/1.png", 0, -1, 1, -1, -1, 4, 0),
        ("v2/1.png", 1, 1, 0, 1, -1, 1, 1),
    )
    methods = table(
        ("spe_label", "method", "family"), (1, "Deepfakes", "swap"), (4, "NeuralTextures", "reenact")
    )
    return {"test.csv": table(head, *rows), "methods.csv": methods, **{f"v{k}/1.png": PNG for k in range(3)}}


def aiface() -> dict[str, bytes]:
    head = (
        "Image Path",
        "Predicted Gender",
        "Predicted Age",
        "Skin Tone",
        "Target",
        "Skin Tone Group",
        "Intersection",
    )
    return {
        "test.csv": table(head, ("/a.png", 1, 2, 3, 0, 0, 3), ("b.png", 0, 2, 4, 1, 1, 1)),
        "a.png": PNG,
        "b.png": PNG,
    }


def deepfakebench() -> dict[str, bytes]:
    files, value = {}, {}
    for label, name in (("FF-real", "000"), ("FF-DF", "000_003")):
        path = f"ff/{label}/c23/frames/{name}/000.png"
        files[path] = PNG
        value[label] = {"train": {}, "test": {"c23": {name: {"label": label, "frames": [path]}}}}
    extra = [
        {
            "image_id": "i",
            "label": 1,
            "method": "m",
            "family": "swap",
            "race": "White",
            "landmarks": [1.0, 2.0],
        }
    ]
    value["own"] = {"test": {"v": {"label": "own", "frames": ["own/1.png"], "fairforge": extra}}}
    return {**files, "own/1.png": PNG, "list.json": json.dumps({"FaceForensics++": value}).encode()}


def ffpp() -> dict[str, bytes]:
    files = frames(
        "original_sequences/youtube/c23/frames/003",
        "original_sequences/youtube/c23/frames/000",
        "manipulated_sequences/Deepfakes/c23/frames/000_003",
        "manipulated_sequences/Deepfakes/c23/frames/003_000",
    )
    lists = {"train.json": b'[["003", "000"]]', "val.json": b'[["010", "011"]]', "test.json": b"[]"}
    row = b"0,FaceForensics++/original_sequences/youtube/raw/face_images/003/frame0.png,0,1,-1,1,-1,-1,1,-1\n"
    return {**files, **lists, "notes.csv": FLAGS + row + row.replace(b"003", b"000")}


def celebdf() -> dict[str, bytes]:
    files = frames(
        "Celeb-real/frames/id0_0000", "Celeb-synthesis/frames/id0_id1_0000", "YouTube-real/frames/00000"
    )
    return {
        **files,
        "List_of_testing_videos.txt": (
            b"1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n1 YouTube-real/00000.mp4\n"
        ),
    }


def dfd() -> dict[str, bytes]:
    return frames(
        "original_sequences/actors/c23/frames/01__scene",
        "original_sequences/actors/c23/frames/02__scene",
        "manipulated_sequences/DeepFakeDetection/c23/frames/01_02__scene__HASH",
        "manipulated_sequences/DeepFakeDetection/c23/frames/02_01__scene__H",
    )


def dfdc() -> dict[str, bytes]:
    part = "dfdc_train_part_0"
    value = {
        "a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"},
        "b.mp4": {"label": "REAL", "split": "train"},
    }
    return {
        f"{part}/metadata.json": json.dumps(value).encode(),
        **frames(f"{part}/frames/a", f"{part}/frames/b", "frames/t"),
        "labels.csv": table(("filename", "label"), ("t.mp4", 1)),
    }


def dfdcp() -> dict[str, bytes]:
    value = {
        "method_A/1/a.mp4": {"label": "fake", "set": "train", "target_id": 1},
        "original_videos/1/b.mp4": {"label": "real", "set": "test", "target_id": 1},
    }
    return {
        "dataset.json": json.dumps(value).encode(),
        **frames("method_A/1/frames/a", "original_videos/1/frames/b", "method_B/frames/c"),
    }


def fairface() -> dict[str, bytes]:
    head = ("file", "age", "gender", "race", "service_test")
    return {
        "fairface_label_train.csv": table(
            head,
            ("train/1.jpg", "3-9", "Male", "White", "True"),
            ("train/2.jpg", "20-29", "Female", "Black", "False"),
        ),
        "fairface_label_val.csv": table(head, ("val/1.jpg", "Oct-19", "Male", "Indian", "False")),
        "train/1.jpg": JPEG,
        "train/2.jpg": PNG,
        "val/1.jpg": JPEG,
    }


def genimage() -> dict[str, bytes]:
    root = "ADM/imagenet_ai_0508_adm"
    return {
        f"{root}/{split}/{kind}": data
        for split in ("train", "val")
        for kind, data in (("ai/1.PNG", PNG), ("nature/n01.JPEG", JPEG))
    }


def utkface() -> dict[str, bytes]:
    return {
        "26_1_2_20170116184024662.jpg.chip.jpg": JPEG,
        "9_0_4_20170109150557335.jpg": PNG,
        "61_1_20170109142408075.jpg": JPEG,
    }


def fakeavceleb() -> dict[str, bytes]:
    real, fake = "RealVideo-RealAudio", "FakeVideo-RealAudio"
    head = ("source", "target1", "target2", "method", "category", "type", "race", "gender", "path", "")
    rows = (
        (
            "id1",
            "-",
            "-",
            "real",
            "A",
            real,
            "African",
            "men",
            "a.mp4",
            f"FakeAVCeleb/{real}/African/men/id1",
        ),
        (
            "id1",
            "id2",
            "-",
            "wav2lip",
            "C",
            fake,
            "African",
            "men",
            "b.mp4",
            f"FakeAVCeleb/{fake}/African/men/id1",
        ),
    )
    empty = {f"{kind}/x.txt": b"" for kind in ("RealVideo-FakeAudio", "FakeVideo-FakeAudio")}
    clips = {f"{row[5]}/African/men/id1/{row[8]}": clip_bytes(k, 2) for k, row in enumerate(rows)}
    return {"meta_data.csv": table(head, *rows), **clips, **empty}


def avdeepfake1m() -> dict[str, bytes]:
    entries = [
        {"file": "id1/v/real.mp4", "modify_type": "real", "fake_segments": []},
        {"file": "id1/v/fake.mp4", "modify_type": "audio_modified", "fake_segments": [[0.0, 0.05]]},
    ]
    clips = {f"val/{entry['file']}": clip_bytes(k, 2) for k, entry in enumerate(entries)}
    return {"val_metadata.json": json.dumps(entries).encode(), **clips}


def lavdf() -> dict[str, bytes]:
    same = {"modify_video": False, "modify_audio": False, "original": None}
    entries = [
        {"file": "dev/1.mp4", "n_fakes": 0, "fake_periods": [], "split": "dev", **same},
        {
            "file": "test/2.mp4",
            "n_fakes": 1,
            "fake_periods": [[0.0, 0.05]],
            "split": "test",
            **same,
            "modify_audio": True,
        },
    ]
    return {
        "metadata.json": json.dumps(entries).encode(),
        "dev/1.mp4": clip_bytes(0, 2),
        "test/2.mp4": clip_bytes(1, 2),
    }


def avlips() -> dict[str, bytes]:
    return {
        "0_real/1.mp4": clip_bytes(0, 2),
        "1_fake/1.mp4": clip_bytes(1, 2, False),
        "wav/1_fake/1.wav": sound_bytes(),
    }


def grid() -> dict[str, bytes]:
    return {"s1/a.mp4": clip_bytes(0, 2), "s2/b.mp4": clip_bytes(1, 2)}


INPUTS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "aiface": (aiface, "test.csv", {}),
    "avdeepfake1m": (avdeepfake1m, "", {}),
    "avlips": (avlips, "", {}),
    "fakeavceleb": (fakeavceleb, "", {}),
    "grid": (grid, "", {}),
    "lavdf": (lavdf, "", {}),
    "celebdf": (celebdf, "", {}),
    "deepfakebench": (deepfakebench, "list.json", {}),
    "dfd": (dfd, "", {}),
    "dfdc": (dfdc, "", {}),
    "dfdcp": (dfdcp, "", {}),
    "fairface": (fairface, "", {}),
    "fairface-parquet": (fairface_parquet, "faces.parquet", {}),
    "ffpp": (ffpp, "", {"annotations": "notes.csv"}),
    "folder": (folder, "", {}),
    "genimage": (genimage, "", {}),
    "imagefolder": (imagefolder, "", {}),
    "purdue": (purdue, "", {}),
    "utkface": (utkface, "", {}),
    "webdataset": (webdataset, "", {}),
}
"""Adapter -> what makes its files, the source below their folder, parameters; `annotations` is below the
folder too.
"""


def target(name: str, examples: int) -> Target:
    """The import by one adapter. The name of a registered adapter without an input here is a KeyError."""
    files, source, params = INPUTS[name]

    def read(place: Path) -> Any:
        given = {
            key: str(place / "in" / value) if key == "annotations" else value for key, value in params.items()
        }
        return import_images(name, place / "in" / source, place / "out", params=given)

    return Target(
        f"adapter {name}",
        lambda: {f"in/{path}": data for path, data in files().items()},
        read,
        ("manifests.adapters",),
        examples,
    )
