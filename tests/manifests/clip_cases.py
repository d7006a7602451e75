"""Small sources of the adapters of clips, written from the rows of `adapter_cases`."""

import json
from functools import lru_cache
from pathlib import Path

from tests.clips.clip_files import clip_bytes
from tests.manifests.adapter_cases import KINDS, Case, place, table

WORDS = {"Asian": "Asian (East)", "White": "Caucasian (European)", "Black": "African"}
TYPES = ("RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio")


@lru_cache
def data(key):
    return clip_bytes(key, 2)


def put(path, key=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data(key % 3))


def video(name):
    return name.replace(".png", ".mp4")


def fakeavceleb(root, rows):
    lines = []
    for kind in TYPES:
        (root / kind).mkdir(parents=True, exist_ok=True)
    for k, row in enumerate(rows):
        kind = TYPES[3] if place(row).endswith("b.png") else TYPES[0]
        put(root / kind / video(place(row)), k)
        race = WORDS.get(row["race"], row["race"])
        lines.append(
            (
                f"id{k}",
                "-",
                "-",
                "m",
                "A",
                kind,
                "" if race is None else race,
                "" if row["gender"] is None else row["gender"],
                video(row["name"]),
                f"FakeAVCeleb/{kind}",
            )
        )
    table(
        root / "meta_data.csv",
        ("source", "target1", "target2", "method", "category", "type", "race", "gender", "path", ""),
        lines,
    )


def avdeepfake1m(root, rows):
    entries = []
    for k, row in enumerate(rows):
        put(root / "train" / video(place(row)), k)
        kind = "visual_modified" if place(row).endswith("b.png") else "real"
        entries.append(
            row.get("entry", {"file": video(row["name"]), "modify_type": kind, "fake_segments": []})
        )
    (root / "train_metadata.json").write_text(json.dumps(entries), encoding="utf-8")


def lavdf(root, rows):
    entries = []
    for k, row in enumerate(rows):
        put(root / video(place(row)), k)
        fake = place(row).endswith("b.png")
        entries.append(
            row.get(
                "entry",
                {
                    "file": video(row["name"]),
                    "n_fakes": int(fake),
                    "fake_periods": [],
                    "modify_video": fake,
                    "modify_audio": False,
                    "original": None,
                    "split": "test",
                },
            )
        )
    (root / "metadata.json").write_text(json.dumps(entries), encoding="utf-8")


def avlips(root, rows):
    for k, row in enumerate(rows):
        kind = "1_fake" if place(row).endswith("b.png") else "0_real"
        put(root / kind / Path(video(place(row))).name, k)


def grid(root, rows):
    for k, row in enumerate(rows):
        put(root / "s1" / Path(video(place(row))).name, k)


LISTED = {
    "missing": "has no attributes",
    "race": "has no attributes",
    "age": "has no attributes",
    "label": "words of its own, see test_clip_adapters",
    "head": "is no table",
}
NAMES = dict.fromkeys(KINDS, "names of folders and files say everything")
CLIP_CASES = {
    "fakeavceleb": [
        Case(
            "fakeavceleb",
            fakeavceleb,
            ("meta_data.csv",),
            {
                "label": "the type is the label",
                "race": "words of its own",
                "age": "has none",
                "entry": "types are words of its own",
                "path": "a folder and a name",
            },
        )
    ],
    "avdeepfake1m": [Case("avdeepfake1m", avdeepfake1m, ("train_metadata.json",), LISTED)],
    "lavdf": [Case("lavdf", lavdf, ("metadata.json",), LISTED)],
    "avlips": [Case("avlips", avlips, (), NAMES)],
    "grid": [Case("grid", grid, (), NAMES)],
}
