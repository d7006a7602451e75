"""What a family of forgeries is: whose identity and age a fake shows, what its gates ask, who gives what.

@FAMILIES.register("swap")
class Swap(Family):
second = ("source",)
identity = "moved"
"""

from __future__ import annotations

from typing import Literal

from manifests.registry import Params, Registry

Second = Literal["source", "driver", "none"]
ORDER = ("swap", "reenact", "blend", "edit", "synthesis")
"""Families that detectors with a head for the family already know, in the order of its classes."""


class Family:
    """One family.

    second: which second faces its methods may use. identity: `moved` where a fake must be nearer the source
    than the target, `kept` where it must stay near the target, `free` where nothing is asked. motion: whether
    the driver's motion must arrive. age_kept: whether the target's perceived age holds for the fake too.
    forged: whether a fake is made of a real face, and stands in that face's pair.
    """

    second: tuple[Second, ...] = ("none",)
    identity: Literal["moved", "kept", "free"] = "free"
    motion: bool = False
    age_kept: bool = True
    forged: bool = True

    def __init__(self, params: Params) -> None:
        self.params = params

    @property
    def compared(self) -> bool:
        """Whether the gates compare identities at all."""
        return self.identity != "free"


FAMILIES: Registry[Family] = Registry("families", "manifests.families")


def family_of(name: str) -> Family:
    """The family of a name.

    Args:
        name: of the column `family`.

    Raises:
        UsageError: no such family.
    """
    return FAMILIES.create(name)


def family_names() -> tuple[str, ...]:
    """What the column `family` may hold: `none` for real images, the families, `unknown` for others'
    fakes.
    """
    names = FAMILIES.names()
    return ("none", *ORDER, *(name for name in names if name not in ORDER), "unknown")
