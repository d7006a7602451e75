"""Images and labels of one split of a manifest, checked as a whole before the first step.

Pixels are kept as uint8 in memory up to `MEMORY`; those of the rows behind are read when asked for, so that
a set a little larger than the memory takes a little longer, not as long as one that is all read. Test rows
are never read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.containment import inside
from manifests.contents import Digests, compared
from manifests.errors import DataError, UserError
from manifests.families import family_names
from manifests.images import Image, opened, read_bytes, read_image, read_mask, resize
from manifests.schema import SPLITS, metadata_of
from manifests.store import manifest_file, read_images
from manifests.taxonomy import GENDERS, TAXONOMIES

Indices = npt.NDArray[np.int64]
MEMORY = 2 << 30
"""Bytes of pixels that are kept of a split."""
EXAMPLES = 5


@dataclass(frozen=True)
class Classes:
    """Class names in the order of the logits and of the index columns. An unknown value has index -1."""

    taxonomy: str
    race: tuple[str, ...]
    gender: tuple[str, ...]
    cell: tuple[str, ...]
    family: tuple[str, ...] = ()


@dataclass
class SplitData:
    """One split. images: uint8 [K, S, S, 3] RGB of the first K rows, the others being read from `files`;
    None: all.

    labels: int64 [N], 1 is fake. methods: int64 [N], a number per method, in the order of names. groups:
    int64 [N] for race, gender, cell and family, -1 where unknown. mask_files: of the forgery masks, None
    where the manifest names none. masks: uint8 [N, S, S] once `load_masks` kept them.
    """

    size: int
    files: list[Path]
    ids: list[str]
    pair_ids: list[str | None]
    labels: Indices
    groups: dict[str, Indices]
    images: Image | None = field(default=None, repr=False)
    methods: Indices = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    mask_files: list[Path | None] = field(default_factory=list, repr=False)
    masks: Image | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, row: int) -> Image:
        """Pixels of a row: uint8 [S, S, 3]."""
        if self.images is not None and row < len(self.images):
            return self.images[row]
        return resize(read_image(self.files[row]), self.size)

    def batch(self, rows: Sequence[int] | Indices) -> Image:
        """Pixels of some rows: uint8 [len(rows), S, S, 3]."""
        return np.stack([self.image(int(row)) for row in rows])

    def pictures(self, rows: Indices) -> tuple[Image, Image | None]:
        """Pixels of some rows, uint8 [N, S, S, 3], and their forgery masks where those are made with them."""
        return self.batch(rows), None

    def mask(self, row: int) -> Image | None:
        """Forgery mask of a row, uint8 [S, S], 255 where it was changed: zeros for a real image, None where
        unknown.
        """
        if self.labels[row] == 0:
            return np.zeros((self.size, self.size), np.uint8)
        file = self.mask_files[row] if self.mask_files else None
        if file is None:
            return None
        if self.masks is not None:
            return self.masks[row]
        return resize(read_mask(file), self.size)


def classes_of(table: pa.Table) -> Classes:
    """The class lists: of the manifest's taxonomy, else the values that stand in the manifest, sorted.

    Families are those of the training rows, in the order of `manifests.families.family_names`, `none` (real)
    first.
    """
    name = metadata_of(table).get("taxonomy", "")
    trained = set(table.filter(pc.equal(table["split"], "train"))["family"].to_pylist())
    family = tuple(f for f in family_names() if f in trained and f != "unknown")
    if name in TAXONOMIES:
        taxonomy = TAXONOMIES[name]
        return Classes(name, taxonomy.races, taxonomy.genders, taxonomy.cells, family)
    found = {c: tuple(sorted(v for v in pc.unique(table[c]).to_pylist() if v)) for c in ("race", "cell")}
    return Classes(name, found["race"], GENDERS, found["cell"], family)


GROUPS = ("race", "gender", "cell", "family")


def _index(values: list[str | None], classes: tuple[str, ...]) -> Indices:
    at = {name: i for i, name in enumerate(classes)}
    return np.array([at.get(v, -1) if v is not None else -1 for v in values], np.int64)


def _pair_ids(rows: pa.Table) -> list[str | None]:
    """Whose halves belong together: of one pair and, where images come in several qualities, of one
    quality.
    """
    columns = ["pair_id", "codec", "quality", *(["tuple_id"] if "tuple_id" in rows.column_names else [])]
    return [
        f"{row['pair_id']} {row['codec']} {row['quality']}"
        if row["pair_id"] and row.get("tuple_id")
        else row["pair_id"]
        for row in rows.select(columns).to_pylist()
    ]


def read_split(
    table: pa.Table,
    folder: Path,
    split: str,
    classes: Classes,
    size: int,
    digests: Digests = "whole",
) -> SplitData:
    """Rows of one split with their pixels at `size`; errors as `load_rows`."""
    return load_rows(table.filter(pc.equal(table["split"], split)), folder, split, classes, size, digests)


def load_rows(
    rows: pa.Table,
    folder: Path,
    split: str,
    classes: Classes,
    size: int,
    digests: Digests = "whole",
) -> SplitData:
    """These rows of a manifest in `folder` with their pixels at `size`.

    Args:
        rows: of the manifest.
        folder: of the manifest.
        split: what they are called in messages.
        classes: the class lists.
        size: side of the pictures, pixels.
        digests: which files are compared with the digests of their rows.

    Raises:
        DataError: some image is missing, unreadable or not the one its row describes; up to five are named
            with their reason.
    """
    labels = np.array(rows["label"].to_pylist(), np.int64)
    data = SplitData(
        size,
        [inside(folder, p) for p in rows["path"].to_pylist()],
        rows["image_id"].to_pylist(),
        _pair_ids(rows),
        labels,
        {c: _index(rows[c].to_pylist(), getattr(classes, c)) for c in GROUPS},
        mask_files=[inside(folder, p) if p else None for p in rows["mask_path"].to_pylist()],
    )
    known = sorted({str(m) for m in rows["method"].to_pylist()})
    data.methods = _index([str(m) for m in rows["method"].to_pylist()], tuple(known))
    images = np.empty((min(len(data), MEMORY // (size * size * 3)), size, size, 3), np.uint8)
    bad: list[str] = []
    for row, (file, sha256) in enumerate(zip(data.files, rows["sha256"].to_pylist(), strict=True)):
        try:
            if row < len(images):
                images[row] = resize(read_image(file, compared(sha256, digests)), size)
            else:
                _glance(file, compared(sha256, digests))
        except UserError as error:
            bad.append(f"{file.relative_to(folder)} {error.why}")
    if bad:
        more = f"; and {len(bad) - EXAMPLES} more" if len(bad) > EXAMPLES else ""
        raise DataError(
            f"{len(bad)} of {len(data)} {split} images",
            "; ".join(bad[:EXAMPLES]) + more,
            "make or fetch these files again (`fairforge pair`), or take their rows out of the manifest",
        )
    data.images = images
    return data


def _glance(file: Path, sha256: str | None) -> None:
    """Whether a picture that will be read later is there, is the one of its row, and opens; nothing is
    decoded.

    Raises:
        MissingError, DataError: it is not, or does not.
    """
    with opened(read_bytes(file, sha256), str(file)):
        pass


def class_counts(table: pa.Table, classes: Classes) -> dict[str, tuple[int, ...]]:
    """Training rows of each class, per group, unknown rows left out; `fake`: (real, fake)."""
    rows = table.filter(pc.equal(table["split"], "train"))
    counts = {}
    for group in GROUPS:
        names, values = getattr(classes, group), rows[group].to_pylist()
        counts[group] = tuple(values.count(name) for name in names)
    labels = rows["label"].to_pylist()
    return {**counts, "fake": (labels.count(0), labels.count(1))}


def _require(ok: bool, what: str, why: str, fix: str) -> None:
    if not ok:
        raise DataError(what, why, fix)


def load_masks(data: SplitData, name: str) -> None:
    """Read every forgery mask that the manifest names; kept in memory where they fit, as images are.

    Raises:
        DataError: no fake has a mask, or one of them is missing or unreadable; up to five are named.
    """
    fakes = [row for row in np.flatnonzero(data.labels == 1).tolist() if data.mask_files[row] is not None]
    _require(
        bool(fakes),
        name,
        "no training fake has a mask, so the mask decoder cannot be trained",
        "fill the column `mask_path` (`fairforge pair` does), or set mask_decoder = false",
    )
    keep = len(data) * data.size * data.size <= MEMORY
    masks, bad = np.zeros((len(data) if keep else 0, data.size, data.size), np.uint8), []
    for row in fakes:
        try:
            mask = data.mask(row)
        except UserError as error:
            bad.append(f"{data.mask_files[row]} {error.why}")
            continue
        if keep and mask is not None:
            masks[row] = mask
    _require(
        not bad,
        f"{len(bad)} of {len(fakes)} forgery masks",
        "; ".join(bad[:EXAMPLES]),
        "make these files again (`fairforge pair`), or clear their `mask_path`",
    )
    if keep:
        data.masks = masks


def check_rows(
    table: pa.Table,
    name: str,
    classes: Classes,
    heads: Sequence[str],
    needs_cells: bool,
    online: bool = False,
) -> None:
    """Whether a detector can be trained on these rows, before any image is read. online: their fakes are
    drawn anew.

    Raises:
        DataError: no train or val split, one of them with one class, a cell of the manifest without a real or
            a fake
        training image, or a head without labels.
    """
    counts = {s: table.filter(pc.equal(table["split"], s)) for s in SPLITS[:2]}
    for split, rows in counts.items():
        fix = "make the manifest with `fairforge pair`, or fill the column `split`"
        _require(rows.num_rows > 0, name, f"has no {split} rows", fix)
        found = sorted(set(rows["label"].to_pylist()))
        _require(
            found == [0, 1] or (online and 0 in found),
            name,
            f"its {split} split has only {'fakes' if found == [1] else 'real images'}",
            "add the other class to this split: a detector needs both",
        )
    train = counts["train"]
    used = sorted({c for s in counts.values() for c in s["cell"].to_pylist() if c})
    have = set(zip(train["cell"].to_pylist(), train["label"].to_pylist(), strict=True))
    labels = (0,) if online else (0, 1)
    short = [f"{c} (no {'fake' if y else 'real'})" for c in used for y in labels if (c, y) not in have]
    _require(
        not short,
        name,
        f"its train split misses cells that the manifest has: {', '.join(short)}",
        "fill these cells (`fairforge pair` balances them), or leave them out everywhere",
    )
    for head in heads:
        if online and head == "family":
            continue
        known = _index(train[head].to_pylist(), getattr(classes, head))
        _require(
            bool((known >= 0).any()),
            name,
            f"no training row has a known {head}, so its head cannot be trained",
            f"fill the column `{head}`, or leave {head!r} out of heads",
        )
    _require(
        not needs_cells or any(c for c in train["cell"].to_pylist() if c in classes.cell),
        name,
        "its train split has no cells, which the loss groups by",
        "fill the column `cell`, or choose another loss",
    )


def open_manifest(path: Path) -> tuple[pa.Table, Path, Classes]:
    """The manifest's table, its folder and its class lists.

    Raises:
        MissingError, DataError: see `manifests.store.read_images`.
    """
    table = read_images(path)
    return table, manifest_file(path).parent, classes_of(table)
