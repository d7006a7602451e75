"""Every command and stage that reads many pictures, on a folder with hostile ones: rows with reasons, the
rest goes on.

`READERS` and `OWN` together name every module that decodes pictures: a new one has to be put into one of
them.
"""

import ast
import csv
import io
import json
import os
import struct
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image as PilImage

from manifests import images
from manifests.adapters import import_images
from manifests.atomic import digest_file
from manifests.errors import DataError, UserError
from manifests.images import encode, read_image
from manifests.records import ImageRecord
from manifests.seeding import rng_of
from manifests.store import table_of, write_manifest

ROOT = Path(images.__file__).parents[1]
TORCH = torch.__version__
"""Imported here: torch looks for its libraries by a process of its own, which no test below may start."""
DECODERS = {"decode", "read_image", "read_mask", "read_bytes", "opened", "frames_of"}


def picture(key, side=32):
    return rng_of(5, "hostile", key).integers(0, 256, (side, side, 3), np.uint8)


def _float_tiff(*values):
    buffer = io.BytesIO()
    PilImage.fromarray(np.array([values] * 32, np.float32).repeat(32 // len(values), 1)).save(buffer, "TIFF")
    return buffer.getvalue()


def _bomb():
    data = bytearray(encode(picture(0), "png"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    import zlib

    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


HOSTILE = {
    "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n{ } loop\n",
    "cut.png": encode(picture(0), "png")[:200],
    "empty.jpg": b"",
    "text.webp": b"not a picture",
    "bomb.png": _bomb(),
    "dds.png": b"DDS " + bytes(200),
    "range.tif": _float_tiff(0.0, 5.5),
    "nan.tiff": _float_tiff(0.0, float("nan")),
}
TAGGED = encode(picture(1), "jpeg", 90)
TAGGED = (
    TAGGED[:2]
    + b"\xff\xe1"
    + struct.pack(">H", 2 + 6 + 26 + 8)
    + b"Exif\0\0"
    + b"II*\0\x08\0\0\0\x01\0"
    + struct.pack("<HHII", 282, 10, 1, 26)
    + bytes(4)
    + struct.pack("<ii", -1, 0)
    + TAGGED[2:]
)
GOOD = {
    **{f"{k:02d}.png": encode(picture(k), "png") for k in range(16)},
    "tagged.jpg": TAGGED,
    "jfif.JFIF": encode(picture(2), "jpeg", 90),
}


@pytest.fixture(autouse=True)
def no_program(monkeypatch, tmp_path):
    """A fake Ghostscript that leaves a trace, and no process at all."""
    folder, started = tmp_path / "bin", tmp_path / "gs-was-started"
    folder.mkdir()
    (folder / "gs").write_text(f"#!/bin/sh\ntouch {started}\n")
    (folder / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def refuse(*args, **kwargs):
        raise AssertionError(f"a process was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    yield
    assert not started.exists()


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "pictures"
    out.mkdir()
    for name, data in {**GOOD, **HOSTILE}.items():
        (out / name).write_bytes(data)
    (out / os.fsdecode(b"caf\xe9.png")).write_bytes(GOOD["00.png"])
    os.mkfifo(out / "pipe.png")
    (out / "._00.png").write_bytes(b"\0\5\x16\7")
    (out / "a.heic").write_bytes(b"x")
    return out


LISTED = {*HOSTILE, r"caf\xe9.png", "pipe.png"}


def manifest_of(folder, names):
    """A manifest of pictures as they lie there, written without looking at them."""
    there = {name for name in names if (folder / name).is_file()}
    records = [
        ImageRecord(
            image_id=f"i{k:03d}",
            path=name,
            sha256=digest_file(folder / name) if name in there else "0" * 64,
            width=32,
            height=32,
            label=k % 2,
            method="x" if k % 2 else "none",
            family="unknown" if k % 2 else "none",
            split="test",
        )
        for k, name in enumerate(sorted(names))
    ]
    write_manifest(table_of(records, taxonomy="fairface4"), folder / "manifest.parquet")
    return folder / "manifest.parquet"


class Half:
    """A detector that says a half."""

    input_size = 32

    def predict(self, pictures):
        return np.full(len(pictures), 0.5, np.float32)


# --- one function per module that reads: the names that came through, and the others' reasons ---


def by_import(folder, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    folder.rename(source / "real")
    (source / "fake").mkdir()
    result = import_images("folder", source, tmp_path / "out")
    with open(tmp_path / "out" / "skipped.csv", newline="") as file:
        reasons = {row["key"].removeprefix("real/"): row["reason"] for row in csv.DictReader(file)}
    assert "a.heic" in reasons
    json.dumps(pq.read_table(result.manifest).to_pylist())
    return result.n_images, {name: why for name, why in reasons.items() if name != "a.heic"}


def by_predict(folder, tmp_path):
    from pipeline.commands.prediction import _read, _Scorer, media_files
    from pipeline.faces.crops import FaceCropper

    media = media_files([folder])
    assert "1 .heic" in media.notes[0]
    scorer = _Scorer(Half())
    rows = [_read(path, k, FaceCropper(None, 32, "never"), scorer, 1) for k, path in enumerate(media.files)]
    json.dumps(rows).encode()
    return sum(row["status"] == "ok" for row in rows), {
        Path(r["path"]).name: r["reason"] for r in rows if r["status"] != "ok"
    }


def by_attributes(folder, tmp_path):
    from pipeline.commands.attributes.sources import pictures

    notes = []
    rows = list(pictures([folder], note=notes.append))
    assert "1 .heic" in notes[0]
    pa.Table.from_pylist([row for row, _ in rows])
    return sum(image is not None for _, image in rows), {
        Path(row["path"]).name: row["detail"] for row, image in rows if image is None
    }


def by_labelled_faces(folder, tmp_path, monkeypatch):
    from pipeline.commands.attributes import evaluation as attribute_evaluation
    from pipeline.commands.attributes.annotation import AnnotationSettings

    (folder / "labels.csv").write_text(
        "path,race,gender\n" + "".join(f"{n},White,Male\n" for n in (*GOOD, *HOSTILE))
    )
    seen = []

    class Stop(Exception):
        pass

    def annotate(faces):
        seen.extend(faces)
        raise Stop

    stub = SimpleNamespace(annotate=annotate, classifier=SimpleNamespace(classes={}))
    monkeypatch.setattr(attribute_evaluation, "make_annotator", lambda settings: stub)
    with pytest.raises(Stop):
        attribute_evaluation.measure(folder, "fairface4", AnnotationSettings(), quiet=True)
    return sum(image is not None for _, image in seen), {
        row["key"]: row["detail"] for row, image in seen if image is None
    }


def by_references(folder, tmp_path):
    from pipeline.faces.sources import choose, ignored, pictures

    assert "1 .heic" in ignored(folder)
    found = list(pictures(choose(folder, None, 1, None)))
    return sum(p.image is not None for p in found), {p.key: p.reason for p in found if p.image is None}


def _prepared(source, out):
    from generators.training.images import prepare
    from generators.training.sources import read_source

    info = prepare(read_source(source), out, 32, conditional=False)
    with open(out / "skipped.csv", newline="") as file:
        reasons = {row["key"]: row["reason"] for row in csv.DictReader(file)}
    assert sum(info["skipped"].values()) == len(reasons)
    return info["count"], reasons


def by_train_generator(folder, tmp_path):
    from pipeline.commands.generators.training import _fingerprint

    json.dumps(_fingerprint(folder, [], None, None, [])).encode()
    count, reasons = _prepared(folder, tmp_path / "out")
    assert reasons.pop("a.heic")
    return count, reasons


def by_zip(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, data in {**GOOD, **HOSTILE, "__MACOSX/._00.png": b"x", "a.heic": b"x"}.items():
            archive.writestr(name, data)
    return _prepared(tmp_path / "data.zip", tmp_path / "out")


def _rows(named=True):
    return pa.table(
        {
            "file": list({**GOOD, **HOSTILE}),
            "race": ["White"] * (len(GOOD) + len(HOSTILE)),
            "gender": ["Male"] * (len(GOOD) + len(HOSTILE)),
            "age": ["20-29"] * (len(GOOD) + len(HOSTILE)),
            "image": list({**GOOD, **HOSTILE}.values()),
        }
    )


def by_labelled_parquet(folder, tmp_path):
    from attribute_models.training.face_data import load_faces

    pq.write_table(_rows(), tmp_path / "faces.parquet")
    found = load_faces([tmp_path / "faces.parquet"])
    assert found.skipped == {"unreadable image": len(HOSTILE)}
    return len(found), None


def by_photographs(folder, tmp_path):
    """Of a parquet file and of a folder: what cannot be read is a row with its reason in both."""
    from pipeline.engine.config_sample import PhotographFilters
    from pipeline.engine.shards import Task
    from pipeline.stages.sample.photograph_sources import photographs_of
    from pipeline.stages.sample.photographs import Photograph, Taken, take_photographs

    pq.write_table(_rows(), tmp_path / "faces.parquet")
    filters, counts = PhotographFilters(), []
    for source in (tmp_path / "faces.parquet", folder):
        items = [
            item for item in photographs_of(source, "fairface4", filters.model_dump()) if item.problem is None
        ]
        chosen = [Photograph(0, item.model_copy(update={"data": None})) for item in items]
        payload = Taken((str(source),), filters, "fairface4", 1, tuple(chosen))
        rows = take_photographs(
            Task("sample", 0, tmp_path / source.stem, "k", take_photographs, payload)
        ).to_pylist()
        bad = [row for row in rows if row["status"] == "rejected"]
        assert all(row["reason"].startswith("unreadable: ") for row in bad)
        counts.append(len(rows) - len(bad))
    assert counts[0] == counts[1]
    return counts[0], None


def by_scoring(folder, tmp_path):
    from pipeline.stages.evaluate.image_scores import score_in_parts

    manifest = manifest_of(folder, {**GOOD, **HOSTILE, "pipe.png": 0, "gone.png": 0})
    rows, left = score_in_parts(Half(), "d", manifest, "test", tmp_path / "parts")
    return len(rows), dict(
        text.split(": ", 1) for text in left if not text.startswith(("gone.png", "pipe.png"))
    )


def by_robustness(folder, tmp_path):
    from pipeline.commands.evaluate.robustness import sweep_scores

    names = sorted({**GOOD, **HOSTILE})
    manifest = manifest_of(folder, names)
    left = []
    rows = [{"image_id": name, "path": name, "sha256": digest_file(folder / name)} for name in names]
    kept, _, left = sweep_scores(Half(), manifest, rows, [])
    return len(kept), dict(text.split(": ", 1) for text in left)


def by_training(folder, tmp_path):
    from detector.training.data import classes_of, read_split
    from manifests.store import read_manifest

    table = read_manifest(manifest_of(folder, {**GOOD, **HOSTILE}))
    with pytest.raises(DataError, match=rf"^{len(HOSTILE)} of {len(HOSTILE) + len(GOOD)} test images: "):
        read_split(table, folder, "test", classes_of(table), 32)
    return len(GOOD), None


def by_release_check(folder, tmp_path):
    from manifests.release.check_pictures import check_pictures

    manifest_of(folder, {**GOOD, **HOSTILE})
    (finding,) = (one for one in check_pictures(folder) if one.code == "unreadable-image")
    assert finding.count == len(HOSTILE)
    return len(GOOD), None


def _each(folder, read):
    reasons, count = {}, 0
    for name in (*GOOD, *HOSTILE):
        try:
            read(folder / name)
            count += 1
        except UserError as error:
            reasons[Path(error.what).name] = error.why
    return count, reasons


def by_forge(folder, tmp_path):
    from pipeline.commands.forge import open_photograph

    return _each(
        folder, lambda path: open_photograph(path, SimpleNamespace(only_face=lambda image, name: None))
    )


def by_audit(folder, tmp_path):
    from manifests.audit.features import feature_matrix

    return _each(folder, lambda path: feature_matrix([path]))


def by_masks(folder, tmp_path):
    return _each(folder, images.read_mask)


def by_frames(folder, tmp_path):
    """Extracted frames of a video, hostile ones among them; the frames are all that is asked for."""
    source = tmp_path / "celeb"
    for name in ("Celeb-real", "YouTube-real", "Celeb-synthesis"):
        (source / name / "frames").mkdir(parents=True)
    (source / "List_of_testing_videos.txt").write_text("1 Celeb-real/id0_0000.mp4\n")
    folder.rename(source / "Celeb-real" / "frames" / "id0_0000")
    result = import_images("celebdf", source, tmp_path / "out", params={"frames": 1000})
    return result.n_images, None


READERS = {
    "manifests/adapters/base.py": by_import,
    "pipeline/commands/prediction.py": by_predict,
    "pipeline/commands/attributes/sources.py": by_attributes,
    "pipeline/commands/attributes/evaluation.py": by_labelled_faces,
    "pipeline/faces/sources.py": by_references,
    "generators/training/images.py": by_train_generator,
    "generators/training/sources.py": by_zip,
    "attribute_models/training/face_data.py": by_labelled_parquet,
    "pipeline/stages/sample/photographs.py": by_photographs,
    "pipeline/stages/evaluate/image_scores.py": by_scoring,
    "pipeline/commands/evaluate/robustness.py": by_robustness,
    "detector/training/data.py": by_training,
    "manifests/release/check_pictures.py": by_release_check,
    "pipeline/commands/forge.py": by_forge,
    "manifests/audit/features.py": by_audit,
    "manifests/images.py": by_masks,
    "manifests/adapters/videos.py": by_frames,
}
OWN = {
    "manifests/audit/duplicates.py",
    "manifests/audit/second_opinion.py",
    "pipeline/commands/evaluate/perturbations.py",
    "pipeline/stages/verify/judging.py",
    "pipeline/stages/forge/making.py",
    "pipeline/stages/pair/encoding.py",
    "pipeline/report/contact_sheet.py",
    "pipeline/commands/inspection.py",
    "pipeline/commands/identities/companion.py",
    "manifests/gathering.py",
    "pipeline/stages/train/online.py",
    "detector/training/augmentation.py",
    "detector/training/qualities.py",
    "attribute_models/training/augmentation.py",
    "manifests/video_frames.py",
    "manifests/release/exporting.py",
    "manifests/release/layout.py",
    "manifests/release/difference.py",
    "pipeline/report/error_sheets.py",
    "pipeline/commands/evaluate/causal_check.py",
    "manifests/release/check_signatures.py",
    "pipeline/commands/audit.py",
    "pipeline/commands/talking/clips.py",
}
"""Modules that decode what this program wrote itself, or that define the readers; a damaged file ends them by
its name.
"""


def test_every_module_that_decodes_pictures_is_walked():
    found = {"manifests/images.py"}
    for package in ("manifests", "generators", "attribute_models", "detector", "pipeline"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            for node in ast.walk(
                ast.parse(text if "manifests.images" in text or "video_frames" in text else "")
            ):
                from_here = isinstance(node, ast.ImportFrom) and node.module in (
                    "manifests.images",
                    "manifests.video_frames",
                )
                if from_here and DECODERS & {alias.name for alias in node.names}:
                    found.add(path.relative_to(ROOT).as_posix())
    assert found - OWN == set(READERS) - OWN
    assert found <= set(READERS) | OWN


@pytest.mark.parametrize("module", READERS)
def test_hostile_pictures_are_rows_with_reasons_and_the_rest_goes_on(module, folder, tmp_path, monkeypatch):
    read = READERS[module]
    more = {"monkeypatch": monkeypatch} if read is by_labelled_faces else {}
    count, reasons = read(folder, tmp_path, **more)
    assert count == len(GOOD)
    if reasons is None:
        return
    assert set(HOSTILE) <= set(reasons) <= LISTED
    assert "known format" in reasons["eps.jpg"]
    assert "200 megapixels" in reasons["bomb.png"]
    assert "which white is not known" in reasons["range.tif"]
    assert "not finite" in reasons["nan.tiff"]
    for reason in reasons.values():
        assert "0x" not in reason


def test_readers_that_list_folders_name_what_is_no_picture_file(folder, tmp_path):
    for read in (by_predict, by_attributes, by_references, by_train_generator):
        _, reasons = read(folder, tmp_path)
        assert set(reasons) == LISTED
        assert "UTF-8" in reasons[r"caf\xe9.png"]
        assert "pipe" in reasons["pipe.png"]


def test_a_file_named_by_the_user_whose_name_is_not_utf8_is_a_row(tmp_path):
    from pipeline.commands.attributes.sources import pictures
    from pipeline.commands.prediction import media_files

    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    path.write_bytes(GOOD["00.png"])
    ((row, image),) = pictures([path])
    assert image is None
    assert row["path"].endswith(r"caf\xe9.png")
    (one,) = media_files([path]).files
    assert (one.name, one.reason) == (row["path"], row["detail"])


@pytest.mark.parametrize("damage", ["encrypted", "method", "crc"])
def test_a_member_of_a_zip_that_cannot_be_unpacked_is_one_row(damage, tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in GOOD.items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    local, central = data.index(b"PK\3\4"), data.index(b"PK\1\2")
    if damage == "crc":
        data[data.index(b"IDAT") + 9] ^= 0xFF
    for start, shift in ((local, 0), (central, 2)):
        if damage == "encrypted":
            data[start + 6 + shift] |= 1
        if damage == "method":
            data[start + 8 + shift] = 99
    path.write_bytes(data)
    count, reasons = _prepared(path, tmp_path / "out")
    assert (count, list(reasons)) == (len(GOOD) - 1, ["00.png"])
    assert "cannot be unpacked" in reasons["00.png"]


def test_a_member_larger_than_the_limit_is_not_unpacked(tmp_path, monkeypatch):
    from generators.training import sources

    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in GOOD.items():
            archive.writestr(name, data)
        archive.writestr("zeros.png", bytes(10_000_000))
    monkeypatch.setattr(sources, "MAX_BYTES", 1_000_000)
    count, reasons = _prepared(tmp_path / "data.zip", tmp_path / "out")
    assert (count, list(reasons)) == (len(GOOD), ["zeros.png"])
    assert "MiB are not read" in reasons["zeros.png"]


def test_the_good_pictures_are_good():
    assert all(images.decode(data).shape == (32, 32, 3) for data in GOOD.values())
    assert read_image is images.read_image
