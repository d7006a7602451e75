"""The figures of `generator-metrics` as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manifests.escaping import one_line
from pipeline.commands.generators.appearance import looks_text

PAIRS = {
    "generated_against_data": "generated against data",
    "generated_against_held_out": "generated against held-out",
    "held_out_against_data": "held-out against data",
}


def _comparison(name: str, found: Mapping[str, Any]) -> str:
    kid, fid, m = found["kid"], found["fid"], found["manifold"]
    return (
        f"{name:<27} kid {kid['mean']:.5f} [{kid['low']:.5f}, {kid['high']:.5f}]  fid {fid['value']:.3f} "
        f" precision {m['precision']:.3f}  recall {m['recall']:.3f}  density {m['density']:.3f}  coverage"
        f" {m['coverage']:.3f}"
    )


def text_of(value: Mapping[str, Any]) -> str:
    """One line per comparison and per set, then diversity, memorisation, cells and notes."""
    settings, generator = value["settings"], value["generator"]
    lines = [
        (
            f"{generator['name']} (psi {generator['psi']:g}), space {settings['space']}"
            f" ({settings['feature_dim']} features), {settings['resolution']} px, seed {settings['seed']}"
        ),
    ]
    lines += [_comparison(text, value[name]) for name, text in PAIRS.items() if name in value]
    for name, found in value["sets"].items():
        shares = ", ".join(f"{k} {v:.3f}" for group in found["perceived"].values() for k, v in group.items())
        skipped = ", ".join(f"{k} {v}" for k, v in found["skipped"].items()) or "none"
        faces = f"faces in {found['face_rate']} ({found['detection_rate']} by the detector's own thresholds)"
        lines.append(f"{name:<10} {found['used']} used, {faces}, skipped: {skipped}; perceived {shares}")
    diversity = value["diversity"]["relative"]
    lines.append(f"diversity  {'unknown' if diversity is None else f'{diversity:.3f}'} of the data's")
    if "memorisation" in value:
        m = value["memorisation"]
        lines.append(
            f"memorisation ratio {m['ratio']:.3f} [{m['low']:.3f}, {m['high']:.3f}] "
            f"({m['reference_size']} faces in each reference)"
        )
    lines += [
        f"cell {cell:<16} hit rate {rate['hit_rate']:.3f} of {rate['draws']}"
        for cell, rate in value.get("cells", {}).items()
    ]
    lines += looks_text(value["looks"]) if "looks" in value else []
    lines += [
        f"note ({text}): {note}"
        for name, text in PAIRS.items()
        for note in value.get(name, {}).get("notes", [])
    ]
    return "\n".join(map(one_line, lines))
