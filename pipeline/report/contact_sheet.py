"""Contact sheets: real faces above the fakes made of them, one identity per column. The draw is seeded, not
curated.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from manifests.containment import inside
from manifests.errors import UsageError
from manifests.images import Image, encode, read_image, resize
from manifests.schema import first_levels
from manifests.seeding import rng_of
from manifests.store import manifest_file, read_images

REAL = "none"
GAP = 2
GREY = (128, 128, 128)
COLUMNS = ("image_id", "path", "method", "cell", "pair_id")
Pair = Mapping[str, str]
"""Path of the image by method; `none` is the real one."""


def pairs_of(path: Path | str) -> dict[str, dict[str, dict[str, str]]]:
    """Paths of a manifest's images by cell, pair_id and method; rows without cell or pair are left out.

    Raises:
        MissingError, DataError: see `manifests.store.read_images`.
    """
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for row in first_levels(read_images(path)).select(list(COLUMNS)).to_pylist():
        if row["cell"] is not None and row["pair_id"] is not None:
            found[row["cell"]][row["pair_id"]][row["method"]] = row["path"]
    return {cell: dict(pairs) for cell, pairs in found.items()}


def choose(
    pairs: Mapping[str, Pair],
    methods: Sequence[str],
    columns: int,
    seed: int,
    cell: str,
) -> list[Pair]:
    """Up to `columns` pairs of a cell, drawn at random among those with the most methods, then among the
    rest.

    The draw depends on the pairs' ids, the seed and the cell; methods held out for testing exist in test
    pairs alone.
    """
    with_real = {name: pair for name, pair in pairs.items() if REAL in pair}
    order = rng_of(seed, "contact-sheet", cell).permutation(len(with_real))
    rank = dict(zip(sorted(with_real), order.tolist(), strict=True))
    names = sorted(with_real, key=lambda name: (-sum(m in with_real[name] for m in methods), rank[name]))
    return [with_real[name] for name in names[:columns]]


def _absent(tile: int) -> Image:
    """A tile for a fake that was not made: grey with a cross."""
    picture = PilImage.new("RGB", (tile, tile), GREY)
    draw = ImageDraw.Draw(picture)
    draw.line((0, 0, tile, tile), fill=(96, 96, 96))
    draw.line((0, tile, tile, 0), fill=(96, 96, 96))
    return np.array(picture)


def grid(folder: Path, pairs: Sequence[Pair], rows: Sequence[str], tile: int) -> Image:
    """The images of `pairs` as columns and of the methods `rows` as rows: uint8 [H, W, 3], `GAP` grey pixels
    between.

    Raises:
        MissingError, DataError: an image is not there or cannot be read.
        UsageError: there is no pair to show.
    """
    if not pairs:
        raise UsageError(str(folder), "has no pair to show", "check the cells and the manifest")
    step = tile + GAP
    out = np.full((len(rows) * step - GAP, len(pairs) * step - GAP, 3), GREY[0], np.uint8)
    for j, pair in enumerate(pairs):
        for i, method in enumerate(rows):
            name = pair.get(method)
            picture = _absent(tile) if name is None else resize(read_image(inside(folder, name)), tile)
            out[i * step : i * step + tile, j * step : j * step + tile] = picture
    return out


def tile_size(folder: Path, pairs: Sequence[Pair], limit: int = 128) -> int:
    """Side of a tile: that of the first real image, at most `limit` pixels."""
    return min(read_image(inside(folder, pairs[0][REAL])).shape[0], limit) if pairs else limit


def cell_sheet(folder: Path, pairs: Sequence[Pair], methods: Sequence[str]) -> tuple[bytes, int, int]:
    """The sheet of one cell for the page: WebP bytes, width and height. Row labels are the page's."""
    image = grid(folder, pairs, [REAL, *methods], tile_size(folder, pairs))
    return encode(image, "webp", 92), image.shape[1], image.shape[0]


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], line: str, size: int, anchor: str) -> None:
    draw.text(at, line, fill=(24, 28, 33), font=ImageFont.load_default(size), anchor=anchor)


def sheet_png(
    manifest_path: Path | str,
    cells: Sequence[str],
    methods: Sequence[str],
    columns: int,
    seed: int,
) -> bytes:
    """A contact sheet of a whole dataset as PNG: cells side by side, real above each method's fakes, with
    labels.

    Args:
        manifest_path: a manifest, or the folder of `manifest.parquet`. cells, methods: what to show, in this
            order.
        columns: identities per cell. seed: draws them.

    Returns:
        PNG bytes, the same for the same dataset and arguments.

    Raises:
        UsageError: a cell without a pair, or fewer than one column. MissingError, DataError: unreadable
            files.
    """
    if columns < 1 or not cells:
        raise UsageError("contact sheet", "needs a cell and a column", "give at least one of each")
    folder, found = manifest_file(manifest_path).parent, pairs_of(manifest_path)
    shown = {cell: choose(found.get(cell, {}), methods, columns, seed, cell) for cell in cells}
    empty = [cell for cell, pairs in shown.items() if not pairs]
    if empty:
        raise UsageError(
            ", ".join(empty), "has no pair in the manifest", f"it has: {', '.join(sorted(found))}"
        )
    rows = [REAL, *methods]
    tile = tile_size(folder, shown[cells[0]])
    blocks = [grid(folder, shown[cell], rows, tile) for cell in cells]
    size = max(11, tile // 5)
    font = ImageFont.load_default(size)
    names = ["real", *methods]
    left = int(max(font.getlength(name) for name in names)) + 2 * size
    top, apart = 2 * size + 6, 3 * GAP + size // 2
    head = [
        max(block.shape[1], int(font.getlength(cell)) + 4) for cell, block in zip(cells, blocks, strict=True)
    ]
    page = PilImage.new(
        "RGB",
        (left + sum(head) + apart * (len(cells) - 1) + size, top + blocks[0].shape[0] + size),
        "white",
    )
    draw = ImageDraw.Draw(page)
    for i, name in enumerate(names):
        _text(draw, (left - size * 0.6, top + i * (tile + GAP) + tile / 2), name, size, "rm")
    at = left
    for cell, block, width in zip(cells, blocks, head, strict=True):
        _text(draw, (at + width / 2, top / 2), cell, size, "mm")
        page.paste(PilImage.fromarray(block), (at + (width - block.shape[1]) // 2, top))
        at += width + apart
    buffer = io.BytesIO()
    page.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
