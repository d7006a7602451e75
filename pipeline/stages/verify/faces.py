"""A face as `verify` leaves it, accepted or rejected: what `forge` and `pair` go on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.columns import rows_of, vectors
from manifests.schema import PHOTOGRAPH, SYNTHETIC
from manifests.store import column_names, read_columns
from pipeline.stages.sample.candidates import SCHEMA as SAMPLE_SCHEMA

Floats = npt.NDArray[np.float32] | list[float]
ACCEPTED, REJECTED = "accepted", "rejected"
_F32S = pa.list_(pa.float32())
_TAKEN = [
    SAMPLE_SCHEMA.field(name) for name in SAMPLE_SCHEMA.names if name not in ("w", "index", "age", "path")
]
_PATH = pa.field("sample_path", pa.string())
"""Below the folder of the stage `sample`: this one writes no images of its own."""
SCHEMA = pa.schema(
    [
        *_TAKEN[: SAMPLE_SCHEMA.names.index("path")],
        _PATH,
        *_TAKEN[SAMPLE_SCHEMA.names.index("path") :],
        ("race", pa.string()),
        ("gender", pa.string()),
        ("age", pa.string()),
        ("race_prob", pa.float32()),
        ("gender_prob", pa.float32()),
        ("race_probs", _F32S),
        ("face_score", pa.float32()),
        ("sharpness", pa.float32()),
        ("landmarks", _F32S),
        ("landmark_scheme", pa.string()),
        ("embedding", _F32S),
        ("split", pa.string()),
    ]
)
SAMPLED = [name for name in SAMPLE_SCHEMA.names if name not in ("w", "index")]
"""Columns of the candidates that a face keeps."""
LOOK = pa.field("look", pa.binary())
"""With photographs: what the picture looks like, for `selection.refuse_copies`."""
PERCEIVED = pa.field("perceived", pa.string())
"""With a policy: the cell that the verifier is sure of, null where it abstains."""


@dataclass(frozen=True, slots=True)
class VerifiedFace:
    """One row of `verify`; None where it was not read, or is not known.

    `race_probs` are those of the taxonomy's races; `landmarks` x0 y0 x1 y1 ... in pixels; `embedding` is of
    the identity; see `LOOK` and `PERCEIVED`.
    """

    image_id: str
    cell: str | None = None
    sample_path: str | None = None
    sha256: str | None = None
    seed: int | None = None
    psi: float | None = None
    generator: str | None = None
    generator_sha256: str | None = None
    identity_id: str = ""
    counterfactual_id: str | None = None
    attribute_source: str | None = None
    licence: str | None = None
    consent: str | None = None
    dataset: str | None = None
    origin: str | None = None
    status: str = ""
    reason: str | None = None
    race: str | None = None
    gender: str | None = None
    age: str | None = None
    race_prob: float | None = None
    gender_prob: float | None = None
    race_probs: Floats | None = None
    face_score: float | None = None
    sharpness: float | None = None
    landmarks: Floats | None = None
    landmark_scheme: str | None = None
    embedding: Floats | None = None
    split: str | None = None
    look: bytes | None = None
    perceived: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether it goes on."""
        return self.status == ACCEPTED

    @property
    def stratum(self) -> tuple[str | None, str | None]:
        """Its cell and origin: what has a quota."""
        return self.cell, self.origin

    @property
    def annotated(self) -> bool:
        """Whether somebody said what is perceived, so that no model judges it."""
        return (self.attribute_source or "").startswith("annotation:")

    @property
    def is_photograph(self) -> bool:
        """Whether it is a photograph of a person."""
        return self.origin == PHOTOGRAPH

    @property
    def is_generated(self) -> bool:
        """Whether a generator made it."""
        return self.origin == SYNTHETIC

    def rejected(self, reason: str) -> VerifiedFace:
        """The same face, refused."""
        return replace(self, status=REJECTED, reason=reason)


NUMBERS = ("landmarks", "race_probs", "embedding")
"""Columns of many numbers a face: of a table they are read as arrays."""


def face_table(faces: Sequence[VerifiedFace], schema: pa.Schema) -> pa.Table:
    """Faces as a table with this schema: `SCHEMA`, perhaps with `LOOK` and `PERCEIVED`."""
    return pa.Table.from_pylist(
        [{name: getattr(face, name) for name in schema.names} for face in faces], schema=schema
    )


def faces_of(table: pa.Table) -> list[VerifiedFace]:
    """The rows of a table, in its order. `NUMBERS` are float32 [D] each, without a copy."""
    plain = [name for name in table.column_names if name not in NUMBERS]
    many = [name for name in NUMBERS if name in table.column_names]
    arrays = zip(*(vectors(table.column(name)) for name in many), strict=True) if many else repeat(())
    return [
        VerifiedFace(**row, **dict(zip(many, values, strict=True)))
        for row, values in zip(rows_of(table, plain), arrays, strict=bool(many))
    ]


def accepted_table(path: Path, leave: Sequence[str] = ()) -> pa.Table:
    """The accepted rows of a table of `verify`, in its order.

    Args:
        path: of the parquet file.
        leave: columns that are not read.

    Raises:
        MissingError, DataError: see `read_table`.
    """
    table = read_columns(path, [name for name in column_names(path) if name not in leave])
    accepted = pc.equal(table["status"], ACCEPTED)
    return table if pc.all(accepted).as_py() else table.filter(accepted)


def read_accepted(path: Path, leave: Sequence[str] = ()) -> list[VerifiedFace]:
    """`faces_of` an `accepted_table`. Arguments and errors as there."""
    return faces_of(accepted_table(path, leave))
