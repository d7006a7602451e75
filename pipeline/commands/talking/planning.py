"""Who speaks: faces of a run that suit it, as many per cell and split, and whose sound or face their fakes
take.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.forgeries.shape_model import MEASURES, measure, shape_model
from manifests.errors import GateError
from manifests.mesh148 import INDICES
from manifests.schema import SYNTHETIC
from manifests.seeding import seed_of

WIDE_OPEN = 0.34
"""Height of the inside of a mouth, eye distances, beyond which lips cannot be made to meet."""
TURNED = 0.32
"""Sideways offset of the nose, eye distances, beyond which a face looks away."""
PARTNERS = 4
"""Faces that a swap may take, nearest in pose first."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Planned:
    """items: `face`, `voice` and `faces` of each identity. skipped: (image_id, reason). short: `split cell`
    -> how many lack.
    """

    items: list[Row]
    skipped: list[tuple[str, str]]
    short: dict[str, int]


def measures_of(row: Row) -> npt.NDArray[np.float64]:
    """Pose and expression of a face by its landmarks, see `shape_model.MEASURES`: float64 [9]."""
    points = np.asarray(row["landmarks"], np.float32).reshape(-1, 2)
    out: npt.NDArray[np.float64] = measure(shape_model().normalise(points)[0])
    return out


def unsuited(row: Row) -> str | None:
    """Why a face cannot speak, or may not, as those of people; None where it can."""
    if row["origin"] != SYNTHETIC:
        return "photograph"
    points = row["landmarks"]
    if points is None or len(points) != 2 * len(INDICES) or not np.isfinite(np.asarray(points, float)).all():
        return "no_landmarks"
    values = dict(zip(MEASURES, measures_of(row).tolist(), strict=True))
    if abs(values["yaw"]) > TURNED:
        return "turned_away"
    return "wide_open_mouth" if values["mouth_open"] > WIDE_OPEN else None


def _order(row: Row, seed: int) -> tuple[float, int]:
    """Still faces first: mouths that are hardly open, noses in the middle."""
    values = dict(zip(MEASURES, measures_of(row).tolist(), strict=True))
    return round(max(values["mouth_open"], 0.0) + 0.5 * abs(values["yaw"]), 2), seed_of(
        seed, "talk", "order", row["image_id"]
    )


def plan_clips(
    faces: Sequence[Row],
    wanted: Mapping[str, Mapping[str, int]],
    seed: int,
    allow_short: bool,
) -> Planned:
    """Choose who speaks, and their partners; the same for the same faces.

    Args:
        faces: accepted ones, rows of `verify/faces.parquet`. wanted: split -> cell -> identities. seed: of
            the run.
        allow_short: whether cells may have fewer; every cell of a split then has as many as its shortest.

    Raises:
        GateError: cells are short.
    """
    skipped: list[tuple[str, str]] = []
    suited: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in faces:
        why = unsuited(row)
        if why is None:
            suited[row["split"], row["cell"]].append(row)
        else:
            skipped.append((row["image_id"], why))
    for rows in suited.values():
        rows.sort(key=lambda row: _order(row, seed))
    short = {
        f"{split} {cell}": count - len(suited[split, cell])
        for split, cells in wanted.items()
        for cell, count in cells.items()
        if len(suited[split, cell]) < count
    }
    if short and not allow_short:
        raise GateError(
            "the clips would not be balanced",
            "; ".join(f"{name} lacks {n} faces that can speak" for name, n in short.items()),
            "ask for fewer (--per-cell), raise verify.slack to have more faces, or pass --allow-short",
        )
    chosen: list[Row] = []
    for split, cells in wanted.items():
        least = min((len(suited[split, cell]) - count for cell, count in cells.items()), default=0)
        for cell, count in cells.items():
            chosen += suited[split, cell][: max(count + min(least, 0), 0)]
    items = [_with_partners(row, chosen, suited[row["split"], row["cell"]], seed) for row in chosen]
    return Planned(sorted(items, key=lambda item: str(item["face"]["image_id"])), sorted(skipped), short)


def _with_partners(face: Row, chosen: Sequence[Row], cell: Sequence[Row], seed: int) -> Row:
    """A face with whose sound it may get (another chosen one of its split and perceived gender, its own cell
    first) and whose face.
    """

    def drawn(row: Row) -> int:
        return seed_of(seed, "talk", "partner", face["image_id"], row["image_id"])

    others = [
        row
        for row in chosen
        if row["identity_id"] != face["identity_id"]
        and row["split"] == face["split"]
        and row["gender"] == face["gender"]
    ]
    voices = sorted(others, key=lambda row: (row["cell"] != face["cell"], drawn(row)))
    mine = measures_of(face)
    spread = shape_model().spread
    near = sorted(
        (row for row in cell if row["identity_id"] != face["identity_id"]),
        key=lambda row: (
            round(float(np.abs((measures_of(row) - mine) / spread)[:3].sum()), 6),
            row["image_id"],
        ),
    )
    return {"face": face, "voice": voices[0] if voices else None, "faces": near[:PARTNERS]}
