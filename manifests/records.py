"""What crosses packages: faces, images, forgeries, pairs and cells, as frozen models.

Arrays are numpy; a record never holds a torch tensor. `ImageRecord` is one row of a manifest
(`manifests.schema`).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]


class Record(BaseModel):
    """Base: frozen, no unknown fields, numpy arrays allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Cell(Record):
    """One demographic cell of a taxonomy: perceived race and gender."""

    taxonomy: str
    race: str
    gender: str

    @property
    def name(self) -> str:
        return f"{self.race}/{self.gender}"


class Face(Record):
    """A face in an image, with what a forgery may use. Forgeries never call a landmark model: they get it
    here.

    image: uint8 [H, W, 3], RGB. landmarks: float32 [K, 2], pixels (x, y), or None. landmark_scheme:
    `mesh148`, `five`. mask: uint8 [H, W], 255 inside the face, or None. latent: float32 [num_ws, w_dim], in
    W, [1, w_dim] where all layers share one, or None; generator, generator_sha256: name or path, and digest,
    of what made it.
    """

    image_id: str
    image: Image
    landmarks: Points | None = None
    landmark_scheme: str | None = None
    mask: Image | None = None
    latent: npt.NDArray[np.float32] | None = None
    generator: str | None = None
    generator_sha256: str | None = None
    race: str | None = None
    gender: str | None = None
    age: str | None = None
    cell: str | None = None
    identity_id: str | None = None

    @field_validator("image")
    @classmethod
    def _rgb8(cls, value: Image) -> Image:
        if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
            raise ValueError(f"image must be uint8 [H, W, 3], got {value.dtype} {list(value.shape)}")
        return value

    @model_validator(mode="after")
    def _scheme_named(self) -> Face:
        if self.landmarks is not None and self.landmark_scheme is None:
            raise ValueError("landmarks need a landmark_scheme")
        return self


class ForgeryRecord(Record):
    """How a fake was made: enough to trace it to its faces and to make it again."""

    method: str
    family: str
    target_id: str
    source_id: str | None = None
    driver_id: str | None = None
    target_cell: str | None = None
    source_cell: str | None = None
    seed: int = 0
    params: dict[str, Any] = Field(default_factory=dict)
    licence: str | None = None


class Pair(Record):
    """A real image and the fakes made of it: they share `pair_id`, cell, split, codec and quality draw."""

    pair_id: str
    real_id: str
    fake_ids: tuple[str, ...]
    cell: str
    split: str
    codec: str
    quality: int | None = None


class ImageRecord(Record):
    """One row of the manifest; the columns and their meaning stand in DESIGN's section 3. Unknown is None."""

    image_id: str
    path: str
    sha256: str
    width: int
    height: int
    label: int = Field(ge=0, le=1)
    method: str
    family: str
    race: str | None = None
    gender: str | None = None
    age: str | None = None
    cell: str | None = None
    race_prob: float | None = None
    gender_prob: float | None = None
    attribute_source: str | None = None
    target_id: str | None = None
    source_id: str | None = None
    driver_id: str | None = None
    target_cell: str | None = None
    source_cell: str | None = None
    identity_id: str | None = None
    pair_id: str | None = None
    video_id: str | None = None
    media: Literal["image", "video"] = "image"
    frames: int | None = None
    fps: float | None = None
    duration: float | None = None
    audio_path: str | None = None
    audio_sha256: str | None = None
    fake_segments: list[float] | None = None
    split: str | None = None
    landmarks: list[float] | None = None
    landmark_scheme: str | None = None
    mask_path: str | None = None
    codec: str | None = None
    quality: int | None = None
    generator: str | None = None
    generator_sha256: str | None = None
    seed: int | None = None
    psi: float | None = None
    licence: str | None = None
    consent: str | None = None
    dataset: str | None = None
    counterfactual_id: str | None = None
    tuple_id: str | None = None
    origin: str | None = None
