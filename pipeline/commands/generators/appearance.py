"""How faces of each cell look, generated beside photographs: brightness, contrast, sharpness.

A generator that draws some cells darker or blurrier than the photographs of these cells hands that on to
every dataset made with it, and a detector learns it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.cells.looks import MEASURES
from manifests.taxonomy import get_taxonomy

TOLERANCE = 0.10
"""The most that a cell's mean may differ from the photographs', as a share of it, before it is named."""
REPLICATES = 2000


def by_cell(pairs: Iterable[tuple[str, npt.NDArray[np.uint8]]]) -> dict[str, npt.NDArray[np.float64]]:
    """The measures of images, by cell: float64 [N, 3] each.

    Args:
        pairs: cell and image (uint8 [S, S, 3], RGB), all of one size.
    """
    from attribute_models.quality import looks

    rows: dict[str, list[tuple[float, float, float]]] = {}
    for cell, image in pairs:
        rows.setdefault(cell, []).append(looks(image))
    return {cell: np.array(values, np.float64) for cell, values in rows.items()}


def _ratio(
    fake: npt.NDArray[np.float64], real: npt.NDArray[np.float64], rng: np.random.Generator
) -> dict[str, float]:
    """Ratio of means and its 95 % percentile interval, both sides drawn anew."""
    means = [
        values[rng.integers(0, len(values), (REPLICATES, len(values)))].mean(1) for values in (fake, real)
    ]
    low, high = np.percentile(means[0] / np.maximum(means[1], 1e-12), [2.5, 97.5])
    return {
        "generated": float(fake.mean()),
        "photographs": float(real.mean()),
        "ratio": float(fake.mean() / max(real.mean(), 1e-12)),
        "low": float(low),
        "high": float(high),
    }


def compare_looks(
    generated: Mapping[str, npt.NDArray[np.float64]],
    photographs: Mapping[str, npt.NDArray[np.float64]],
    taxonomy: str,
    seed: int,
) -> dict[str, Any]:
    """Every measure of every cell, generated over photographs, with 95 % intervals.

    Args:
        generated: of `by_cell`.
        photographs: of `by_cell`; a cell that has none is left out.
        taxonomy: whose cells they are; gives their order.
        seed: of the bootstrap.

    Returns:
        Cell -> {"generated", "photographs": how many images, and each of `MEASURES`: means, ratio, low,
        high}; under "outside" the names `cell: measure` whose ratio differs from 1 by more than `TOLERANCE`.
    """
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {}
    for cell in get_taxonomy(taxonomy).cells:
        if cell not in generated or cell not in photographs:
            continue
        fake, real = generated[cell], photographs[cell]
        out[cell] = {
            "generated": len(fake),
            "photographs": len(real),
            **{name: _ratio(fake[:, k], real[:, k], rng) for k, name in enumerate(MEASURES)},
        }
    outside = [
        f"{cell}: {name}"
        for cell, found in out.items()
        for name in MEASURES
        if abs(found[name]["ratio"] - 1) > TOLERANCE
    ]
    return {"cells": out, "outside": outside}


def looks_text(value: Mapping[str, Any]) -> list[str]:
    """One line per cell: each measure's ratio with its interval."""
    lines = []
    for cell, found in value["cells"].items():
        texts = [
            f"{name} {found[name]['ratio']:.2f} [{found[name]['low']:.2f}, {found[name]['high']:.2f}]"
            for name in MEASURES
        ]
        lines.append(
            f"looks {cell:<16} {', '.join(texts)} of the photographs'"
            f" ({found['generated']} generated, {found['photographs']} photographs)"
        )
    return lines
