"""Whether a fitted cell model belongs to a generator and a taxonomy: latents of another one's cells are faces
of no cell, or of one that is cut otherwise.
"""

from __future__ import annotations

from generators.cells.model import CellModel
from manifests.errors import UsageError


def check_fitted_to(cells: CellModel, named: str, generator_sha256: str) -> None:
    """Refuse cells that were fitted to another generator; those that do not say to which pass.

    Args:
        cells: the model.
        named: where the user named it, for the message.
        generator_sha256: digest of the generator that is to draw from it, hex.

    Raises:
        UsageError: it was fitted to another.
    """
    if cells.generator_sha256 in ("", generator_sha256):
        return
    raise UsageError(
        named,
        f"was fitted to another generator (sha256 {cells.generator_sha256[:12]}, not"
        f" {generator_sha256[:12]})",
        "name that generator, or fit the cells of this one: fairforge fit-cells; with sample.cell_model empty"
        " a run fits its own",
    )


def check_taxonomy(cells: CellModel, named: str, taxonomy: str) -> None:
    """Refuse cells of another taxonomy: `White` of `fairface4` and of `fairface7` are not the same people.

    Args:
        cells: the model.
        named: where the user named it, for the message.
        taxonomy: whose cells are wanted, its name.

    Raises:
        UsageError: it has those of another.
    """
    if cells.taxonomy == taxonomy:
        return
    raise UsageError(
        named,
        f"has cells of {cells.taxonomy}, and dataset.taxonomy is {taxonomy}",
        f"take {cells.taxonomy}, or cells that were fitted to {taxonomy}; with sample.cell_model empty a run"
        " fits its own",
    )
