"""An index of identity embeddings: the nearest known face, exactly, without holding a distance matrix.

Embeddings lie in preallocated blocks, so adding copies nothing that is there already. A query is one float32
matrix product per block, which finds the rows that could be nearest within the product's rounding; their
distances are then computed by subtraction. The answer is therefore that of a plain loop, bit for bit, at any
block size or number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from manifests.casting import text_metadata
from manifests.errors import DataError, UsageError
from manifests.store import read_table, write_table

Embeddings = npt.NDArray[np.float32]

FORMAT = "fairforge-identities-1"
BLOCK = 4096
QUERIES = 256
_PAIRS = 1 << 15


class IdentityIndex:
    """Embeddings with their ids, compared by Euclidean distance.

    Args:
        dim: numbers per embedding.
        block: rows allocated at a time.
        model: the identity model that the embeddings come from; empty when unknown.
        model_sha256: its digest; empty when unknown.
    """

    def __init__(self, dim: int, *, block: int = BLOCK, model: str = "", model_sha256: str = "") -> None:
        if dim < 1 or block < 1:
            raise UsageError(f"dim {dim}, block {block}", "are not positive", "give 1 or more")
        self.dim = dim
        self.model = model
        self.model_sha256 = model_sha256
        self.ids: list[str] = []
        self._block = block
        self._blocks: list[Embeddings] = []
        self._squares: list[Embeddings] = []

    def __len__(self) -> int:
        return len(self.ids)

    def _checked(self, embeddings: npt.ArrayLike) -> Embeddings:
        rows = np.asarray(embeddings, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise UsageError(
                f"embeddings {list(rows.shape)}",
                f"do not fit an index of {self.dim} columns",
                "use one identity model",
            )
        if not np.isfinite(rows).all():
            raise UsageError("embeddings", "have values that are not finite", "embed the faces again")
        return rows

    def add(self, embedding: npt.ArrayLike, identity: str) -> None:
        """Add one face: float32 [dim].

        Raises:
            UsageError: another length, or values that are not finite.
        """
        row = self._checked(np.asarray(embedding, np.float32)[None])[0]
        at = len(self.ids) % self._block
        if at == 0:
            self._blocks.append(np.zeros((self._block, self.dim), np.float32))
            self._squares.append(np.zeros(self._block, np.float32))
        self._blocks[-1][at] = row
        self._squares[-1][at] = row @ row
        self.ids.append(str(identity))

    def add_many(self, embeddings: npt.ArrayLike, identities: Sequence[str]) -> None:
        """Add faces in order: float32 [N, dim], one id each; errors as `add`, and counts that differ."""
        rows = np.asarray(embeddings, np.float32)
        if len(rows) != len(identities):
            raise UsageError(
                f"{len(rows)} embeddings", f"came with {len(identities)} ids", "give one per face"
            )
        for row, identity in zip(rows, identities, strict=True):
            self.add(row, identity)

    def nearest(self, embedding: npt.ArrayLike) -> tuple[float, str | None]:
        """`(distance, id)` of the nearest face, the one added first among equals; `(inf, None)` when empty.

        Args:
            embedding: float32 [dim].

        Raises:
            UsageError: another length, or values that are not finite.
        """
        distances, positions = self.nearest_many(np.asarray(embedding, np.float32)[None])
        at = int(positions[0])
        return float(distances[0]), None if at < 0 else self.ids[at]

    def nearest_many(self, embeddings: npt.ArrayLike) -> tuple[Embeddings, npt.NDArray[np.int64]]:
        """Nearest faces of many embeddings.

        Args:
            embeddings: float32 [N, dim].

        Returns:
            distances float32 [N] and positions int64 [N] (into `ids`); inf and -1 when the index is empty.

        Raises:
            UsageError: another shape, or values that are not finite.
        """
        queries = self._checked(embeddings)
        distances = np.full(len(queries), np.inf, np.float32)
        positions = np.full(len(queries), -1, np.int64)
        for start in range(0, len(queries), QUERIES):
            part = slice(start, start + QUERIES)
            for number in range(len(self._blocks)):
                self._search(number, queries[part], distances[part], positions[part])
        return distances, positions

    def _search(
        self, number: int, queries: Embeddings, best: Embeddings, positions: npt.NDArray[np.int64]
    ) -> None:
        """Lower `best` and `positions` (in place) where a row of block `number` is nearer."""
        used = min(self._block, len(self.ids) - number * self._block)
        rows, squares = self._blocks[number][:used], self._squares[number][:used]
        own = np.einsum("ij,ij->i", queries, queries)
        rough = queries @ rows.T
        rough *= -2
        rough += squares
        rough += own[:, None]
        # Twice the rounding of a product of `dim` terms (Higham, Accuracy and stability of numerical
        # algorithms, 3.5).
        margin = 4 * (self.dim + 4) * np.finfo(np.float32).eps * (own + squares.max())
        least = np.minimum(rough.min(axis=1), best**2)
        which, where = np.nonzero(rough <= (least + margin)[:, None])
        for start in range(0, len(which), _PAIRS):
            pair = slice(start, start + _PAIRS)
            exact = np.linalg.norm(rows[where[pair]] - queries[which[pair]], axis=1)
            order = np.lexsort((where[pair], exact, which[pair]))
            query, first = np.unique(which[pair][order], return_index=True)
            found = order[first]
            nearer = exact[found] < best[query]
            best[query[nearer]] = exact[found][nearer]
            positions[query[nearer]] = where[pair][found][nearer] + number * self._block

    def embeddings(self) -> Embeddings:
        """All embeddings in the order they were added: float32 [N, dim]."""
        joined = np.concatenate([np.zeros((0, self.dim), np.float32), *self._blocks])
        return joined[: len(self.ids)]

    def save(self, path: Path | str) -> None:
        """Write the index as parquet, atomically; the same faces give the same bytes.

        Raises:
            PartialError: the disk is full. UsageError: the folder cannot be written.
        """
        flat = pa.array(self.embeddings().reshape(-1), pa.float32())
        meta = {"format": FORMAT, "model": self.model, "model_sha256": self.model_sha256}
        schema = pa.schema(
            [("id", pa.string()), ("embedding", pa.list_(pa.float32(), self.dim))],
            metadata={f"fairforge.{key}": value for key, value in meta.items()},
        )
        columns = [pa.array(self.ids, pa.string()), pa.FixedSizeListArray.from_arrays(flat, self.dim)]
        write_table(pa.Table.from_arrays(columns, schema=schema), path)

    @classmethod
    def load(cls, path: Path | str, *, block: int = BLOCK) -> IdentityIndex:
        """Read an index.

        Raises:
            MissingError: no such file. DataError: not an index, truncated, or values that are not finite.
        """
        table = read_table(path)
        fix = "make it again: fairforge identity-index"
        meta = text_metadata(table.schema)
        if meta.get("fairforge.format") != FORMAT:
            raise DataError(str(path), "is not an index of identities", fix)
        if not {"id", "embedding"} <= set(table.column_names):
            raise DataError(str(path), "is not an index of identities: it lacks id or embedding", fix)
        kind = table.schema.field("embedding").type
        numbers = pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)
        if not numbers or table.schema.field("id").type != pa.string():
            raise DataError(str(path), f"has embeddings of type {kind}, which is not that of an index", fix)
        column: Any = table.column("embedding").combine_chunks()
        dim = kind.list_size
        index = cls(
            dim,
            block=block,
            model=meta.get("fairforge.model", ""),
            model_sha256=meta.get("fairforge.model_sha256", ""),
        )
        rows = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
        if not np.isfinite(rows).all():
            raise DataError(str(path), "has values that are not finite", fix)
        index.add_many(rows, table.column("id").to_pylist())
        return index
