"""Audit `duplicates`: the same picture twice, to the byte or to the eye, above all across splits.

To the eye: 64-bit difference hashes (brightness steps along the rows of a 9 x 8 thumbnail) that are almost
equal, among images of different pairs, confirmed by the correlation of 16 x 16 grey thumbnails: aligned faces
share hashes without being the same picture. A fake resembles its own target, so images of one pair are never
compared.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image as PilImage
from pydantic import Field

from manifests.audit.base import AUDITS, AuditResult
from manifests.containment import inside
from manifests.images import Image, read_image
from manifests.registry import Params


class DuplicateParams(Params):
    """`max_distance`: bits in which the hashes of near duplicates differ at most; `min_correlation` of their
    thumbnails.

    The most alike two different faces of the demo correlate at 0.979; darker, re-encoded copies at 0.998 and
    above.
    """

    max_distance: int = Field(4, ge=0, le=16)
    min_correlation: float = Field(0.99, ge=0.5, le=1)


def difference_hash(image: Image) -> npt.NDArray[np.bool_]:
    """Bool [64]: whether each of 8 x 8 grey values of a 9 x 8 thumbnail is darker than its right
    neighbour.
    """
    small = PilImage.fromarray(image).convert("L").resize((9, 8), PilImage.Resampling.LANCZOS)
    grey = np.asarray(small, np.int16)
    return np.asarray(grey[:, 1:] > grey[:, :-1]).reshape(-1)


def thumbnail(image: Image) -> npt.NDArray[np.float64]:
    """float64 [256]: the grey 16 x 16 thumbnail with mean 0 and norm 1, so that products are correlations."""
    small = PilImage.fromarray(image).convert("L").resize((16, 16), PilImage.Resampling.BOX)
    grey = np.asarray(small, np.float64).reshape(-1)
    grey = grey - grey.mean()
    return np.asarray(grey / max(float(np.linalg.norm(grey)), 1e-9))


def near_pairs(hashes: npt.NDArray[np.bool_], limit: int, chunk: int = 1024) -> list[tuple[int, int]]:
    """Index pairs (i < j) whose hashes [N, 64] differ in at most `limit` bits."""
    signs = hashes.astype(np.float32) * 2 - 1
    out: list[tuple[int, int]] = []
    for start in range(0, len(signs), chunk):
        close = signs[start : start + chunk] @ signs.T >= 64 - 2 * limit - 0.5
        for i, j in zip(*np.nonzero(close), strict=True):
            if start + i < j:
                out.append((start + int(i), int(j)))
    return out


def near_copies(
    hashes: npt.NDArray[np.bool_],
    thumbnails: npt.NDArray[np.floating],
    limits: DuplicateParams,
) -> list[tuple[int, int]]:
    """Index pairs (i < j) of pictures that are the same to the eye.

    Args:
        hashes: bool [N, 64], of `difference_hash`.
        thumbnails: float [N, 256], of `thumbnail`.
        limits: what counts as the same.
    """
    if not len(hashes):
        return []
    close = near_pairs(hashes, limits.max_distance)
    return [(i, j) for i, j in close if float(thumbnails[i] @ thumbnails[j]) >= limits.min_correlation]


@AUDITS.register("duplicates", family="integrity", params=DuplicateParams)
class DuplicateAudit:
    """Exact and perceptual duplicates; across splits they fail the audit, inside one they are counted."""

    def __init__(self, params: DuplicateParams) -> None:
        self.params = params

    def run(self, table: pa.Table, folder: Path, seed: int) -> AuditResult:
        rows = table.select(["image_id", "path", "sha256", "split", "pair_id", "label"]).to_pylist()
        exact = self._exact(rows)
        real = [row for row in rows if row["label"] == 0]
        near = [
            (real[i], real[j])
            for i, j in self._near(real, folder)
            if real[i]["pair_id"] is None or real[i]["pair_id"] != real[j]["pair_id"]
        ]
        findings = []
        figures: dict[str, Any] = {"images": len(rows), "real_images_hashed": len(real)}
        for kind, found in (("exact", exact), ("near", near)):
            across = [(a, b) for a, b in found if a["split"] != b["split"]]
            figures |= {f"{kind}_pairs": len(found), f"{kind}_pairs_across_splits": len(across)}
            if across:
                a, b = across[0]
                findings.append(
                    f"{len(across)} {kind} duplicates across splits, e.g. {a['image_id']} ({a['split']}) "
                    f"and {b['image_id']} ({b['split']})"
                )
        return AuditResult(name="duplicates", passed=not findings, findings=tuple(findings), figures=figures)

    def _near(self, real: list[dict[str, Any]], folder: Path) -> list[tuple[int, int]]:
        if not real:
            return []
        images = [read_image(inside(folder, row["path"])) for row in real]
        candidates = near_pairs(
            np.stack([difference_hash(image) for image in images]), self.params.max_distance
        )
        small = {i: thumbnail(images[i]) for pair in candidates for i in pair}
        return [(i, j) for i, j in candidates if float(small[i] @ small[j]) >= self.params.min_correlation]

    def _exact(self, rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        by_digest: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            if row["sha256"]:
                by_digest[row["sha256"]].append(row)
        return [(same[0], other) for same in by_digest.values() for other in same[1:]]
