"""A small valid input of every other reader: pictures, videos, tables, manifests, configurations, exports."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import tomli_w
from PIL import Image

from attribute_models.identity.index import IdentityIndex
from attribute_models.training.face_data import load_faces
from generators.training.sources import read_source
from manifests import read_manifest, validate
from manifests.atomic import digest_bytes
from manifests.audit import audit_manifest
from manifests.exporters import EXPORTERS
from manifests.images import decode
from manifests.records import ImageRecord
from manifests.release import ReleaseInfo, build_release, check_release
from manifests.store import table_of
from manifests.taxonomy import get_taxonomy
from manifests.video_frames import frames_of
from pipeline.commands.attributes.sources import pictures
from pipeline.commands.evaluate.manifests import _trained_on
from pipeline.commands.evaluate.table import cross_table
from pipeline.engine.config_file import load_config
from pipeline.engine.config_sample import PhotographFilters
from pipeline.faces.sources import faces_of
from pipeline.stages.evaluate.measuring import Measure
from pipeline.stages.evaluate.score_files import Columns
from pipeline.stages.evaluate.score_reports import compare_scores, fairness_of_scores
from pipeline.stages.sample.photograph_sources import photographs_of
from pipeline.stages.verify.verifier import read_policy
from tests.fuzz.adapter_inputs import JPEG, PNG, fairface_parquet, parquet, table
from tests.fuzz.harness import Target, lay

PIXELS = np.random.default_rng(1).integers(0, 256, (12, 10, 3), np.uint8)
CELLS = get_taxonomy("fairface4").cells
FILTERS = PhotographFilters().model_dump()
COLUMNS = Columns(groups=("race", "gender"))


# --- pictures and videos ---


def picture(kind: str) -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x829A] = 6, "words", 0.01
    more: dict[str, Any] = {
        "JPEG": {"exif": exif, "progressive": True},
        "WEBP": {"exif": exif},
        "PNG": {"exif": exif},
        "GIF": {"save_all": True, "append_images": [Image.fromarray(PIXELS[::-1].copy())]},
        "TIFF": {"compression": "tiff_lzw"},
    }
    Image.fromarray(PIXELS).save(out, kind, **more.get(kind, {}))
    return out.getvalue()


def video(ending: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format={"mp4": "mp4", "avi": "avi", "mkv": "matroska"}[ending]) as container:
        container.metadata["title"] = "words"
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for k in range(5):
            for packet in stream.encode(
                av.VideoFrame.from_ndarray(np.full((16, 16, 3), 40 * k, np.uint8), format="rgb24")
            ):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return out.getvalue()


def picture_targets() -> list[Target]:
    out = [
        Target(
            f"picture {kind}",
            lambda kind=kind: {"a": picture(kind)},
            lambda place: decode((place / "a").read_bytes(), "a"),
            ("manifests.images", "manifests.picture_metadata", "manifests.picture_modes"),
            60,
        )
        for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
    ]
    for ending in ("mp4", "avi", "mkv"):
        out.append(
            Target(
                f"video {ending}",
                lambda ending=ending: {f"a.{ending}": video(ending)},
                lambda place, ending=ending: list(frames_of(place / f"a.{ending}", 2)),
                ("manifests.video_frames", "manifests.mp4_tables"),
                40,
            )
        )
    return out


# --- scores ---

HEAD = (
    "image_id",
    "label",
    "score",
    "race",
    "gender",
    "identity_id",
    "video_id",
    "method",
    "path",
    "dataset",
)


def score_rows(turn: float = 0.0) -> list[tuple[Any, ...]]:
    return [
        (
            f"i{k}",
            k % 2,
            round(abs((k * 7 % 10) / 10 - turn), 2),
            "AB"[k % 3 % 2],
            ("Male", "Female")[k % 5 % 2],
            f"p{k % 4}",
            f"v{k // 2}",
            "swap" if k % 2 else "none",
            f"{('real', 'fake')[k % 2]}/{k}.png",
            "d",
        )
        for k in range(16)
    ]


def score_columns() -> dict[str, list[Any]]:
    return dict(zip(HEAD, map(list, zip(*score_rows(), strict=True)), strict=True))


def results() -> bytes:
    figures = {"AUC": 0.9, "EER": 0.1, "intervals": {"AUC": [0.8, 0.95]}}
    entry = {
        "utility": figures,
        "gaps": {"cell": {"F_FPR": 0.1, "F_MEO": None}},
        "scope": "cross",
        "video": {"utility": figures, "gaps": {}},
    }
    return json.dumps(
        {
            "detector": "a",
            "datasets": {"test": entry, "other": entry},
            "constant_predictor": {"test": entry},
            "floors": {"linear probe": {"test": entry}},
        }
    ).encode()


def score_targets() -> list[Target]:
    measure = Measure(replicates=2, min_n=2)
    return [
        Target(
            "scores csv",
            lambda: {"s.csv": table(HEAD, *score_rows())},
            lambda place: fairness_of_scores(place / "s.csv", COLUMNS, None, measure),
            ("pipeline.stages.evaluate.score_files", "manifests.text_files"),
            120,
        ),
        Target(
            "scores parquet",
            lambda: {"s.parquet": parquet(score_columns())},
            lambda place: fairness_of_scores(place / "s.parquet", COLUMNS, None, measure),
            ("pipeline.stages.evaluate.score_files",),
            80,
        ),
        Target(
            "compared scores",
            lambda: {"a.csv": table(HEAD, *score_rows()), "b.parquet": parquet(score_columns())},
            lambda place: compare_scores(
                place / "a.csv", place / "b.parquet", COLUMNS, (None, None), 2, 2, 0, "video"
            ),
            ("pipeline.stages.evaluate.score_files",),
            40,
        ),
        Target(
            "results json",
            lambda: {"results.json": results()},
            lambda place: cross_table([place]),
            ("pipeline.commands.evaluate.table",),
            80,
        ),
        Target(
            "training json",
            lambda: {"training.json": b'{"sha256": {"manifest": "00"}}'},
            _trained_on,
            ("pipeline.commands.evaluate.manifests",),
            30,
        ),
    ]


# --- manifests and annotated parquet ---


def manifest_rows() -> list[ImageRecord]:
    out = []
    for k, split in enumerate(("train", "val", "test")):
        for label in (0, 1):
            out.append(
                ImageRecord(
                    image_id=f"{k}{label}",
                    path=f"images/{k}{label}.png",
                    sha256=digest_bytes(PNG),
                    width=8,
                    height=8,
                    label=label,
                    method="swap" if label else "none",
                    family="swap" if label else "none",
                    race="White",
                    gender="Male",
                    cell="White/Male",
                    identity_id=f"p{k}",
                    pair_id=f"{k}",
                    split=split,
                    target_id=f"{k}0" if label else None,
                    landmarks=[1.0, 2.0],
                    landmark_scheme="five",
                    codec="png",
                    dataset="d",
                    licence="CC0-1.0",
                )
            )
    return out


def manifest() -> dict[str, bytes]:
    plan = {"plan": json.dumps({split: {"White/Male": 1} for split in ("train", "val", "test")})}
    out = io.BytesIO()
    pq.write_table(table_of(manifest_rows(), taxonomy="fairface4", metadata=plan), out)
    return {
        "manifest.parquet": out.getvalue(),
        **{f"images/{k}{label}.png": PNG for k in range(3) for label in (0, 1)},
    }


def release() -> dict[str, bytes]:
    import tempfile

    info = ReleaseInfo(
        name="n", version="1", date="2026-01-02", creators=("A B",), licence="CC0-1.0", description="d"
    )
    with tempfile.TemporaryDirectory() as folder:
        lay(manifest(), Path(folder) / "m")
        out = build_release(Path(folder) / "m", Path(folder) / "r", info).path
        return {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file()
        }


def exported(place: Path) -> None:
    for name in ("imagefolder", "purdue", "webdataset", "deepfakebench"):
        EXPORTERS.create(name).export(place, place / "out" / name)


def read_and_check(place: Path) -> None:
    validate(place)
    read_manifest(place)


def index() -> dict[str, bytes]:
    import tempfile

    made = IdentityIndex(4, model="m", model_sha256="0" * 64)
    for k in range(3):
        made.add(np.full(4, k, np.float32), f"p{k}")
    with tempfile.TemporaryDirectory() as folder:
        made.save(Path(folder) / "i.parquet")
        return {"i.parquet": (Path(folder) / "i.parquet").read_bytes()}


def training_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("00/a.png", PNG)
        archive.writestr("00/b.png", JPEG)
        archive.writestr("dataset.json", json.dumps({"labels": [["00/a.png", 0], ["00/b.png", 1]]}))
    return out.getvalue()


def sourced(name: str, *arguments: Any) -> Callable[[Path], Any]:
    return lambda place: [str(label) for _, _, label in read_source(place / name, *arguments)]


def table_targets() -> list[Target]:
    faces = ("attribute_models.training.face_data", "manifests.store", "manifests.casting")
    return [
        Target(
            "manifest",
            manifest,
            read_and_check,
            ("manifests.store", "manifests.schema", "manifests.casting"),
            120,
        ),
        Target("manifest exported", manifest, exported, ("manifests.release", "manifests.exporters"), 40),
        Target(
            "manifest audited",
            manifest,
            lambda place: audit_manifest(place, ["balance", "leaks"]),
            ("manifests.audit", "manifests.balance"),
            40,
        ),
        Target(
            "release",
            release,
            lambda place: check_release(place),
            ("manifests.release.check", "manifests.release.checksums"),
            60,
        ),
        Target(
            "labelled faces", fairface_parquet, lambda place: load_faces([place / "faces.parquet"]), faces, 60
        ),
        Target(
            "faces to annotate",
            fairface_parquet,
            lambda place: list(pictures([place / "faces.parquet"])),
            ("pipeline.commands.attributes.sources",),
            40,
        ),
        Target(
            "faces to measure",
            fairface_parquet,
            lambda place: list(faces_of(place / "faces.parquet")),
            ("pipeline.faces.sources",),
            30,
        ),
        Target(
            "photographs of a folder",
            lambda: {
                "p/a.png": PNG,
                "p/attributes.csv": b"path,race,gender,age,label\na.png,White,Male,20-29,0\n",
            },
            lambda place: list(photographs_of(place / "p", "fairface4", FILTERS)),
            ("pipeline.stages.sample.photograph_sources",),
            60,
        ),
        Target(
            "photographs of a manifest",
            manifest,
            lambda place: list(photographs_of(place, "fairface4", FILTERS)),
            ("pipeline.stages.sample.photograph_sources",),
            40,
        ),
        Target(
            "identity index",
            index,
            lambda place: IdentityIndex.load(place / "i.parquet"),
            ("attribute_models.identity.index",),
            60,
        ),
        Target(
            "training parquet",
            fairface_parquet,
            sourced("faces.parquet", ["abs(yaw_proxy)<0.3"], "race,gender"),
            ("generators.training.sources",),
            40,
        ),
        Target(
            "training zip",
            lambda: {"a.zip": training_zip()},
            sourced("a.zip"),
            ("generators.training.sources",),
            60,
        ),
        Target(
            "training folder",
            lambda: {"a/a.png": PNG, "a/dataset.json": b'{"labels": [["a.png", 1]]}'},
            sourced("a"),
            ("generators.training.sources",),
            40,
        ),
    ]


# --- configurations ---

CONFIG = {
    "run": {"seed": 7},
    "sample": {"psi": 0.7},
    "dataset": {"per_cell": 2, "taxonomy": "fairface4"},
    "train": {"epochs": 1},
    "forge": {"methods": ["blend-self"]},
}


def policy() -> dict[str, bytes]:
    counts = [[int(i == j) * 9 + 1 for j in range(len(CELLS))] for i in range(len(CELLS))]
    value = {
        "taxonomy": "fairface4",
        "attribute_model": "m",
        "confusion": {"cells": list(CELLS), "counts": counts},
        "cells": {cell: {"threshold": 0.5, "margin": 0.1, "reached": True} for cell in CELLS},
    }
    return {"p.toml": tomli_w.dumps(value).encode()}


def config_targets() -> list[Target]:
    from manifests.weights import catalogue

    def weights(place: Path) -> Any:
        import os
        from unittest import mock

        with mock.patch.dict(os.environ, {"FAIRFORGE_WEIGHTS": str(place)}):
            return catalogue()

    entry = {
        "mine": {
            "file": "m.safetensors",
            "sha256": "00",
            "kind": "generator",
            "licence": "x",
            "measured": {"fid": 1.5},
        }
    }
    return [
        Target(
            "configuration",
            lambda: {"c.toml": tomli_w.dumps(CONFIG).encode()},
            lambda place: load_config(place / "c.toml"),
            ("pipeline.engine.config_file",),
            100,
        ),
        Target(
            "verification policy",
            policy,
            lambda place: read_policy(place / "p.toml", "fairface4"),
            ("pipeline.stages.verify.verifier",),
            50,
        ),
        Target(
            "catalogue of weights",
            lambda: {"weights.toml": tomli_w.dumps(entry).encode()},
            weights,
            ("manifests.weights",),
            40,
        ),
    ]
