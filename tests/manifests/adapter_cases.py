"""A small source of every registered adapter, written from the same rows, whatever the spelling of their
values.

A case whose layout has no place for a kind of value says so in `lacks`; a new adapter fails the tests until
it has a case.
"""

import csv
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.images import encode
from tests.manifests.adapter_files import picture

ROWS = (
    {"name": "x/a.png", "label": 0, "race": "Asian", "gender": "Male", "age": "3-9"},
    {"name": "x/b.png", "label": 1, "race": "Black", "gender": "Female", "age": "10-19"},
    {"name": "x/c.png", "label": 0, "race": "White", "gender": "Female", "age": "more than 70"},
)
KINDS = ("label", "missing", "race", "age", "path", "text", "head", "entry", "shape")
"""label, race, age: words in other spellings. missing: of race and gender. path: of a file or video. text:
encoding of a list.
head: names of columns, separators. entry: a bad one among good ones. shape: a list that is none."""


@dataclass(frozen=True)
class Case:
    """How to write a source. `lists`: the files that name images, below the folder that `write` gets."""

    adapter: str
    write: object
    lists: tuple[str, ...] = ()
    lacks: dict[str, str] = field(default_factory=dict)
    params: dict = field(default_factory=dict)
    taxonomy: str = "fairface4"
    source: str = "."

    def items(self, root, rows=ROWS):
        """Write the rows and read them: the items of the adapter."""
        from manifests.adapters import ADAPTERS

        self.write(root, [dict(row) for row in rows])
        return list(ADAPTERS.create(self.adapter, self.given(root)).read(root / self.source))

    def read(self, root):
        from manifests.adapters import ADAPTERS

        return list(ADAPTERS.create(self.adapter, self.given(root)).read(root / self.source))

    def given(self, root):
        return {
            "taxonomy": self.taxonomy,
            **{k: v(root) if callable(v) else v for k, v in self.params.items()},
        }


def put(path, key=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(picture(key, 8), "png"))


def place(row):
    """Where the picture of a row lies, whatever the row's own path says."""
    return row.get("file", row["name"])


def table(path, columns, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([columns, *rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8")


def text(value):
    return "" if value is None else str(value)


def folder(root, rows):
    for k, row in enumerate(rows):
        put(root / place(row), k)
    names = ("label", "race", "gender", "age")
    table(
        root / "labels.csv", ("path", *names), [(row["name"], *(text(row[n]) for n in names)) for row in rows]
    )


def imagefolder(root, rows):
    for k, row in enumerate(rows):
        put(root / "train" / place(row), k)
    names = ("label", "race", "gender", "age")
    table(
        root / "train/metadata.csv",
        ("file_name", *names),
        [(row["name"], *(text(row[n]) for n in names)) for row in rows],
    )


def webdataset(root, rows):
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "train-0.tar", "w") as tar:
        for k, row in enumerate(rows):
            stem = place(row).removesuffix(".png")
            told = json.dumps({name: row[name] for name in ("label", "race", "gender", "age")})
            raw = row.get("entry", told.encode())
            for name, data in ((f"{stem}.png", encode(picture(k, 8), "png")), (f"{stem}.json", raw)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def deepfakebench(root, rows):
    sets = {"X_real": {"test": {}}, "X_fake": {"test": {}}}
    for k, row in enumerate(rows):
        put(root / place(row), k)
        told = {name: row[name] for name in ("label", "race", "gender", "age")}
        label = "X_fake" if place(row).endswith("b.png") else "X_real"
        sets[label]["test"][place(row)] = row.get("entry", {"frames": [row["name"]], "fairforge": [told]})
    (root / "list.json").write_text(json.dumps({"X": sets}), encoding="utf-8")


def dfdc(root, rows):
    entries = {}
    for k, row in enumerate(rows):
        put(root / "part_0/frames" / Path(place(row)).stem / "0.png", k)
        entries[row["name"].replace(".png", ".mp4")] = row.get(
            "entry", {"label": row["label"], "original": None}
        )
    (root / "part_0/metadata.json").write_text(json.dumps(entries), encoding="utf-8")


def dfdc_test(root, rows):
    for k, row in enumerate(rows):
        put(root / "frames" / Path(place(row)).stem / "0.png", k)
    table(
        root / "labels.csv",
        ("filename", "label"),
        [(r["name"].replace(".png", ".mp4"), text(r["label"])) for r in rows],
    )


def dfdcp(root, rows):
    entries = {}
    for name in ("original_videos", "method_A", "method_B"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for k, row in enumerate(rows):
        put(root / "method_A/x/frames" / Path(place(row)).stem / "0.png", k)
        path = (
            row["name"]
            .replace("x/", "method_A/x/", 1)
            .replace("x\\", "method_A\\x\\", 1)
            .replace(".png", ".mp4")
        )
        entries[path] = row.get("entry", {"label": row["label"], "set": "test"})
    (root / "dataset.json").write_text(json.dumps(entries), encoding="utf-8")


def celebdf(root, rows):
    lines = []
    for name in ("Celeb-real", "YouTube-real", "Celeb-synthesis"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for k, row in enumerate(rows):
        kind = "Celeb-synthesis" if place(row).endswith("b.png") else "Celeb-real"
        put(root / kind / "frames" / Path(place(row)).stem / "0.png", k)
        path = row["name"].replace("x/", f"{kind}/", 1).replace("x\\", f"{kind}\\", 1).replace(".png", ".mp4")
        mark = row["label"] if "mark" in row else int(kind == "Celeb-real")
        lines.append(row.get("entry", f"{mark} {path}"))
    (root / "List_of_testing_videos.txt").write_text("\n".join(lines), encoding="utf-8")


def ffpp(root, rows):
    pairs = []
    for k, row in enumerate(rows):
        a, b = f"{k}0", f"{k}1"
        for place_, names in (
            ("original_sequences/youtube", (a, b)),
            ("manipulated_sequences/Deepfakes", (f"{a}_{b}", f"{b}_{a}")),
        ):
            for name in names:
                put(root / place_ / "c23/frames" / name / "0.png", k)
        pairs.append(row.get("entry", [a, b]))
    for split, listed in (("train", []), ("val", []), ("test", pairs)):
        (root / f"{split}.json").write_text(json.dumps(listed), encoding="utf-8")


def dfd(root, rows):
    for k in range(len(rows)):
        put(root / "original_sequences/actors/c23/frames" / f"0{k}__kitchen" / "0.png", k)
        put(
            root
            / "manipulated_sequences/DeepFakeDetection/c23/frames"
            / f"0{k}_0{k}__kitchen__ABC"
            / "0.png",
            k,
        )


FLAGS = {"Asian": (1, -1, -1), "White": (-1, 1, -1), "Black": (-1, -1, 1)}


def purdue(root, rows):
    from manifests.adapters.purdue import intersection

    lines = []
    for k, row in enumerate(rows):
        put(root / place(row), k)
        race, gender = ROWS[k % 3]["race"], ROWS[k % 3]["gender"]
        known = row["race"] == race
        flags = FLAGS[race] if known else [row["race"]] * 3
        sex = {"Male": 1, "Female": -1}.get(row["gender"], row["gender"])
        said = row.get("code", intersection(race.lower(), gender, asian=True)) if known else row["race"]
        lines.append((row["name"], text(row["label"]), text(sex), *map(text, flags), text(said), "1"))
    table(
        root / "test.csv",
        ("img_path", "label", "ismale", "isasian", "iswhite", "isblack", "intersec_label", "spe_label"),
        lines,
    )


def aiface(root, rows):
    lines = []
    for k, row in enumerate(rows):
        put(root / place(row), k)
        known = row["race"] == ROWS[k % 3]["race"]
        tone, sex = (
            row.get("tone", 2) if known else row["race"],
            {"Male": 1, "Female": 0}.get(row["gender"], row["gender"]),
        )
        lines.append(
            (row["name"], text(sex), "", text(tone), text(row["label"]), "", text(3 * sex) if known else "")
        )
    columns = (
        "Image Path",
        "Predicted Gender",
        "Predicted Age",
        "Skin Tone",
        "Target",
        "Skin Tone Group",
        "Intersection",
    )
    table(root / "test.csv", columns, lines)


def fairface(root, rows):
    (root / "val").mkdir(parents=True, exist_ok=True)
    for k, row in enumerate(rows):
        put(root / place(row), k)
    table(
        root / "fairface_label_val.csv",
        ("file", "age", "gender", "race"),
        [(row["name"], text(row["age"]), text(row["gender"]), text(seven(row["race"]))) for row in rows],
    )


def seven(race):
    """`Asian` as FairFace says it, in the same case."""
    for word, own in (("Asian", "East Asian"), ("asian", "east asian"), ("ASIAN", "EAST ASIAN")):
        if isinstance(race, str) and race.strip() == word:
            return race.replace(word, own)
    return race


def fairface_parquet(root, rows):
    root.mkdir(parents=True, exist_ok=True)
    columns = {
        name: [seven(row[name]) if name == "race" else row[name] for row in rows]
        for name in ("race", "gender", "age")
    }
    columns |= {
        "file": [row["name"] for row in rows],
        "image": [encode(picture(k, 8), "png") for k in range(len(rows))],
    }
    pq.write_table(pa.table(columns), root / "faces.parquet")


def utkface(root, rows):
    for k in range(len(rows)):
        put(root / f"2{k}_0_0_2017011618402466{k}.jpg", k)


def genimage(root, rows):
    for split in ("train", "val"):
        for kind in ("ai", "nature"):
            put(root / "ADM" / split / kind / "1.png")


VIDEO = {
    "missing": "the list has no attributes",
    "race": "the list has no attributes",
    "age": "the list has no attributes",
}
NAMES = dict.fromkeys(KINDS, "names of folders and files say everything")
NO_HEAD = {"head": "is no table"}
CASES = {
    "folder": [Case("folder", folder, ("labels.csv",))],
    "imagefolder": [Case("imagefolder", imagefolder, ("train/metadata.csv",))],
    "webdataset": [
        Case(
            "webdataset",
            webdataset,
            ("train-0.tar",),
            {
                **NO_HEAD,
                "path": "names are those of the tar",
                "text": "the JSON of each sample is tested as an entry",
            },
        )
    ],
    "deepfakebench": [Case("deepfakebench", deepfakebench, ("list.json",), NO_HEAD, source="list.json")],
    "dfdc": [
        Case("dfdc", dfdc, ("part_0/metadata.json",), {**VIDEO, **NO_HEAD}, taxonomy="ffpp"),
        Case("dfdc", dfdc_test, ("labels.csv",), VIDEO, taxonomy="ffpp"),
    ],
    "dfdcp": [Case("dfdcp", dfdcp, ("dataset.json",), {**VIDEO, **NO_HEAD}, taxonomy="ffpp")],
    "celebdf": [
        Case(
            "celebdf",
            celebdf,
            ("List_of_testing_videos.txt",),
            {**VIDEO, **NO_HEAD, "label": "the folder is the label"},
            taxonomy="ffpp",
        )
    ],
    "ffpp": [
        Case(
            "ffpp",
            ffpp,
            ("test.json",),
            {**VIDEO, **NO_HEAD, "label": "the folder is the label", "path": "names of videos, no paths"},
            taxonomy="ffpp",
        )
    ],
    "dfd": [Case("dfd", dfd, (), NAMES, taxonomy="ffpp")],
    "purdue": [Case("purdue", purdue, ("test.csv",), {"race": "flags", "age": "has none"}, taxonomy="ffpp")],
    "aiface": [
        Case(
            "aiface",
            aiface,
            ("test.csv",),
            {"race": "numbers", "age": "is not read"},
            taxonomy="monk3",
            source="test.csv",
        )
    ],
    "fairface": [
        Case(
            "fairface", fairface, ("fairface_label_val.csv",), {"label": "all are real"}, {"splits": ["val"]}
        )
    ],
    "fairface-parquet": [
        Case(
            "fairface-parquet",
            fairface_parquet,
            ("faces.parquet",),
            {"label": "all are real", "path": "the picture is in the row", "text": "is no text"},
            source="faces.parquet",
        )
    ],
    "utkface": [Case("utkface", utkface, (), NAMES)],
    "genimage": [Case("genimage", genimage, (), NAMES)],
}
