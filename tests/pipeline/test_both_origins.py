"""A small run of generated faces and photographs together: balanced by cell and origin; generated faces as
fakes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.balance import check_balance
from manifests.images import read_image, read_mask
from manifests.splits import leaks
from manifests.store import read_manifest, read_table
from pipeline.__main__ import main
from pipeline.stages.verify.faces import VerifiedFace
from pipeline.stages.verify.selection import look_of, refuse_copies, settle
from tests.pipeline import photograph_files as made

CELLS = ("White/Male", "Asian/Female")
SETS = {
    "run.seed": "11",
    "run.name": "both",
    "dataset.only": json.dumps(CELLS),
    "dataset.per_cell": "4",
    "dataset.splits": "{train=0.5, test=0.5}",
    "sample.source": "both",
    "sample.oversample": "1.0",
    "sample.max_per_cell": "40",
    "sample.tries": "2",
    "verify.slack": "1.25",
    "verify.min_race_prob": "0.4",
    "verify.min_gender_prob": "0.6",
    "verify.min_sharpness": "1.0",
    "forge.methods": '["swap-delaunay"]',
    "forge.held_out": '["blend-self"]',
    "forge.gates": "false",
    "forge.params.swap-delaunay": "{max_yaw_gap=2.0, max_mouth_gap=2.0}",
    "cross.source": "none",
    "pair.codec": "png",
}


def arguments(out: Path, *more: str) -> list[str]:
    sets = [part for key, value in SETS.items() for part in ("--set", f"{key}={value}")]
    return ["run", "--to", "pair", "--out", str(out), "--executor", "local", "--quiet", *sets, *more]


@pytest.fixture(scope="module")
def sources(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """ "Photographs" of other faces than the run draws: the small run's, in a manifest, a parquet file and a
    folder without cells.

    The first of the manifest stand in the folder again, a little brighter.
    """
    root = tmp_path_factory.mktemp("sources")
    found: list[dict[str, Any]] = []
    for row in read_table(small_run / "verify" / "faces.parquet").to_pylist():
        if row["cell"] in CELLS and (row["status"] == "accepted" or row["reason"] == "surplus"):
            race, gender = row["cell"].split("/")
            data = (small_run / "sample" / row["sample_path"]).read_bytes()
            found.append(
                {
                    "name": f"{len(found):03d}.png",
                    "race": race,
                    "gender": gender,
                    "age": "20-29",
                    "image": data,
                }
            )
    for k, row in enumerate(found):
        row["name"] = f"{k:03d}.png"
    third = len(found) // 3
    again = [{**row, "name": f"again-{row['name']}", "image": brighter(row["image"])} for row in found[:3]]
    return [
        made.manifest(root / "m", found[:third]),
        made.faces(root / "f.parquet", found[third : 2 * third]),
        made.pictures(root / "p", [*found[2 * third :], *again]),
    ]


def brighter(data: bytes) -> bytes:
    from manifests.images import decode, encode

    return encode((decode(data, "x").astype(np.int16) + 4).clip(0, 255).astype(np.uint8), "png")


@pytest.fixture(scope="module")
def both(small_run: Path, sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("both") / "run"
    paths = json.dumps([str(path) for path in sources])
    assert (
        main(
            arguments(
                out,
                "--set",
                f"sample.cell_model={small_run}/cells/model.safetensors",
                "--set",
                f"sample.photographs={paths}",
            )
        )
        == 0
    )
    return out


def counts_of(rows: list[dict[str, Any]]) -> dict[str, Counter[tuple[Any, ...]]]:
    """Rows by split and method: how many of each cell and origin."""
    out: dict[str, Counter[tuple[Any, ...]]] = {}
    for row in rows:
        out.setdefault(f"{row['split']} {row['method']}", Counter())[row["cell"], row["origin"]] += 1
    return out


def test_each_cell_has_as_many_of_each_origin(both: Path):
    table = read_manifest(both / "dataset")
    rows = table.to_pylist()
    assert check_balance(table) == leaks(table) == []
    even = {(cell, origin): 2 for cell in CELLS for origin in ("photograph", "synthetic")}
    assert counts_of(rows) == dict.fromkeys(
        ("train none", "test none", "train swap-delaunay", "test swap-delaunay", "test blend-self"), even
    )
    for row in rows:
        assert (row["generator"] == "starter64") == (row["origin"] == "synthetic")
        assert row["licence"] or row["dataset"] == "photographs", "only a bare folder says nothing of it"
        assert row["consent"]
        assert ("no depicted person" in row["consent"]) == (row["origin"] == "synthetic")
    faces = {row["image_id"]: row for row in rows}
    swaps = [row for row in rows if row["method"] == "swap-delaunay"]
    for row in swaps:
        assert (
            faces[row["target_id"]]["origin"] == faces.get(row["source_id"], row)["origin"] == row["origin"]
        )
    accepted = {row["image_id"]: row for row in read_table(both / "verify" / "faces.parquet").to_pylist()}
    for row in swaps:
        source, target = accepted[row["source_id"]], accepted[row["target_id"]]
        assert (source["origin"], source["cell"], source["split"]) == (
            target["origin"],
            target["cell"],
            target["split"],
        )
        assert set(row["licence"].split("; ")) == {one["licence"] or "" for one in (source, target)} - {""}
        assert row["consent"] == "; ".join(dict.fromkeys([target["consent"], source["consent"]]))


def test_cells_come_by_annotation_or_by_verified_prediction(both: Path):
    rows = [
        row
        for row in read_table(both / "verify" / "faces.parquet").to_pylist()
        if row["origin"] == "photograph"
    ]
    good = [row for row in rows if row["status"] == "accepted" or row["reason"] == "surplus"]
    said = Counter((row["attribute_source"].split(":")[0], row["race_prob"] is None) for row in good)
    assert set(said) == {("annotation", True), ("model", False)}
    assert {row["reason"] for row in rows if row["cell"] not in CELLS} <= {
        "other_cell",
        "low_confidence",
        "no_face",
        "blurred",
    }
    figures = json.loads((both / "verify" / "acceptance.json").read_text())
    assert {f"{cell}, {origin}" for cell in CELLS for origin in ("photograph", "synthetic")} <= set(figures)
    assert (
        sum(one["attempted"] for one in figures.values())
        == read_table(both / "verify" / "faces.parquet").num_rows
    )


def test_a_photograph_of_two_sources_is_taken_once(both: Path):
    reasons = Counter(row["reason"] for row in read_table(both / "verify" / "faces.parquet").to_pylist())
    assert reasons["duplicate_picture"] >= 1
    assert "look" not in read_table(both / "verify" / "faces.parquet").column_names


def test_generated_faces_are_fakes_where_that_is_asked_for(both: Path, tmp_path: Path):
    copy = tmp_path / "run"
    shutil.copytree(both, copy, copy_function=os.link)
    assert (
        main(
            [
                "run",
                "--to",
                "pair",
                "--out",
                str(copy),
                "--executor",
                "local",
                "--quiet",
                "--set",
                "dataset.generated_as=fake",
            ]
        )
        == 0
    )
    for stage in ("sample", "verify"):
        marker = "done/stage.json"
        assert (copy / stage / marker).read_bytes() == (both / stage / marker).read_bytes(), (
            "nothing of it is made again"
        )
    table = read_manifest(copy / "dataset")
    rows = table.to_pylist()
    assert check_balance(table) == leaks(table) == []
    counts, photographs = counts_of(rows), {(cell, "photograph"): 2 for cell in CELLS}
    assert (
        counts.pop("train synthesis-starter64")
        == counts.pop("test synthesis-starter64")
        == {(cell, "synthetic"): 2 for cell in CELLS}
    )
    assert counts
    assert all(count == photographs for count in counts.values())
    by_pair = {row["pair_id"]: row for row in rows if row["label"] == 0}
    for row in rows:
        if row["family"] == "synthesis":
            assert (row["label"], row["target_id"], row["source_id"]) == (1, None, None)
            assert (read_mask(copy / "dataset" / row["mask_path"]) == 255).all()
            assert row["attribute_source"].startswith("model:")
            pair = by_pair[row["pair_id"]]
            assert all(row[key] == pair[key] for key in ("cell", "split", "codec", "quality", "width"))
    assert {
        row["origin"] for row in read_table(copy / "forge" / "fakes.parquet").to_pylist() if "origin" in row
    } == set()
    targets = {row["target_id"] for row in read_table(copy / "forge" / "fakes.parquet").to_pylist()}
    accepted = read_table(copy / "verify" / "faces.parquet").to_pylist()
    assert {row["origin"] for row in accepted if row["image_id"] in targets} == {"photograph"}


def test_latent_methods_are_refused_before_any_work(
    both: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    copy = tmp_path / "run"
    shutil.copytree(both, copy, copy_function=os.link)
    assert main(["forge", "--out", str(copy), "--quiet", "--set", 'forge.methods=["swap-latent"]']) == 2
    assert "photographs have not" in capsys.readouterr().err


def seen(image: np.ndarray, image_id: str, origin: str, **changes: Any) -> VerifiedFace:
    embedding = np.random.default_rng(len(image_id) + ord(image_id[0])).normal(size=8).astype(np.float32)
    face = VerifiedFace(
        image_id,
        origin=origin,
        cell="c",
        status="accepted",
        look=look_of(image),
        embedding=embedding.tolist(),
        identity_id=image_id,
    )
    return replace(face, **changes)


def test_copies_are_found_across_sources_and_photographs_go_first():
    one, two, three = (made.picture(k, 64) for k in range(3))
    rows = [
        seen(one, "a", "synthetic"),
        seen(one, "z", "photograph"),
        seen(two, "b", "synthetic"),
        seen(two, "d", "synthetic"),
        seen(three, "e", "photograph", status="rejected", reason="blurred", look=None),
        seen(three, "f", "photograph"),
    ]
    assert {face.image_id: face.reason for face in refuse_copies(rows)} == {
        "a": "duplicate_picture",
        "z": None,
        "b": None,
        "d": None,
        "e": "blurred",
        "f": None,
    }
    generated = [seen(two, "b", "synthetic", look=None), seen(two, "d", "synthetic", look=None)]
    assert all(face.accepted for face in refuse_copies(generated)), "a run without photographs has no looks"


def test_quotas_hold_for_each_origin_and_identities_for_all():
    def row(image_id: str, origin: str, place: float, **changes: Any) -> VerifiedFace:
        face = VerifiedFace(
            image_id,
            cell="c",
            origin=origin,
            status="accepted",
            embedding=[place, 0.0],
            identity_id=image_id,
        )
        return replace(face, **changes)

    rows = [
        row("a", "synthetic", 0.0),
        row("b", "photograph", 0.1),
        row("c", "synthetic", 5.0),
        row("d", "synthetic", 9.0),
        row("e", "photograph", 20.0, identity_id="b"),
        row("f", "photograph", 30.0),
        row("g", "photograph", 40.0),
    ]
    assert {face.image_id: face.reason for face in settle(rows, {"c": 2}, 0.3)} == {
        "a": "duplicate_identity",
        "b": None,
        "c": None,
        "d": None,
        "e": "duplicate_identity",
        "f": None,
        "g": "surplus",
    }


def test_faces_that_are_too_small_are_no_crops(both: Path, tmp_path: Path):
    """A photograph of a face in a wide scene has its reason, and does not end up as a few pixels of a
    dataset.
    """
    from PIL import Image

    faces = [
        row
        for row in read_table(both / "verify" / "faces.parquet").to_pylist()
        if row["status"] == "accepted"
    ]
    scene = np.full((640, 640, 3), 128, np.uint8)
    face = read_image(both / "sample" / faces[0]["sample_path"])
    side = 110
    scene[200 : 200 + side, 300 : 300 + side] = np.asarray(Image.fromarray(face).resize((side, side)))
    (tmp_path / "p").mkdir()
    Image.fromarray(scene).save(tmp_path / "p" / "scene.png")
    (tmp_path / "p" / "attributes.csv").write_text("path,race,gender\nscene.png,White,Male\n")
    out = tmp_path / "run"
    main(
        [
            "run",
            "--to",
            "verify",
            "--out",
            str(out),
            "--executor",
            "local",
            "--quiet",
            "--allow-short",
            "--set",
            "sample.source=photographs",
            "--set",
            f"sample.photographs={tmp_path / 'p'}",
            "--set",
            "verify.min_sharpness=0",
        ]
    )
    (row,) = read_table(out / "verify" / "faces.parquet").to_pylist()
    assert row["reason"] == "small_face"
