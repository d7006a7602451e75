"""Labels against the words in file names: a set whose labels are swapped says so, before anybody trains on
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

REAL = frozenset(
    ("real", "original", "originals", "nature", "pristine", "genuine", "authentic", "youtube", "actors")
)
FAKE = frozenset(
    (
        "fake",
        "fakes",
        "manipulated",
        "synthesis",
        "synthetic",
        "generated",
        "deepfakes",
        "faceswap",
        "face2face",
        "neuraltextures",
        "faceshifter",
        "ai",
        "df",
        "f2f",
    )
)
LEAST = 5
WORD = re.compile("[a-z0-9]+")


def hint(path: str) -> int | None:
    """0 or 1 where the words of a path say real or fake, None where they say neither or both."""
    words = WORD.findall(path.lower())
    real, fake = not REAL.isdisjoint(words), not FAKE.isdisjoint(words)
    return None if real == fake else int(fake)


def swapped_labels(labels: Iterable[int], paths: Iterable[str]) -> list[str]:
    """A warning where most labels contradict their file names (at least 5 that say something); else
    nothing.
    """
    told = [
        (int(label), said, path)
        for label, path in zip(labels, paths, strict=True)
        if (said := hint(path)) is not None
    ]
    wrong = [(label, path) for label, said, path in told if label != said]
    if len(told) < LEAST or len(wrong) <= len(told) / 2:
        return []
    label, path = wrong[0]
    return [
        f"labels contradict the names of {len(wrong)} of {len(told)} files (e.g. {path} is labelled {label}):"
        " are they swapped? 1 is fake"
    ]
