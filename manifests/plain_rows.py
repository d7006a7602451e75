"""Which rows of a manifest are plainly in order, found column by column: the checks of `manifests.schema`
look at the others one by one, which takes fifty times as long a row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.clip_columns import IMAGE, OF_CLIPS
from manifests.containment import LONGEST_NAME

_NAME = "[0-9A-Za-z_-][0-9A-Za-z._-]*"
NAME, PATH = rf"\A{_NAME}\z", rf"\A{_NAME}(/{_NAME})*\z"
"""Names and relative paths without anything that could be wrong with them: nearly all that there are."""


def plain_rows(table: pa.Table, allowed: Mapping[str, Collection[str]]) -> npt.NDArray[np.bool_]:
    """Rows of images that no check of a single row finds anything wrong with: bool [N]. Most of those left
    out have nothing wrong either, but other letters in their names, say, or are clips.

    Args:
        table: rows of a manifest with the columns and types of its schema; nulls only where it allows them.
        allowed: of columns of text that values there may be, beside null.
    """
    ids, real = table.column("image_id"), pc.equal(table.column("label"), pa.scalar(0, pa.int8()))
    fine = [
        pc.match_substring_regex(ids, NAME),
        pc.less_equal(pc.binary_length(ids), LONGEST_NAME),
        pc.is_in(table.column("label"), pa.array([0, 1], pa.int8())),
        *(pc.equal(real, pc.equal(table.column(name), "none")) for name in ("method", "family")),
    ]
    known = {**allowed, "media": (IMAGE,)}
    for name in table.column_names:
        column = table.column(name)
        if column.null_count == len(column):
            continue
        if name in OF_CLIPS:
            fine.append(pc.is_null(column))
        elif name in ("path", "mask_path"):
            fine.append(pc.fill_null(pc.match_substring_regex(column, PATH), True))
        elif name in known:
            values = pa.array(sorted(known[name]), pa.string())
            fine.append(pc.or_(pc.is_null(column), pc.is_in(column, values)))
    return np.asarray(np.logical_and.reduce([part.to_numpy() for part in fine]), bool)
