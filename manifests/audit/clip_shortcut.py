"""Audit `clip-shortcut`: can silence, duration, bit rate or codec alone tell real clips from fake ones? And
the cell?

The questions and judges are those of the audit `shortcut`; folds share no pair, nor, where there are no
pairs, a person. Questions on `file` and `sound` features gate, those on `content` (loudness) when `strict`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manifests.audit.base import AUDITS
from manifests.audit.clip_features import (
    CLIP_CONTENT_FEATURES,
    CLIP_FEATURES,
    CLIP_FILE_FEATURES,
    CLIP_SOUND_FEATURES,
    Floats,
    clip_matrix,
)
from manifests.audit.shortcut import ShortcutAudit, ShortcutParams


@AUDITS.register(
    "clip-shortcut",
    family="shortcut",
    params=ShortcutParams,
    media="video",
    paper="Smeu et al., CVPR 2025 (arXiv 2412.00175)",
)
class ClipShortcutAudit(ShortcutAudit):
    """Cheap classifiers on silence, duration, rates and codecs of clips, for real/fake and for the cell."""

    name = "clip-shortcut"
    unit = "clips"
    features = CLIP_FEATURES
    kinds: Mapping[str, tuple[str, ...]] = {
        "file": CLIP_FILE_FEATURES,
        "sound": CLIP_SOUND_FEATURES,
        "content": CLIP_CONTENT_FEATURES,
    }
    loose = ("content",)
    columns = ("image_id", "path", "audio_path", "label", "method", "cell", "pair_id", "identity_id")

    def group_of(self, row: Mapping[str, Any]) -> str:
        return str(row["pair_id"] or row["identity_id"] or row["image_id"])

    def matrix(self, rows: Sequence[Mapping[str, Any]], folder: Path) -> Floats:
        return clip_matrix(rows, folder)
