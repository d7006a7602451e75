"""Stable ids: hashes of what an image is (run seed, stage, cell, index), never of what it shows."""

from __future__ import annotations

from manifests.seeding import seed_of


def stable_id(run_seed: int, *parts: str | int) -> str:
    """16 hexadecimal digits; the same parts give the same id."""
    return f"{seed_of(run_seed, 'id', *parts):016x}"


def image_path(folder: str, image_id: str, suffix: str) -> str:
    """`folder/ab/<image_id><suffix>`: at most 256 sub-folders, none of which tells real from fake."""
    return f"{folder}/{image_id[:2]}/{image_id}{suffix}"
