"""The family `swap`."""

from __future__ import annotations

from manifests.families.base import FAMILIES, Family


@FAMILIES.register("swap")
class Swap(Family):
    """Another's identity on the target's face: the source's must have arrived."""

    second = ("source",)
    identity = "moved"
    age_kept = False
