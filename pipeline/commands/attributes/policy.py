"""`fairforge verification-policy`: thresholds per cell out of labelled faces, as a TOML file that
`verify.policy` can name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from manifests.atomic import digest_file, write_text
from manifests.errors import UsageError
from manifests.taxonomy import get_taxonomy
from pipeline.commands.attributes.annotation import AnnotationSettings
from pipeline.commands.attributes.evaluation import measure

if TYPE_CHECKING:
    from attribute_models.attributes.policy import Policy


def make_policy(
    data: Path,
    target: float,
    out: Path,
    taxonomy: str,
    settings: AnnotationSettings,
    second_model: str = "",
    seed: int = 0,
    quiet: bool = False,
) -> tuple[dict[str, Any], str]:
    """Choose a policy on one half of labelled faces, report it on the other, write it as TOML.

    Raises:
        UsageError: a target that is no share, too few faces, or `out` is not a TOML file's name. UserError:
            as `measure`.
    """
    from dataclasses import replace

    from attribute_models.attributes.evaluation import cells_of
    from attribute_models.attributes.policy import choose

    if out.suffix != ".toml":
        raise UsageError(f"--out {out}", "is not the name of a TOML file", "give a name ending in .toml")
    words = get_taxonomy(taxonomy)
    measured = measure(data, taxonomy, settings, quiet)
    agree = None
    if second_model:
        other = measure(data, taxonomy, replace(settings, model=second_model, model_file=""), quiet)
        theirs = dict(zip(other.judged.keys, cells_of(other.judged, words)[1].tolist(), strict=True))
        own = cells_of(measured.judged, words)[1]
        agree = np.array(
            [theirs.get(k) == c for k, c in zip(measured.judged.keys, own.tolist(), strict=True)], bool
        )
    policy, report = choose(
        measured.judged, words, target, seed, agree, second_model, measured.classifier.label_source
    )
    document: dict[str, Any] = {
        "taxonomy": taxonomy,
        "target": target,
        "attribute_model": measured.classifier.label_source,
        "second_model": second_model,
        "data": data.name,
        "data_sha256": digest_file(data) if data.is_file() else "",
        "seed": seed,
        "cells": {
            cell: {"threshold": rule.threshold, "margin": rule.margin, "reached": rule.reached}
            for cell, rule in policy.rules.items()
        },
        "confusion": {"cells": list(words.cells), "counts": [list(row) for row in policy.confusion or ()]},
        "held_out": _without_none(report),
    }
    write_text(out, tomli_w.dumps(document))
    return {"out": str(out), **document}, _as_text(out, policy, report, target)


def _without_none(value: Any) -> Any:
    """TOML has no null: keys without a value are left out."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value


def _as_text(out: Path, policy: Policy, report: dict[str, Any], target: float) -> str:
    from pipeline.commands.attributes.evaluation import shown

    swapped = report["swapped"]
    lines = [
        (
            f"{out}: on the half not used to choose: precision {shown(report['precision'])}, "
            f"coverage {shown(report['coverage'])}; taking every answer: {shown(report['without_policy'])}"
        ),
        (
            f"check, the halves swapped: precision {shown(swapped['precision'])}, coverage"
            f" {shown(swapped['coverage'])}"
        ),
    ]
    width = max(map(len, policy.rules))
    for cell, rule in policy.rules.items():
        one = report["cells"][cell]
        notes = ["target not reached on the half to choose"] if not rule.reached else []
        notes += (
            ["precision is below the target, beyond its interval"]
            if one["precision"]["upper"] < target
            else []
        )
        lines.append(
            f"{cell:<{width}}  threshold {rule.threshold:.3f} margin {rule.margin:.1f}  precision "
            f"{shown(one['precision'])}  coverage {shown(one['coverage'])}"
            + (f"  ({'; '.join(notes)})" if notes else "")
        )
    return "\n".join(lines)
