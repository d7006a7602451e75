"""Audit `duplicates`: the same picture twice, to the byte or to the eye, above all across splits.

To the eye: 64-bit difference hashes (brightness steps along the rows of a 9 x 8 thumbnail) that are almost
equal, among images of different pairs, confirmed by the correlation of 16 x 16 grey thumbnails: aligned faces
share hashes without being the same picture. A fake resembles its own target, so images of one pair are never
compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image as PilImage
from pydantic import Field

from manifests.audit.base import AUDITS, AuditResult
from manifests.columns import counted
from manifests.containment import inside
from manifests.images import Image, read_image
from manifests.registry import Params
from manifests.watching import watched

Row = dict[str, Any]
KEPT = ("image_id", "split", "pair_id")
"""What is said of a duplicate."""
ALL_PAIRS = 1_000
"""Hashes of which all pairs are compared; of more, those that share parts."""
BITS = np.array([byte.bit_count() for byte in range(256)], np.uint8)
MOST_LOOKED_UP = 6
"""Bits up to which the parts are few and long enough to look hashes up by them."""


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


def near_pairs(
    hashes: npt.NDArray[np.bool_], limit: int, chunk: int = 1024, most: int = ALL_PAIRS
) -> list[tuple[int, int]]:
    """Index pairs (i < j) whose hashes [N, 64] differ in at most `limit` bits: all of them, in order.

    Up to `most` hashes are compared with each other. More are looked up: of 2 x limit parts of a hash (at
    least limit + 3) two that differ in `limit` bits have all but `limit` parts in common, so that only hashes
    that share as many are compared. That is as good, and takes the time of sorting N words.
    """
    if len(hashes) > most and 0 < limit <= MOST_LOOKED_UP:
        return _looked_up(np.packbits(hashes, axis=1).view(np.uint64).ravel(), limit)
    signs = hashes.astype(np.float32) * 2 - 1
    out: list[tuple[int, int]] = []
    for start in range(0, len(signs), chunk):
        close = signs[start : start + chunk] @ signs.T >= 64 - 2 * limit - 0.5
        for i, j in zip(*np.nonzero(close), strict=True):
            if start + i < j:
                out.append((start + int(i), int(j)))
    return out


def _looked_up(words: npt.NDArray[np.uint64], limit: int) -> list[tuple[int, int]]:
    """`near_pairs` of hashes as 64-bit words. Equal ones, such as the frames of a still clip, are looked up
    once.
    """
    different, which = np.unique(words, return_inverse=True)
    order = np.argsort(which, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(which, minlength=len(different)))])

    def having(word: int) -> list[int]:
        return list(order[ends[word] : ends[word + 1]].tolist())

    found: list[tuple[int, int]] = []
    for word in np.flatnonzero(np.diff(ends) > 1).tolist():
        found += combinations(having(word), 2)
    for left, right in _near_words(different, limit):
        found += [(min(i, j), max(i, j)) for i in having(left) for j in having(right)]
    return sorted(found)


def _near_words(words: npt.NDArray[np.uint64], limit: int) -> Iterator[tuple[int, int]]:
    """Pairs of different words that differ in at most `limit` bits, each once, by the parts that near ones
    must have in common.
    """
    parts = max(2 * limit, limit + 3)
    edges = [64 * k // parts for k in range(parts + 1)]
    masks = [((1 << (b - a)) - 1) << a for a, b in pairwise(edges)]
    for chosen in combinations(range(parts), parts - limit):
        same = words & np.uint64(sum(masks[k] for k in chosen))
        order = np.argsort(same)
        same = same[order]
        before = [np.uint64(masks[k]) for k in range(chosen[-1]) if k not in chosen]
        start, shift = np.arange(len(same)), 0
        while len(start):  # of a run of equal keys each is compared with the next, the next but one, ...
            shift += 1
            start = start[start + shift < len(same)]
            start = start[same[start] == same[start + shift]]
            left, right = order[start], order[start + shift]
            apart = words[left] ^ words[right]
            near = BITS[apart.view(np.uint8).reshape(-1, 8)].sum(1, dtype=np.int64) <= limit
            for mask in before:  # with a part in common before the last one chosen it comes with others
                near &= (apart & mask) != 0
            yield from zip(left[near].tolist(), right[near].tolist(), strict=True)


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
        real = table.filter(pc.equal(table["label"], 0)).select([*KEPT, "path"]).to_pylist()
        exact = self._exact(table)
        near = [
            (real[i], real[j])
            for i, j in self._near(real, folder)
            if real[i]["pair_id"] is None or real[i]["pair_id"] != real[j]["pair_id"]
        ]
        findings = []
        figures: dict[str, Any] = {"images": table.num_rows, "real_images_hashed": len(real)}
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
        hashes = np.empty((len(real), 64), np.bool_)
        thumbnails = np.empty((len(real), 256), np.float64)
        for k, row in enumerate(watched(real, "hashes", "pictures")):
            image = read_image(inside(folder, row["path"]))
            hashes[k], thumbnails[k] = difference_hash(image), thumbnail(image)
        return near_copies(hashes, thumbnails, self.params)

    def _exact(self, table: pa.Table) -> list[tuple[Row, Row]]:
        known = table.select([*KEPT, "sha256"]).filter(pc.is_valid(table["sha256"]))
        if not known.num_rows:
            return []
        twice = [sha256 for sha256, count in counted(known["sha256"]).items() if count > 1]
        by_digest: dict[str, list[Row]] = {sha256: [] for sha256 in twice}
        for row in known.filter(
            pc.is_in(known["sha256"], value_set=pa.array(twice, pa.string()))
        ).to_pylist():
            by_digest[row["sha256"]].append(row)
        return [(same[0], other) for same in by_digest.values() for other in same[1:]]
