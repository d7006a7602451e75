"""Scores of one dataset as one table: a row per image (or video), columns checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.columns import texts_of

Texts = list[str | None]
Text: TypeAlias = "pa.Array | pa.ChunkedArray"
"""A column of `pa.string()`."""
NEEDED = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("label", pa.int64(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
    ]
)
"""Columns of every table: `label` 0 or 1; `path` empty where it is not known."""
OPTIONAL = ("cluster", "method", "set", "video")
"""Columns of text that a table has where any row has a value: `identity_id` or `video_id`, `method`,
`counterfactual_id`, `video_id`.
"""
GROUP = "group:"
"""Begins the name of a column of groups: `group:race`."""


@dataclass(frozen=True)
class Scores:
    """Usable rows of one dataset.

    Args:
        name: of the dataset.
        table: the columns of `NEEDED`, of `OPTIONAL` and of groups.
        warnings: what was left out or looks wrong, in words.
        keyed: whether keys come from the file; else they are the rows' numbers.

    Raises:
        ValueError: a column is missing, of another type, or not known.
    """

    name: str
    table: pa.Table
    warnings: tuple[str, ...] = ()
    keyed: bool = True

    def __post_init__(self) -> None:
        schema = self.table.schema
        for field in NEEDED:
            if field.name not in schema.names or schema.field(field.name).type != field.type:
                raise ValueError(f"scores need a column {field.name} of {field.type}")
            if self.table.column(field.name).null_count:
                raise ValueError(f"scores have a row without {field.name}")
        for field in schema:
            known = field.name in OPTIONAL or field.name.startswith(GROUP)
            if field.name not in NEEDED.names and not (known and field.type == pa.string()):
                raise ValueError(f"scores have no column {field.name} of {field.type}")

    @classmethod
    def of(
        cls,
        name: str,
        keys: Sequence[str],
        label: npt.ArrayLike,
        score: npt.ArrayLike,
        groups: Mapping[str, Sequence[str | None]],
        paths: Sequence[str],
        *,
        warnings: tuple[str, ...] = (),
        keyed: bool = True,
        **optional: Sequence[str | None] | None,
    ) -> Scores:
        """Scores out of columns of equal length.

        Args:
            name: of the dataset.
            keys: of the rows, unique.
            label: int [N], 0 or 1.
            score: float [N].
            groups: of each row, by kind; None where it is not known.
            paths: of the images, empty where they are not known.
            warnings: see `Scores`.
            keyed: see `Scores`.
            optional: columns of `OPTIONAL`; None, or without a value: there is none.
        """
        return cls.of_columns(
            name,
            pa.array(keys, pa.string()),
            label,
            score,
            {kind: pa.array(values, pa.string()) for kind, values in groups.items()},
            pa.array(paths, pa.string()),
            warnings=warnings,
            keyed=keyed,
            **{
                column: None if values is None else pa.array(values, pa.string())
                for column, values in optional.items()
            },
        )

    @classmethod
    def of_columns(
        cls,
        name: str,
        keys: Text,
        label: npt.ArrayLike,
        score: npt.ArrayLike,
        groups: Mapping[str, Text],
        paths: Text,
        *,
        warnings: tuple[str, ...] = (),
        keyed: bool = True,
        **optional: Text | None,
    ) -> Scores:
        """`of` with columns of text that are Arrow's."""
        texts = {
            column: values
            for column, values in optional.items()
            if values is not None and values.null_count < len(values)
        }
        texts |= {f"{GROUP}{kind}": values for kind, values in groups.items()}
        numbers = pa.array(np.asarray(label, np.int64)), pa.array(np.asarray(score, np.float64))
        columns = dict(zip(NEEDED.names, (keys, *numbers, paths), strict=True)) | texts
        return cls(name, pa.table(columns), warnings, keyed)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def _texts(self, column: str) -> Texts | None:
        return texts_of(self.table.column(column)) if column in self.table.column_names else None

    @cached_property
    def keys(self) -> list[str]:
        """Of the rows."""
        found: list[str] = self.table.column("key").to_pylist()
        return found

    @cached_property
    def label(self) -> npt.NDArray[np.int64]:
        """int64 [N]: 1 for fakes."""
        return np.asarray(self.table.column("label").to_numpy(), np.int64)

    @cached_property
    def score(self) -> npt.NDArray[np.float64]:
        """float64 [N]."""
        return np.asarray(self.table.column("score").to_numpy(), np.float64)

    @cached_property
    def paths(self) -> list[str]:
        """Of the images, empty where they are not known."""
        found: list[str] = self.table.column("path").to_pylist()
        return found

    @cached_property
    def groups(self) -> dict[str, Texts]:
        """Of each row, by kind."""
        names = [name for name in self.table.column_names if name.startswith(GROUP)]
        return {name.removeprefix(GROUP): texts_of(self.table.column(name)) for name in names}

    @cached_property
    def clusters(self) -> Texts | None:
        """The unit of the bootstrap of each row: its identity, else its video; None where none is known."""
        return self._texts("cluster")

    @cached_property
    def methods(self) -> Texts | None:
        """Of each row; None where none is known."""
        return self._texts("method")

    @cached_property
    def sets(self) -> Texts | None:
        """The counterfactual set of each row; None where none is known."""
        return self._texts("set")

    @cached_property
    def videos(self) -> Texts | None:
        """Of each row; None where none is known."""
        return self._texts("video")

    def taken(self, rows: Sequence[int]) -> Scores:
        """These rows, in this order."""
        return replace(self, table=self.table.take(pa.array(rows, pa.int64())))

    def with_score(self, score: npt.ArrayLike) -> Scores:
        """The same rows with other scores, float [N]."""
        at = self.table.column_names.index("score")
        values = pa.array(np.asarray(score, np.float64))
        return replace(self, table=self.table.set_column(at, NEEDED.field("score"), values))
