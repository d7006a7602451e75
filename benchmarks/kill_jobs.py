"""The jobs of `benchmarks.kills`: long commands on small drawn data, each a function of two folders."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.small_run import SETTINGS
from manifests.images import encode
from manifests.seeding import rng_of
from manifests.store import write_table
from pipeline.__main__ import main as fairforge

REALS = "reals.csv"
CELLS = ("White/Male", "White/Female", "Asian/Male", "Asian/Female")
PER_CELL, SIDE, FACES = 12, 32, 160
SMALL_RUN = {**SETTINGS, "execute.executor": "local", "cells.latents": 800, "cells.shard_size": 200}


# --- Data ---


def picture(seed: int, fake: bool) -> np.ndarray:
    """Smooth noise; a fake has a checkerboard in the middle."""
    rng = rng_of(1, "kills", seed)
    image = np.kron(rng.uniform(40, 215, (4, 4, 3)), np.ones((SIDE // 4, SIDE // 4, 1)))
    if fake:
        middle = slice(SIDE // 4, -SIDE // 4)
        image[middle, middle] += 30 * (np.indices((SIDE // 2, SIDE // 2)).sum(0) % 2 * 2 - 1)[:, :, None]
    return image.clip(0, 255).astype(np.uint8)


def draw_pictures(folder: Path) -> None:
    """Pictures of both labels in every cell, the CSV that describes them, and one of the real ones alone."""
    lines = ["path,label,race,gender,split,identity_id,method,family"]
    folder.mkdir(parents=True)
    for number, cell in enumerate(cell for cell in CELLS for _ in range(PER_CELL)):
        race, gender = cell.split("/")
        split = ("train", "train", "val", "test")[number % 4]
        for fake in (0, 1):
            name = f"{number:03d}{'f' if fake else 'r'}.png"
            (folder / name).write_bytes(encode(picture(number, bool(fake)), "png"))
            kind = "swap-a,swap" if fake else "none,none"
            lines.append(f"{name},{fake},{race},{gender},{split},p{number},{kind}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / REALS).write_text(
        "\n".join(line for line in lines if line.endswith(("family", "none,none"))) + "\n"
    )


def draw_faces(folder: Path) -> None:
    """Labelled faces with landmarks, in the layout that the face models are trained from."""
    from attribute_models.training.face_data import MESH, POINTS

    rng = rng_of(1, "kills", "faces")
    for name, count in (("train-0", FACES), ("dev", 24)):
        rows = [
            {
                "file": f"{name}-{k}.png",
                "image": encode(picture(k, False), "png"),
                "race": "White" if k % 2 else "Black",
                "gender": "Male" if k % 3 else "Female",
                "age": "20-29",
                MESH: (rng.random(2 * POINTS) * SIDE * 64).astype(int).tolist(),
            }
            for k in range(count)
        ]
        write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


def prepare(base: Path) -> None:
    """What the jobs read: pictures, a manifest of them, a detector, faces."""
    draw_pictures(base / "pictures")
    draw_faces(base / "faces")
    call("import", "folder", base / "pictures" / REALS, "--faces", "none", "--out", base / "reals")
    for work in (import_, train):
        work(base, base / {import_: "m", train: "detector"}[work])


# --- Jobs ---


def call(*words: object) -> None:
    """The command line; anything but exit code 0 is an error."""
    said = StringIO()
    with redirect_stderr(said), redirect_stdout(StringIO()):
        code = fairforge(list(map(str, words)))
    if code:
        raise SystemExit(said.getvalue() or code)


def import_(base: Path, out: Path) -> None:
    call("import", "folder", base / "pictures", "--faces", "none", "--out", out)


def export(name: str, base: Path, out: Path) -> None:
    call("export", name, base / "m", "--out", out, *(["--set", "shard=5"] if name == "webdataset" else []))


def gather(base: Path, out: Path) -> None:
    call("gather", base / "reals", "--out", out)


def release(base: Path, out: Path) -> None:
    from manifests.release import ReleaseInfo, build_release

    info = ReleaseInfo(
        name="drawn", version="1", creators=("A B",), licence="CC0-1.0", description="Drawn pictures."
    )
    build_release(base / "m", out / "data", info)


def train(base: Path, out: Path) -> None:
    sets = ("backbone=test_resnet", "input_size=32", "batch=8", "epochs=4", "threads=1", "precision=float32")
    given = [word for text in sets for word in ("--set", f"train.{text}")]
    call("train", "--manifest", base / "m", "--out", out, "--quiet", *given)


def evaluate(base: Path, out: Path) -> None:
    call(
        "evaluate",
        "--checkpoint",
        base / "detector",
        "--manifest",
        base / "m",
        "--split",
        "all",
        "--out",
        out,
        "--replicates",
        200,
        "--quiet",
    )


def train_generator(base: Path, out: Path) -> None:
    sets = (
        "z_dim=16",
        "w_dim=16",
        "mapping_layers=2",
        "channel_base=64",
        "channel_max=8",
        "batch=8",
        "threads=1",
        "snapshot_kimg=0.016",
        "precision=float32",
    )
    call(
        "train-generator",
        "--data",
        base / "pictures",
        "--phases",
        "8:0.064,16:0.128",
        "--resolution",
        16,
        "--out",
        out,
        "--quiet",
        *(word for text in sets for word in ("--set", text)),
    )


def train_autoencoder(base: Path, out: Path) -> None:
    call(
        "train-autoencoder",
        "--data",
        base / "pictures",
        "--out",
        out,
        "--size",
        16,
        "--steps",
        240,
        "--batch",
        4,
        "--precision",
        "float32",
        "--quiet",
    )


def train_face_model(kind: str, base: Path, out: Path) -> None:
    call(
        f"train-{kind}",
        "--data",
        base / "faces",
        "--out",
        out,
        "--sizes",
        "16x4",
        "--threads",
        1,
        "--precision",
        "float32",
        "--quiet",
    )


def run(base: Path, out: Path) -> None:
    call(
        "run",
        "--out",
        out,
        "--quiet",
        *(word for key, value in SMALL_RUN.items() for word in ("--set", f"{key}={value}")),
    )


Job = Callable[[Path, Path], None]
JOBS: dict[str, Job] = {
    "import": import_,
    "gather": gather,
    "release": release,
    "train": train,
    "evaluate": evaluate,
    **{
        f"export-{name}": partial(export, name)
        for name in ("imagefolder", "webdataset", "deepfakebench", "purdue")
    },
    "train-generator": train_generator,
    "train-autoencoder": train_autoencoder,
    "train-attributes": partial(train_face_model, "attributes"),
    "train-landmarks": partial(train_face_model, "landmarks"),
    "run": run,
}
LIGHT = ("import", "release", "export-imagefolder", "export-webdataset")
"""Jobs that need no torch."""
