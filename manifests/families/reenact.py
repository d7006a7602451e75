"""The family `reenact`."""

from __future__ import annotations

from manifests.families.base import FAMILIES, Family


@FAMILIES.register("reenact")
class Reenact(Family):
    """Another's motion on the target's face: the target's identity is kept, the driver's motion arrives."""

    second = ("driver",)
    identity = "kept"
    motion = True
