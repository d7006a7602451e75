"""`fairforge measure-looks`: how photographs of each cell look, as the section `cells.looks` wants it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from generators.cells.looks import LOGARITHMIC, MEASURES, scaled
from manifests.atomic import write_text
from manifests.errors import GateError, UsageError
from manifests.escaping import printable
from manifests.images import Image, resize
from manifests.taxonomy import get_taxonomy
from pipeline.commands.generators.appearance import by_cell
from pipeline.faces.features import centre_square
from pipeline.faces.sources import choose, kind_of, pictures

LEAST = 30
"""Photographs of a cell whose mean and spread are worth something."""


def measure_looks(
    data: Sequence[Path],
    names: Sequence[str] | None = None,
    *,
    taxonomy: str = "fairface4",
    filters: Mapping[str, Any] | None = None,
    resolution: int | None = None,
    out: Path | None = None,
) -> tuple[dict[str, Any], str]:
    """Mean and standard deviation of each cell's photographs, as JSON-able values and as TOML.

    Args:
        data: parquet files of aligned faces with race and gender.
        names: of `MEASURES`; None: brightness and sharpness.
        taxonomy: whose cells they are.
        filters: of the adapter `fairface-parquet`.
        resolution: side in pixels that they are brought to, the generator's; None: that of the first.
        out: TOML file to write.

    Returns:
        {"resolution": pixels, "photographs": cell -> how many, "unreadable": how many more, "looks": measure
        -> cell -> [mean, standard deviation]}; sharpness is the logarithm of 1 + it.

    Raises:
        UsageError: no faces with attributes, a measure or taxonomy that is not known. GateError: a cell has
            too few. MissingError, DataError: as `pipeline.faces.sources.choose`.
    """
    names = list(names) if names is not None else ["brightness", "sharpness"]
    strange = [name for name in names if name not in MEASURES]
    if strange or not names:
        raise UsageError(
            f"--measures {','.join(names)}",
            "names what is not measured",
            f"choose among {', '.join(MEASURES)}",
        )
    cells, side = get_taxonomy(taxonomy).cells, resolution
    found: dict[str, Any] = {}
    unreadable = 0
    for cell, image in _faces(data, {**(filters or {}), "taxonomy": taxonomy}):
        if image is None:
            unreadable += 1
            continue
        side = side or min(image.shape[:2])
        found.setdefault(cell, []).extend(by_cell([(cell, resize(centre_square(image), side))])[cell])
    short = [f"{cell} has {len(found.get(cell, []))}" for cell in cells if len(found.get(cell, [])) < LEAST]
    if short:
        raise GateError(
            f"photographs of {', '.join(map(str, data))}",
            f"too few of a cell: {', '.join(short)}; each needs {LEAST}",
            "give more, or loosen --clean and --filter",
        )
    values: dict[str, dict[str, list[float]]] = {name: {} for name in MEASURES if name in names}
    for cell in cells:
        y = scaled(found[cell])
        for name, own in values.items():
            column = y[:, MEASURES.index(name)]
            own[cell] = [round(float(column.mean()), 3), round(float(column.std()), 3)]
    counts = {cell: len(found[cell]) for cell in cells}
    files = ", ".join(printable(path.name) for path in data)
    left = f" ({unreadable:,} more cannot be read)" if unreadable else ""
    text = as_toml(values, f"{sum(counts.values()):,} photographs of {files} at {side} px{left}")
    if out is not None:
        write_text(out, text + "\n")
    value = {"resolution": side, "photographs": counts, "unreadable": unreadable, "looks": values}
    return value, text


def _faces(data: Sequence[Path], filters: Mapping[str, Any]) -> Iterator[tuple[str, Image | None]]:
    """Cell and picture of the faces in parquet files, file by file; None where it cannot be read."""
    for path in data:
        if kind_of(path) != "faces":
            raise UsageError(
                str(path), "has no race and gender of its faces", "give a parquet file of aligned faces"
            )
        items = choose(path, filters, 0, None)
        cells = {item.key: item.cell for item in items if item.cell is not None}
        for picture in pictures(items):
            if picture.key in cells:
                yield cells[picture.key], picture.image


def as_toml(values: Mapping[str, Mapping[str, Sequence[float]]], of: str) -> str:
    """The section of a configuration, with what it was measured of."""
    lines = [f"# {of}: mean and standard deviation by cell, of {LOGARITHMIC} the logarithm of 1 + it"]
    for name, cells in values.items():
        lines.append(f"[cells.looks.{name}]")
        lines += [f'"{cell}" = [{mean:g}, {sd:g}]' for cell, (mean, sd) in cells.items()]
    return "\n".join(lines)
