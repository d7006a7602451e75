"""The family `edit`."""

from __future__ import annotations

from manifests.families.base import FAMILIES, Family


@FAMILIES.register("edit")
class Edit(Family):
    """One thing about the target's face changed, such as its age."""

    age_kept = False
