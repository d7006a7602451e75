"""Scores of frames as scores of videos: the mean over a video's frames, so that a long video weighs as much
as a short one.

The key is dataset + method + label + name: in FaceForensics++ four fakes share the bare name `000_003`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.stages.evaluate.scores import Scores


def _most(values: Sequence[str | None]) -> str | None:
    """The value most frames have (the first in the alphabet of several); None where none has one."""
    counts = Counter(value for value in values if value is not None)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


def by_video(scores: Scores) -> Scores | None:
    """One row per video; a row without a video stands for itself. None where no row has a video.

    The score is the mean over frames; a group, identity or method is that of most frames.
    """
    if scores.videos is None:
        return None
    rows: dict[tuple[str, int, str], list[int]] = {}
    methods = scores.methods or [None] * len(scores)
    for k, (video, label, method) in enumerate(
        zip(scores.videos, scores.label.tolist(), methods, strict=True)
    ):
        key = (method or "", label, f"video {video}" if video is not None else f"row {scores.keys[k]}")
        rows.setdefault(key, []).append(k)
    own = list(rows.values())

    def most(values: Sequence[str | None]) -> list[str | None]:
        return [_most([values[k] for k in group]) for group in own]

    first = [group[0] for group in own]
    return Scores.of(
        scores.name,
        [scores.keys[k] for k in first],
        scores.label[first],
        [scores.score[group].mean() for group in own],
        {kind: most(values) for kind, values in scores.groups.items()},
        [scores.paths[k] for k in first],
        warnings=scores.warnings,
        keyed=scores.keyed,
        cluster=most(scores.clusters) if scores.clusters is not None else None,
        method=most(methods) if scores.methods is not None else None,
        video=[scores.videos[k] for k in first],
    )
