"""The family `blend`."""

from __future__ import annotations

from manifests.families.base import FAMILIES, Family


@FAMILIES.register("blend")
class Blend(Family):
    """A face blended onto the target's, another's that is like it or its own, changed."""

    second = ("source", "none")
