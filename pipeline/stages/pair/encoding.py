"""Encoding a shard of groups: one codec and one quality draw for a real face and all its fakes, one road."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.atomic import canonical_json, digest_bytes, write_bytes
from manifests.containment import inside
from manifests.families import family_of
from manifests.h264 import LEVELS, through_h264
from manifests.images import SUFFIX, Image, encode, read_image, read_mask, resize
from manifests.picture_shards import write_shard
from manifests.records import ImageRecord
from manifests.release.exporting import attributes, slug
from manifests.seeding import rng_of
from manifests.store import table_of
from pipeline.engine.ids import image_path, stable_id
from pipeline.engine.shards import Task
from pipeline.stages.pair.groups import Group, Made
from pipeline.stages.verify.faces import VerifiedFace

OWN_LICENCE = "Apache-2.0"
"""Of the methods that need no weights: it binds nobody who only uses their pictures."""


INHERITED = (
    *("race", "gender", "cell", "identity_id", "split", "generator", "generator_sha256", "psi"),
    *("dataset", "counterfactual_id", "origin"),
)
"""Columns that a fake has of the face that it was made of."""
OWN = ("age", "race_prob", "gender_prob", "attribute_source", "seed", "licence", "consent")
"""Columns that a real image has beside these."""


@dataclass(frozen=True)
class Encoding:
    """What a shard needs; see the sections `pair` and `dataset`.

    sample_folder, forge_folder: of the pictures. short: what the whole dataset lacks, by `split
    cell`.
    """

    qualities: tuple[str, ...]
    codec: str
    quality: tuple[int, int]
    image_size: int
    seed: int
    taxonomy: str
    sample_folder: Path
    forge_folder: Path
    short: dict[str, int]
    store: str = "files"
    groups: Iterable[Group] = ()


@dataclass(frozen=True)
class Written:
    """An encoded image, as its row of the manifest has it."""

    image_id: str
    path: str
    sha256: str
    width: int
    height: int
    codec: str
    quality: int | None
    tuple_id: str | None


def level_id(image_id: str, level: str, encoding: Encoding) -> str:
    """The id of an image at one quality: its own at the first, which is thus the tuple's id too."""
    levels = encoding.qualities
    if not levels or level == levels[0]:
        return image_id
    return stable_id(encoding.seed, "quality", level, image_id)


def _encoded(image: Image, level: str, drawn: int | None) -> tuple[bytes, str, str, int | None]:
    """The one road out of pixels, real and fake alike: bytes, container, and what `codec` and `quality` say
    of them.
    """
    if level in LEVELS:
        return encode(through_h264(image, LEVELS[level]), "png"), "png", "h264", LEVELS[level]
    codec = "png" if level == "raw" else level
    quality = None if codec == "png" else drawn
    return encode(image, codec, quality), codec, codec, quality


@dataclass(frozen=True)
class Pictures:
    """Where a shard's pictures go: into files of their own or, with `held`, into one file at the end."""

    folder: Path
    index: int
    held: dict[str, bytes] | None

    @property
    def shard(self) -> str:
        """The file that holds them all, below the folder."""
        return f"shards/{self.index:05d}.tar"

    def put(self, folder: str, name: str, ending: str, data: bytes) -> str:
        """Write a picture, or hold it; its path in the manifest."""
        if self.held is None:
            path = image_path(folder, name, ending)
            write_bytes(self.folder / path, data)
            return path
        path = f"{self.shard}/{name}{'.mask' if folder == 'masks' else ''}{ending}"
        self.held[path] = data
        return path

    def close(self, table: pa.Table) -> None:
        """Write what is held: by image_id each picture, what is known of it as JSON, and its mask."""
        if self.held is None:
            return
        members: dict[str, bytes] = {}
        for row in table.to_pylist():
            members[row["path"]] = self.held[row["path"]]
            members[f"{self.shard}/{row['image_id']}.json"] = canonical_json(attributes(row)).encode()
            if row["mask_path"] is not None:
                members[row["mask_path"]] = self.held[row["mask_path"]]
        named = ((name.rpartition("/")[2], data) for name, data in members.items())
        write_shard(self.folder / self.shard, named)


def _write(
    encoding: Encoding, pictures: Pictures, image_id: str, source: Path, level: str, drawn: int | None
) -> Written:
    """Decode, resize, encode, write; real and fake alike. drawn: the pair's quality draw."""
    image = resize(read_image(source), encoding.image_size)
    data, container, codec, quality = _encoded(image, level, drawn)
    name = level_id(image_id, level, encoding)
    path = pictures.put("images", name, SUFFIX[container], data)
    return Written(
        image_id=name,
        path=path,
        sha256=digest_bytes(data),
        width=image.shape[1],
        height=image.shape[0],
        codec=codec,
        quality=quality,
        tuple_id=image_id if encoding.qualities else None,
    )


def _write_mask(encoding: Encoding, pictures: Pictures, image_id: str, source: Path) -> str:
    mask = resize(read_mask(source), encoding.image_size)
    return pictures.put("masks", image_id, ".png", encode(mask, "png"))


def _write_whole_mask(encoding: Encoding, pictures: Pictures, image_id: str) -> str:
    size = encoding.image_size
    return pictures.put("masks", image_id, ".png", encode(np.full((size, size), 255, np.uint8), "png"))


def _quality(encoding: Encoding, pair_id: str) -> int:
    low, high = encoding.quality
    return int(rng_of(encoding.seed, "quality", pair_id).integers(low, high + 1))


def _of(face: VerifiedFace, *names: str) -> dict[str, Any]:
    """These columns of a face, by name."""
    return {name: getattr(face, name) for name in names}


def _real_record(encoding: Encoding, real: VerifiedFace, width: int, written: Written) -> ImageRecord:
    """The row of a real image. width: of its picture before it was resized, pixels."""
    scale = encoding.image_size / width
    return ImageRecord(
        **vars(written),
        label=0,
        method="none",
        family="none",
        landmarks=[float(p) * scale for p in (() if real.landmarks is None else real.landmarks)],
        landmark_scheme=real.landmark_scheme,
        target_cell=real.cell,
        pair_id=real.image_id,
        **_of(real, *INHERITED, *OWN),
    )


def synthesis_name(generator: str) -> str:
    """The method of a fake that is a generated face: `synthesis-balanced128`, whatever folder the generator
    is in.
    """
    return f"synthesis-{slug(PurePath(generator).stem)}"


def _generated_record(
    encoding: Encoding, pair_id: str, face: VerifiedFace, width: int, written: Written, mask_path: str
) -> ImageRecord:
    """A generated face as a fake: nothing of another image is in it, and all of it is made."""
    record = _real_record(encoding, face, width, written)
    return record.model_copy(
        update={
            "label": 1,
            "method": synthesis_name(face.generator or ""),
            "family": "synthesis",
            "mask_path": mask_path,
            "pair_id": pair_id,
            "target_cell": None,
        }
    )


def _fake_record(
    encoding: Encoding, real: VerifiedFace, made: Made, level: str, written: Written, mask_path: str
) -> ImageRecord:
    """A fake inherits what is perceived of its target's cell; age only where the face is still the target's,
    unedited.
    """
    fake = made.fake

    def at_level(name: str | None) -> str | None:
        return None if name is None else level_id(name, level, encoding)

    own = None if fake.licence == OWN_LICENCE else fake.licence
    return ImageRecord(
        **vars(written),
        **_of(real, *INHERITED),
        label=1,
        method=fake.method,
        family=fake.family,
        mask_path=mask_path,
        age=real.age if family_of(fake.family).age_kept else None,
        attribute_source="inherited",
        target_id=at_level(fake.target_id),
        source_id=at_level(fake.source_id),
        driver_id=at_level(fake.driver_id),
        target_cell=real.cell,
        source_cell=real.cell if fake.source_id else None,
        pair_id=real.image_id,
        seed=fake.seed,
        consent=_all_of([real.consent, *made.consents]),
        licence=_all_of([real.licence, *made.licences, own]),
    )


def _all_of(terms: Iterable[str | None]) -> str | None:
    """The terms of a fake: those of every face that is in it and, where an engine brought its own, those
    too.
    """
    return "; ".join(dict.fromkeys(term for term in terms if term)) or None


def _encode_group(encoding: Encoding, pictures: Pictures, group: Group) -> Iterator[ImageRecord]:
    """Write one group's images and masks; their rows."""
    real = group.real
    quality = _quality(encoding, real.image_id)
    source = inside(encoding.sample_folder, real.sample_path or "")
    width = read_image(source).shape[1]
    folder = encoding.forge_folder
    masks = {
        made.fake.image_id: _write_mask(
            encoding, pictures, made.fake.image_id, inside(folder, made.fake.mask_path or "")
        )
        for made in group.fakes
    }
    generated = group.generated
    if generated is not None:
        face = inside(encoding.sample_folder, generated.sample_path or "")
        own_width = read_image(face).shape[1]
        whole = _write_whole_mask(encoding, pictures, generated.image_id)
    for level in encoding.qualities or (encoding.codec,):
        written = _write(encoding, pictures, real.image_id, source, level, quality)
        yield _real_record(encoding, real, width, written)
        for made in group.fakes:
            fake = made.fake
            written = _write(
                encoding, pictures, fake.image_id, inside(folder, fake.path or ""), level, quality
            )
            yield _fake_record(encoding, real, made, level, written, masks[fake.image_id])
        if generated is not None:
            written = _write(encoding, pictures, generated.image_id, face, level, quality)
            yield _generated_record(encoding, real.image_id, generated, own_width, written, whole)


def encode_pairs(task: Task[Encoding]) -> pa.Table:
    """One shard of groups, encoded; rows in the manifest's schema."""
    encoding = task.payload
    pictures = Pictures(task.folder, task.index, {} if encoding.store == "shards" else None)
    records = [record for group in encoding.groups for record in _encode_group(encoding, pictures, group)]
    table = table_of(records, taxonomy=encoding.taxonomy)
    pictures.close(table)
    return table
