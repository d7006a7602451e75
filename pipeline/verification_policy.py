"""`fairforge verification-policy`, and reading policies and confusions back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from manifests.atomic import digest_file, write_text
from manifests.errors import DataError, UsageError
from manifests.taxonomy import get_taxonomy
from pipeline.annotation import AnnotationSettings
from pipeline.attribute_evaluation import measure
from pipeline.config_file import read_toml

if TYPE_CHECKING:
    from attribute_models.policy import Policy


def make_policy(
    data: Path, target: float, out: Path, taxonomy: str, settings: AnnotationSettings, second_model: str = "", seed: int = 0,
    quiet: bool = False,
) -> tuple[dict[str, Any], str]:
    """Choose a policy on one half of labelled faces, report it on the other, write it as TOML.

    Raises:
        UsageError: a target that is no share, too few faces, or `out` is not a TOML file's name. UserError: as `measure`.
    """
    from dataclasses import replace

    from attribute_models.evaluation import cells_of
    from attribute_models.policy import choose

    if out.suffix != ".toml":
        raise UsageError(f"--out {out}", "is not the name of a TOML file", "give a name ending in .toml")
    words = get_taxonomy(taxonomy)
    measured = measure(data, taxonomy, settings, quiet)
    agree = None
    if second_model:
        other = measure(data, taxonomy, replace(settings, model=second_model, model_file=""), quiet)
        theirs = dict(zip(other.judged.keys, cells_of(other.judged, words)[1].tolist(), strict=True))
        own = cells_of(measured.judged, words)[1]
        agree = np.array([theirs.get(k) == c for k, c in zip(measured.judged.keys, own.tolist(), strict=True)], bool)
    policy, report = choose(measured.judged, words, target, seed, agree, second_model)
    document: dict[str, Any] = {
        "taxonomy": taxonomy, "target": target, "attribute_model": measured.classifier.label_source, "second_model": second_model,
        "data": data.name, "data_sha256": digest_file(data) if data.is_file() else "", "seed": seed,
        "cells": {cell: {"threshold": rule.threshold, "margin": rule.margin, "reached": rule.reached}
                  for cell, rule in policy.rules.items()},
        "confusion": {"cells": list(words.cells), "counts": [list(row) for row in policy.confusion or ()]},
        "held_out": _without_none(report),
    }
    write_text(out, tomli_w.dumps(document))
    return {"out": str(out), **document}, _as_text(out, policy, report)


def _without_none(value: Any) -> Any:
    """TOML has no null: keys without a value are left out."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value


def _as_text(out: Path, policy: Policy, report: dict[str, Any]) -> str:
    from pipeline.attribute_evaluation import shown

    lines = [f"{out}: on the half not used to choose: precision {shown(report['precision'])}, "
             f"coverage {shown(report['coverage'])}; taking every answer: {shown(report['without_policy'])}"]
    for cell, rule in policy.rules.items():
        one = report["cells"][cell]
        mark = "" if rule.reached else "  (target not reached on the data to choose)"
        lines.append(f"{cell:<24} threshold {rule.threshold:.3f} margin {rule.margin:.1f}  precision {shown(one['precision'])}  "
                     f"coverage {shown(one['coverage'])}{mark}")
    return "\n".join(lines)


def read_confusion(path: Path, cells: tuple[str, ...]) -> list[list[int]] | None:
    """The confusion of cells in a policy (TOML) or in the JSON of `attributes --evaluate`; None where there is none.

    Raises:
        MissingError, UsageError, DataError: not there, not readable, or of other cells.
    """
    import json

    try:
        document = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" and path.is_file() else read_toml(path)
        found = document.get("confusion") or {}
        counts = [[int(n) for n in row] for row in found.get("counts", [])]
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(str(path), f"holds no confusion of cells ({error})", "measure it again") from error
    if not counts:
        return None
    if tuple(found.get("cells", ())) != cells or any(len(row) != len(cells) for row in counts) or len(counts) != len(cells):
        raise DataError(str(path), "has the confusion of other cells", "measure it in the dataset's taxonomy")
    return counts


def read_policy(path: Path, taxonomy: str) -> Policy:
    """A policy file.

    Raises:
        MissingError: no such file. UsageError: not TOML, another taxonomy. DataError: a cell lacks its rule.
    """
    from attribute_models.policy import CellRule, Policy

    document = read_toml(path)
    if document.get("taxonomy") != taxonomy:
        raise UsageError(str(path), f"is for taxonomy {document.get('taxonomy')!r}, the dataset has {taxonomy!r}",
                         f"fairforge verification-policy --taxonomy {taxonomy}")
    rules = {}
    for cell in get_taxonomy(taxonomy).cells:
        try:
            one = document["cells"][cell]
            rules[cell] = CellRule(float(one["threshold"]), float(one["margin"]), bool(one.get("reached", True)))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(str(path), f"cell {cell!r} lacks threshold or margin", "make the policy again") from error
    return Policy(taxonomy, rules, None, str(document.get("second_model", "")), document)
