"""Whether a fitted cell model belongs to a generator: latents of another one's cells are faces of no cell."""

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
        "name that generator, or fit the cells of this one: fairforge fit-cells",
    )
