"""A fake as `forge` leaves it, made or refused: what `pair` goes on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from manifests.store import read_columns

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("mask_path", pa.string()),
        ("sha256", pa.string()),
        ("method", pa.string()),
        ("family", pa.string()),
        ("target_id", pa.string()),
        ("source_id", pa.string()),
        ("driver_id", pa.string()),
        ("cell", pa.string()),
        ("split", pa.string()),
        ("seed", pa.int64()),
        ("params", pa.string()),
        ("licence", pa.string()),
        ("mask_share", pa.float32()),
        ("seam", pa.float32()),
        ("face_found", pa.bool_()),
        ("to_target", pa.float32()),
        ("to_other", pa.float32()),
        ("transferred", pa.float32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("refused", pa.list_(pa.string())),
    ]
)


ALWAYS = ("image_id", "method", "family", "target_id", "cell", "split", "seed", "status")
ACCEPTED = "accepted"


@dataclass(frozen=True)
class Fake:
    """One row of `forge`; None where it is not known. Paths are below the stage's folder.

    params: as JSON. refused: the gate that each try before failed at. The figures are those of
    `pipeline.stages.forge.gates.Figures`.
    """

    image_id: str
    method: str
    family: str
    target_id: str
    cell: str
    split: str
    seed: int
    status: str
    reason: str | None = None
    refused: list[str] | None = None
    path: str | None = None
    mask_path: str | None = None
    sha256: str | None = None
    source_id: str | None = None
    driver_id: str | None = None
    params: str | None = None
    licence: str | None = None
    mask_share: float | None = None
    seam: float | None = None
    face_found: bool | None = None
    to_target: float | None = None
    to_other: float | None = None
    transferred: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether it was made, and passed all gates."""
        return self.status == ACCEPTED


def fake_table(fakes: Sequence[Fake]) -> pa.Table:
    """Fakes as a table with `SCHEMA`."""
    return pa.Table.from_pylist([vars(fake) for fake in fakes], schema=SCHEMA)


def fakes_of(table: pa.Table) -> list[Fake]:
    """The rows of a table, in its order."""
    return [Fake(**row) for row in table.to_pylist()]


def read_accepted_fakes(path: Path, columns: Sequence[str]) -> pa.Table:
    """The accepted rows of a table of `forge`, in its order.

    Args:
        path: of the parquet file.
        columns: that are read beside those that every fake has; the others are None in `fakes_of` it.

    Raises:
        MissingError, DataError: see `read_table`.
    """
    table = read_columns(path, [name for name in SCHEMA.names if name in (*ALWAYS, *columns)])
    accepted = pc.equal(table["status"], ACCEPTED)
    return table if pc.all(accepted).as_py() else table.filter(accepted)
