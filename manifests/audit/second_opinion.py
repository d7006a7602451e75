"""Audit `cleanvision`: somebody else's program on duplicates, blur and darkness, beside our own figures.

CleanVision (`fairforge[cleanvision]`) looks at every image of a manifest: too dark or light, blurred, odd in
size, grey, nearly empty, the same picture twice. Its limits were set for photographs of all things, so a
share of blurred 64 px faces is no fault by itself; that one cell, or fakes alone, have it is worth knowing.
The same picture in two splits fails the audit, as it does ours.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image as PilImage
from pydantic import Field
from scipy.stats import spearmanr

from manifests.audit.base import AUDITS, AuditResult
from manifests.audit.duplicates import DuplicateParams, difference_hash, near_copies, thumbnail
from manifests.audit.features import PIXEL_FEATURES, pixel_features
from manifests.containment import inside
from manifests.images import Image, read_image
from manifests.registry import Need, Params
from manifests.watching import watched

COPIES = ("exact_duplicates", "near_duplicates")
COMPARED = {"blurry": "sharpness", "dark": "brightness"}
"""What CleanVision scores, and the feature of our own (`manifests.audit.features`) that sees the same."""


class SecondOpinionParams(Params):
    """`max_share`: the share of a cell's images of one label above which an issue is a finding; `strict`: it
    fails the audit.
    """

    max_share: float = Field(0.10, ge=0, le=1)
    strict: bool = False


class Pictures:
    """What CleanVision takes for a dataset: `features`, a length, and `{"image": a picture}` by number."""

    features: Mapping[str, None] = {"image": None}

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> dict[str, PilImage.Image]:
        return {"image": PilImage.fromarray(read_image(self.paths[number]))}


@AUDITS.register(
    "cleanvision",
    family="integrity",
    params=SecondOpinionParams,
    needs=(Need("cleanvision", "cleanvision"),),
    paper="https://github.com/cleanlab/cleanvision",
)
class SecondOpinionAudit:
    """CleanVision on duplicates, blur and darkness, per cell and label, beside our own figures."""

    def __init__(self, params: SecondOpinionParams) -> None:
        self.params = params

    def run(self, table: pa.Table, folder: Path, seed: int) -> AuditResult:
        rows = table.select(["image_id", "path", "split", "pair_id", "label", "cell"]).to_pylist()
        if not rows:
            return AuditResult(name="cleanvision", passed=True, figures={"images": 0})
        paths = [inside(folder, row["path"]) for row in rows]
        own = [self._own(read_image(path)) for path in watched(paths, "cleanvision", "pictures")]
        lab = importlib.import_module("cleanvision").Imagelab(hf_dataset=Pictures(paths), image_key="image")
        with contextlib.redirect_stderr(io.StringIO()):
            lab.find_issues(n_jobs=1, verbose=False)
        copies = {kind: self._pairs(rows, lab.info[kind]["sets"]) for kind in COPIES}
        issues = {
            kind: np.asarray(lab.issues[f"is_{kind}_issue"], bool)
            for kind in sorted(str(name) for name in lab.issue_summary["issue_type"])
            if kind not in COPIES
        }
        shares = {kind: self._shares(rows, has) for kind, has in issues.items()}
        across = [
            f"{len(found)} {kind.replace('_', ' ')} across splits, e.g. {rows[found[0][0]]['image_id']}"
            f" ({rows[found[0][0]]['split']}) and {rows[found[0][1]]['image_id']}"
            f" ({rows[found[0][1]]['split']})"
            for kind, pairs in copies.items()
            if (found := [(i, j) for i, j in pairs if rows[i]["split"] != rows[j]["split"]])
        ]
        uneven = [
            f"{kind.replace('_', ' ')}: {one['found']} of {one['images']} {group} images"
            for kind, groups in shares.items()
            for group, one in groups.items()
            if one["found"] > self.params.max_share * one["images"]
        ]
        figures = {
            "images": len(rows),
            "version": str(lab.cleanvision_version),
            "max_share": self.params.max_share,
            "issues": {
                kind: {"images": int(has.sum()), "by_cell": shares[kind]} for kind, has in issues.items()
            },
            "duplicates": {
                kind: {
                    "pairs": len(pairs),
                    "across_splits": sum(rows[i]["split"] != rows[j]["split"] for i, j in pairs),
                }
                for kind, pairs in copies.items()
            },
            "compared": self._compared(rows, own, lab.issues, copies),
        }
        passed = not across and not (uneven and self.params.strict)
        return AuditResult(name="cleanvision", passed=passed, findings=(*across, *uneven), figures=figures)

    @staticmethod
    def _own(image: Image) -> tuple[Any, Any, list[float]]:
        return difference_hash(image), thumbnail(image), pixel_features(image)

    @staticmethod
    def _pairs(rows: Sequence[Mapping[str, Any]], sets: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
        """Two and two of each set of like pictures, but not two of one pair: a fake resembles its target."""
        return [
            (i, j)
            for one in sets
            for i, j in combinations(sorted(int(k) for k in one), 2)
            if rows[i]["pair_id"] is None or rows[i]["pair_id"] != rows[j]["pair_id"]
        ]

    @staticmethod
    def _shares(rows: Sequence[Mapping[str, Any]], has: Any) -> dict[str, dict[str, int]]:
        out: dict[str, dict[str, int]] = {}
        for row, one in zip(rows, has, strict=True):
            group = out.setdefault(
                f"{row['cell'] or 'any cell'} {'fake' if row['label'] else 'real'}", {"images": 0, "found": 0}
            )
            group["images"] += 1
            group["found"] += int(one)
        return dict(sorted(out.items()))

    @staticmethod
    def _compared(
        rows: Sequence[Mapping[str, Any]],
        own: Sequence[tuple[Any, Any, list[float]]],
        issues: Any,
        copies: Mapping[str, Sequence[tuple[int, int]]],
    ) -> dict[str, Any]:
        """Near pairs of real images that we, they and both find; rank correlations of their scores with our
        features.
        """
        real = [k for k, row in enumerate(rows) if row["label"] == 0]
        theirs = {
            pair for pairs in copies.values() for pair in pairs if all(rows[k]["label"] == 0 for k in pair)
        }
        near: set[tuple[int, int]] = set()
        if real:
            found = near_copies(
                np.stack([own[k][0] for k in real]), np.stack([own[k][1] for k in real]), DuplicateParams()
            )
            near = set(SecondOpinionAudit._pairs(rows, [(real[i], real[j]) for i, j in found]))
        out: dict[str, Any] = {
            "near_pairs_of_real_images": {
                "ours": len(near),
                "cleanvision": len(theirs),
                "both": len(near & theirs),
            }
        }
        for kind, feature in COMPARED.items():
            mine = np.array([one[2][PIXEL_FEATURES.index(feature)] for one in own])
            score = np.asarray(issues[f"{kind}_score"], float)
            flat = np.ptp(mine) == 0 or np.ptp(score) == 0
            out[f"{kind}_score_and_{feature}"] = (
                None if flat else round(float(spearmanr(mine, score).statistic), 4)
            )
        return out
