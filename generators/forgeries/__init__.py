"""Forgeries: a target face and, where needed, a second face in; a fake with its mask and its record out.

    forger = generators.forgeries.get("swap-delaunay")({"feather": (0.05, 0.1)})
    forgery = forger.forge(target, source, rng)

A new forgery is one new file in this folder; see `generators.forgeries.base`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from manifests.registry import Params

if TYPE_CHECKING:
    from generators.forgeries.base import FORGERIES, Forger, Forgery, ForgeryError

__all__ = ["FORGERIES", "Forger", "Forgery", "ForgeryError", "get"]


def get(name: str) -> Callable[..., Forger]:
    """The builder of the forgery called `name`: call it with its Params model, a mapping, or nothing.

    Raises:
        UsageError: no such forgery. The builder raises UsageError for parameters that are refused and
            MissingError where an optional package is not installed.
    """
    registry = import_module("generators.forgeries.base").FORGERIES
    registry.get(name)

    def build(params: Mapping[str, Any] | Params | None = None) -> Forger:
        return registry.create(name, params)

    return build


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("generators.forgeries.base"), name)
