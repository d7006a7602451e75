"""A tiny dataset to release: 2 splits, 8 cells, one pair each (a real and two fakes), masks, drawn pictures
only.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from manifests.atomic import digest_bytes
from manifests.images import SUFFIX, encode
from manifests.records import ImageRecord
from manifests.release import ReleaseInfo, build, check_release
from manifests.seeding import rng_of, seed_of
from manifests.store import read_manifest, table_of, write_manifest, write_table
from manifests.taxonomy import get_taxonomy
from tests.manifests.manifest_rows import drawn

SPLITS = ("train", "test")
CELLS = get_taxonomy("fairface4").cells
FAKES = {"swap-a": "swap", "blend-b": "blend"}
SIZE = 16
META = {
    "README.md",
    "DATASHEET.md",
    "LICENSES.md",
    "LICENSES.csv",
    "CITATION.cff",
    "croissant.json",
    "release.json",
    "manifest.parquet",
    "SHA256SUMS",
}
"""What a release has beside pictures and their `metadata.parquet`."""
INFO = ReleaseInfo(
    name='Drawn "faces": a test',
    version="1.2.0",
    date="2026-01-31",
    creators=("A. Author", "B. Author"),
    licence="CC BY 4.0",
    description="Drawn pictures, no faces.",
)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _image(
    folder: Path, image_id: str, picture: np.ndarray, codec: str, quality: int | None
) -> dict[str, object]:
    data = encode(picture, codec, quality)
    path = f"images/{image_id[:2]}/{image_id}{SUFFIX[codec]}"
    _write(folder / path, data)
    return {
        "image_id": image_id,
        "path": path,
        "sha256": digest_bytes(data),
        "width": SIZE,
        "height": SIZE,
        "codec": codec,
        "quality": quality,
    }


def _pair(folder: Path, split: str, cell: str, seeds: bool) -> list[ImageRecord]:
    """One real and its fakes. Half of the pairs are PNG, so that `quality` holds nulls."""
    rng, race, gender = rng_of(0, split, cell), *cell.split("/")
    real_id = f"{seed_of(0, 'real', split, cell):016x}"
    picture = drawn(rng, SIZE)
    codec, quality = ("png", None) if gender == "Male" else ("jpeg", int(rng.integers(80, 95)))
    shared = {
        "race": race,
        "gender": gender,
        "cell": cell,
        "race_prob": rng.random(),
        "gender_prob": rng.random(),
        "attribute_source": "model:drawn@00000000",
        "pair_id": real_id,
        "split": split,
        "identity_id": f"id-{real_id}",
        "generator": "drawn",
        "generator_sha256": "0" * 64,
        "psi": 0.7,
        "dataset": "drawn",
    }
    rows = [
        ImageRecord(
            label=0,
            method="none",
            family="none",
            seed=seed_of(1, real_id),
            licence="CC0 1.0",
            consent="synthetic",
            landmarks=[float(v) for v in rng.random(10) * SIZE],
            landmark_scheme="five",
            **shared,
            **_image(folder, real_id, picture, codec, quality),
        )
    ]
    for method, family in FAKES.items():
        fake_id = f"{seed_of(0, 'fake', split, cell, method):016x}"
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[4:12, 4:12] = 255
        _write(folder / f"masks/{fake_id}.png", encode(mask, "png"))
        fake = np.where(mask[..., None] > 0, picture[:, ::-1], picture)
        rows.append(
            ImageRecord(
                label=1,
                method=method,
                family=family,
                target_id=real_id,
                target_cell=cell,
                mask_path=f"masks/{fake_id}.png",
                seed=seed_of(1, fake_id) if seeds else None,
                **shared,
                **_image(folder, fake_id, fake, codec, quality),
            )
        )
    return rows


def make_dataset(folder: Path, *, seeds: bool = True) -> pa.Table:
    """Write the dataset at `folder`; without `seeds` the fakes' seeds are null. Returns its manifest."""
    rows = [row for split in SPLITS for cell in CELLS for row in _pair(folder, split, cell, seeds)]
    table = table_of(rows, taxonomy="fairface4")
    write_manifest(table, folder / "manifest.parquet")
    return table


def bytes_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too: bytes by relative path."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def codes(folder):
    return {finding.code for finding in check_release(folder)}


def resum(folder):
    """Write SHA256SUMS anew, as somebody who spoils a release and covers it up would."""
    names = sorted(set(bytes_below(folder)) - {"SHA256SUMS"})
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def edit_json(folder, name, change):
    """Change a JSON file of a release, and its checksum."""
    data = json.loads((folder / name).read_text())
    change(data)
    (folder / name).write_text(json.dumps(data))
    resum(folder)


def edit_croissant(folder, change):
    edit_json(folder, "croissant.json", change)


def edit_rows(folder, change, *, papers=True):
    """Change the manifest's rows (a list of dictionaries) and cover it up: papers, digests and checksums are
    written anew.

    papers: else the papers stay as they were, but for the digest in croissant.json; claims stay in any case.
    """
    table = read_manifest(folder / "manifest.parquet")
    rows = table.to_pylist()
    rows = change(rows) or rows
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["image_id"])), schema=table.schema)
    claims = json.loads((folder / "release.json").read_text())["claims"]
    if papers:
        build.write_papers(folder, table, INFO, {}, [], None)
        edit_json(folder, "release.json", lambda data: data.update(claims=claims))
    else:
        write_table(table, folder / "manifest.parquet")
        digest = hashlib.sha256((folder / "manifest.parquet").read_bytes()).hexdigest()
        edit_croissant(folder, lambda data: data["distribution"][0].update(sha256=digest))
    resum(folder)
