"""The family `synthesis`."""

from __future__ import annotations

from manifests.families.base import FAMILIES, Family


@FAMILIES.register("synthesis")
class Synthesis(Family):
    """A face that is generated as a whole: it is made of no other, and of no target."""

    forged = False
