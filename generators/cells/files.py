"""A cell model as a safetensors file, there and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generators.cells.density import Array, Mixture
from generators.cells.looks import Looks
from generators.cells.reader import LatentReader
from manifests.atomic import canonical_json
from manifests.errors import DataError
from manifests.taxonomy import get_taxonomy
from nn.safetensors_files import read_arrays, read_header, tensor_bytes

if TYPE_CHECKING:
    from generators.cells.model import CellModel

FORMAT = "fairforge-cells-3"


def packed(model: CellModel) -> bytes:
    """The model as safetensors; the same model gives the same bytes."""
    arrays = {"mean": model.mean, "factor": model.factor, "basis": model.basis}
    for index, mixture in enumerate(model.cells.values()):
        arrays |= {
            f"cell{index}.weights": mixture.weights,
            f"cell{index}.means": mixture.means,
            f"cell{index}.factors": mixture.factors,
        }
    header = {
        "format": FORMAT,
        "shares": dict(model.shares),
        "latent_seed": model.latent_seed,
        "anchors": {cell: list(map(int, numbers)) for cell, numbers in model.anchors.items()},
        "tries": model.tries,
        "strengths": dict(model.strengths),
        "taxonomy": model.taxonomy,
        "space": model.space,
        "radius2": _number(model.radius2),
        "cells": list(model.cells),
        "thresholds": [_number(m.threshold) for m in model.cells.values()],
        "counts": dict(model.counts),
        "hit_rates": dict(model.hit_rates),
        "params": dict(model.params),
        "generator_sha256": model.generator_sha256,
        "attributes_sha256": model.attributes_sha256,
        **({"sure": model.sure} if model.sure < 1 else {}),
        **({"looks": list(model.looks.names)} if model.looks is not None else {}),
    }
    if model.looks is not None:
        arrays |= _arrays_of(model.looks, list(model.cells))
    data = {name: np.ascontiguousarray(array, np.float64) for name, array in arrays.items()}
    if model.reader is not None:
        data |= {
            name: np.ascontiguousarray(array, np.float32) for name, array in model.reader.arrays().items()
        }
    return tensor_bytes(data, {"cells": canonical_json(header)})


def unpacked(path: Path | str) -> dict[str, Any]:
    """The fields of the `CellModel` in a file.

    Raises:
        MissingError: no such file. DataError: not a cell model, truncated, or of another format.
    """
    header = read_header(path, "cells")
    try:
        if header.get("format") != FORMAT:
            raise ValueError(f"its format is {header.get('format')!r}, not {FORMAT!r}")
        return _fields(header, read_arrays(path))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(
            str(path), f"is not a cell model ({error})", "fit it again: fairforge fit-cells"
        ) from error


def _arrays_of(looks: Looks, cells: list[str]) -> dict[str, Array]:
    """What `_looks` reads back; a row per cell."""
    return {
        "looks.weights": looks.weights,
        "looks.bias": looks.bias,
        "looks.means": np.stack([looks.means[cell] for cell in cells]),
        "looks.spreads": np.stack([looks.spreads[cell] for cell in cells]),
        "looks.wanted": np.stack([looks.wanted[cell] for cell in cells]),
    }


def _looks(names: list[str], arrays: Mapping[str, Array], cells: list[str], dim: int) -> Looks:
    weights, bias = arrays["looks.weights"], arrays["looks.bias"]
    rows = [arrays[f"looks.{part}"] for part in ("means", "spreads", "wanted")]
    if weights.shape[0] != dim or any(len(part) != len(cells) for part in rows):
        raise ValueError("the looks do not fit")
    means, spreads, wanted = (dict(zip(cells, part, strict=True)) for part in rows)
    return Looks(tuple(names), weights, bias, means, spreads, wanted)


def _fields(header: dict[str, Any], arrays: dict[str, Array]) -> dict[str, Any]:
    names, thresholds = header["cells"], header["thresholds"]
    taxonomy = get_taxonomy(header["taxonomy"])
    if not names or tuple(names) != tuple(cell for cell in taxonomy.cells if cell in names):
        raise ValueError(f"its cells are not those of taxonomy {header['taxonomy']}")
    dim, rank = arrays["basis"].shape
    cells = {}
    for index, (name, threshold) in enumerate(zip(names, thresholds, strict=True)):
        weights, means, factors = (arrays[f"cell{index}.{part}"] for part in ("weights", "means", "factors"))
        k = len(weights)
        if means.shape != (k, rank) or factors.shape != (k, rank, rank):
            raise ValueError(f"cell {name} has arrays of another shape")
        cells[name] = Mixture(weights, means, factors, -math.inf if threshold is None else threshold)
    if arrays["mean"].shape != (dim,) or arrays["factor"].shape != (dim, dim):
        raise ValueError("mean, factor and basis do not fit each other")
    reader = LatentReader.from_arrays(arrays, tuple(map(len, taxonomy.axes.values())))
    if reader is not None and reader.dim != dim:
        raise ValueError("the reader does not fit")
    kept = ("taxonomy", "space", "counts", "hit_rates", "generator_sha256", "attributes_sha256", "params")
    return {
        **{name: header[name] for name in (*kept, "strengths", "shares", "anchors")},
        **{name: arrays[name] for name in ("mean", "factor", "basis")},
        "cells": cells,
        "radius2": math.inf if header["radius2"] is None else header["radius2"],
        "reader": reader,
        "tries": int(header["tries"]),
        "latent_seed": int(header["latent_seed"]),
        "sure": float(header.get("sure", 1.0)),
        "looks": _looks(header["looks"], arrays, list(names), dim) if "looks" in header else None,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
