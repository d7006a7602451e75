"""`fairforge list KIND`: what is registered, with family, licence and source, and what it still needs."""

from __future__ import annotations

import importlib.util
from typing import Any

from manifests.errors import UsageError
from manifests.escaping import one_line
from manifests.registry import nearest
from manifests.taxonomy import TAXONOMIES
from manifests.weights import catalogue
from pipeline.engine.registries import KINDS, REGISTRIES, registry_of


def _registered(kind: str) -> list[dict[str, Any]]:
    out = []
    for entry in registry_of(kind).entries():
        lacking = [need.module for need in entry.needs if importlib.util.find_spec(need.module) is None]
        out.append(
            {
                "name": entry.name,
                "family": entry.family,
                "licence": entry.licence,
                "summary": entry.summary,
                "paper": entry.paper,
                "lacks": lacking,
                "parameters": sorted(entry.params.model_fields),
            }
        )
    return out


def _plain(kind: str) -> list[dict[str, Any]]:
    if kind == "taxonomies":
        return [
            {"name": t.name, "family": "", "summary": f"{', '.join(t.races)}. {t.note}"}
            for t in TAXONOMIES.values()
        ]
    return [
        {"name": w.name, "family": "stylegan2", "licence": w.licence, "summary": w.data}
        for w in catalogue("generator").values()
    ]


def list_kind(kind: str) -> tuple[list[dict[str, Any]], str]:
    """All things of a kind, as values and as text.

    Raises:
        UsageError: an unknown kind.
    """
    if kind not in KINDS:
        raise UsageError(
            f"kind {kind!r}",
            f"is not known{nearest(kind, list(KINDS))}",
            f"choose one of: {', '.join(KINDS)}",
        )
    values = _registered(kind) if kind in REGISTRIES else _plain(kind)
    lines = []
    for value in values:
        lacks = f" [lacks {', '.join(value['lacks'])}]" if value.get("lacks") else ""
        lines.append(
            one_line(
                f"{value['name']:<20} {value.get('family', ''):<12} {value.get('licence', ''):<14} "
                f"{value['summary']}{lacks}".rstrip()
            )
        )
    return values, "\n".join(lines)
