"""Whether files are compared with the digests that their rows have when they are read: none, some or all of
them.

Reading a picture costs many times what hashing it does, so that everything whose result counts compares all.
"""

from __future__ import annotations

from typing import Literal

Digests = Literal["none", "sampled", "whole"]
"""Which files are compared with their digests."""
FIRST = "0"
"""How a digest begins whose file is compared where only some are: one in 16, the same ones each time."""


def compared(sha256: str | None, how: Digests) -> str | None:
    """The digest that a file is to be compared with; None where it is not.

    Args:
        sha256: of the file by its row, hex; None where the row has none.
        how: which files are compared.
    """
    if how == "none" or sha256 is None:
        return None
    return sha256 if how == "whole" or sha256.startswith(FIRST) else None
