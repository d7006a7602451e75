"""Families of forgeries by name: a file each, with what its fakes must show and what they need."""

from manifests.families.base import FAMILIES, Family, family_names, family_of

__all__ = ["FAMILIES", "Family", "family_names", "family_of"]
