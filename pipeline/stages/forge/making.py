"""Making the fakes of a shard: faces and their partners in, pictures, masks and rows out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from manifests.atomic import canonical_json, digest_bytes, write_bytes
from manifests.containment import inside
from manifests.errors import DataError
from manifests.images import encode, read_image
from manifests.records import Face
from manifests.seeding import seed_of
from pipeline.engine.config_fakes import ForgeSection
from pipeline.engine.ids import image_path, stable_id
from pipeline.engine.shards import Task
from pipeline.faces.landmark_batches import Work, together
from pipeline.faces.picture import IdentityReader
from pipeline.stages.forge.fakes import Fake, fake_table
from pipeline.stages.forge.gates import Figures, Person, measure_fake, refuse
from pipeline.stages.forge.partners import points_of
from pipeline.stages.verify.faces import VerifiedFace

if TYPE_CHECKING:
    from generators.forgeries import Forgery

SIDE_BY_SIDE = 32
"""Fakes that are in memory at once, and share batches of the landmark model."""


@dataclass(frozen=True)
class Target:
    """An accepted face with, where a method wants it, the latent `w` that it was drawn from: float32 [D]."""

    face: VerifiedFace
    w: list[float] | None = None

    @property
    def image_id(self) -> str:
        """Of the face."""
        return self.face.image_id

    def as_face(self, folder: Path) -> Face:
        """The face with its picture. folder: of the stage `sample`.

        Raises:
            MissingError, DataError: the picture cannot be read.
        """
        face = self.face
        return Face(
            image_id=face.image_id,
            image=read_image(inside(folder, face.sample_path or "")),
            landmarks=points_of(face),
            landmark_scheme=face.landmark_scheme,
            race=face.race,
            gender=face.gender,
            age=face.age,
            cell=face.cell,
            identity_id=face.identity_id,
            latent=np.asarray(self.w, np.float32)[None] if self.w else None,
            generator=face.generator,
            generator_sha256=face.generator_sha256,
        )

    def as_person(self) -> Person:
        """What gates compare."""
        embedding = self.face.embedding
        return Person(points_of(self.face), None if embedding is None else np.asarray(embedding, np.float32))


@dataclass(frozen=True)
class Item:
    """One fake to make. partners: second faces, the best suited first. seed: of the first try."""

    method: str
    target: Target
    needs_partner: bool
    partners: tuple[Target, ...]
    seed: int


@dataclass(frozen=True)
class FaceModels:
    """The keys of section `verify` that the gates read."""

    face_detector: str
    landmarker: str
    identity_model: str
    min_face_score: float


@dataclass(frozen=True)
class Forging:
    """What a shard needs.

    section: methods and gates. params: of the methods, by name; as JSON would have them. seed: of the run.
    models: of the gates. sample_folder: of the faces' pictures.
    """

    section: ForgeSection
    params: dict[str, dict[str, Any]]
    seed: int
    models: FaceModels
    device: str
    sample_folder: Path
    items: tuple[Item, ...] = ()


class Maker:
    """What one shard needs: the forgers, and the reader of faces where gates are on."""

    def __init__(self, forging: Forging) -> None:
        self.forging = forging
        models = forging.models
        self.reader = (
            IdentityReader(
                models.face_detector,
                models.landmarker,
                models.identity_model,
                models.min_face_score,
                forging.device,
            )
            if forging.section.gates
            else None
        )

    def make(
        self, item: Item, seed: int, partner: Target | None
    ) -> Work[tuple[Forgery, Figures, str | None]]:
        """One fake, its figures, and the gate that refuses it: work for `together`.

        Raises:
            DataError: the faces cannot be forged.
        """
        from generators.forgeries import FORGERIES, get

        folder, method = self.forging.sample_folder, item.method
        face, other = item.target.as_face(folder), partner.as_face(folder) if partner else None
        rng = np.random.Generator(np.random.PCG64(seed))
        made = get(method)(self.forging.params.get(method)).forge(face, other, rng)
        entry = FORGERIES.get(method)
        if self.reader is None:
            figures = Figures(float((made.mask > 0).mean()), 0.0)
        else:
            figures = yield from measure_fake(
                self.reader,
                entry.family,
                entry.facts["moves"],
                (face.image, made.image, made.mask),
                item.target.as_person(),
                partner.as_person() if partner else None,
            )
        return made, figures, refuse(figures, entry.family, self.forging.section)


def attempts(item: Item, tries: int) -> list[tuple[int, Target | None]]:
    """Seed and second face of each try: other faces where the method uses one, else `tries` draws."""
    if item.needs_partner:
        return [(item.seed, partner) for partner in item.partners]
    return [(item.seed if k == 0 else seed_of(item.seed, "again", k), None) for k in range(tries)]


def _forge_one(task: Task[Forging], maker: Maker, item: Item) -> Work[Fake]:
    """One fake: files written, or a row with the reason why not. Every refused try is in `refused`."""
    from generators.forgeries import FORGERIES

    target, method = item.target.face, item.method
    image_id = stable_id(task.payload.seed, "forge", method, target.image_id)
    row = Fake(
        image_id=image_id,
        method=method,
        family=FORGERIES.get(method).family,
        target_id=target.image_id,
        cell=target.cell or "",
        split=target.split or "",
        seed=item.seed,
        status="rejected",
    )
    if item.needs_partner and not item.partners:
        return replace(row, reason="no_partner_in_cell_and_split")
    refused: list[str] = []
    for seed, partner in attempts(item, task.payload.section.tries):
        try:
            made, figures, reason = yield from maker.make(item, seed, partner)
        except DataError as error:
            refused.append(getattr(error, "reason", "unusable_face"))
            continue
        row = replace(
            row,
            source_id=made.record.source_id,
            driver_id=made.record.driver_id,
            seed=seed,
            params=canonical_json(made.record.params),
            licence=made.record.licence,
            **vars(figures.rounded()),
        )
        if reason is None:
            break
        refused.append(reason)
    else:
        return replace(row, reason=refused[-1], refused=refused)
    data = encode(made.image, "png")
    path, mask_path = image_path("images", image_id, ".png"), image_path("masks", image_id, ".png")
    write_bytes(inside(task.folder, path), data)
    write_bytes(inside(task.folder, mask_path), encode(made.mask, "png"))
    return replace(
        row,
        path=path,
        mask_path=mask_path,
        sha256=digest_bytes(data),
        status="accepted",
        refused=refused,
    )


def forge_fakes(task: Task[Forging]) -> pa.Table:
    """One shard of (target, method) items."""
    maker, items = Maker(task.payload), task.payload.items
    rows: list[Fake] = []
    for start in range(0, len(items), SIDE_BY_SIDE):
        batch = items[start : start + SIDE_BY_SIDE]
        rows += together(maker.reader, [_forge_one(task, maker, item) for item in batch])
    return fake_table(rows)
