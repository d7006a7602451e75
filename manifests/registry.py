"""One small typed registry: forgeries, losses, backbones, adapters, audits, ... are found by name.

A thing is added by adding one file in the sub-package that the registry walks:

    @FORGERIES.register("swap-delaunay", family="swap", params=SwapParams, paper="...")
    class SwapDelaunay: ...

Other packages plug in through the entry-point group `Registry.group`: `fairforge.` and the registry's kind,
which is a plural, with `_` for `-` (`fairforge.losses`, `fairforge.attribute_models`). The entry point names
a module whose import registers.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from manifests.errors import MissingError, UsageError

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])


class Params(BaseModel):
    """Base of every `Params` model: frozen, no unknown keys, no number that is infinite or none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Need:
    """An optional dependency: the importable `module` and the extra that brings it."""

    module: str
    extra: str


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered thing, with what a reader wants to know before using it."""

    name: str
    family: str
    build: Callable[..., T]
    params: type[Params]
    needs: tuple[Need, ...] = ()
    licence: str = "Apache-2.0"
    paper: str = ""
    summary: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def nearest(name: str, names: list[str]) -> str:
    """The hint `; did you mean a or b?` for an unknown `name`, or an empty string."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def first_sentence(docstring: str) -> str:
    """The lines of a docstring up to the one that ends its first sentence, as one line.

    Args:
        docstring: a docstring as it stands in the source; it may be empty.
    """
    lines: list[str] = []
    for line in docstring.strip().splitlines():
        if not line.strip():
            break
        lines.append(line.strip())
        if line.rstrip().endswith((".", "!", "?", ":")):
            break
    return " ".join(lines)


def _singular(kind: str) -> str:
    """One thing of a kind, as messages say it: `loss` of `losses`, `feature space` of `feature-spaces`."""
    for plural, singular in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if kind.endswith(plural):
            return kind.removesuffix(plural).replace("-", " ") + singular
    return kind


class Registry(Generic[T]):
    """Things of one kind, by name.

    kind: a plural. package, others: the sub-packages whose modules register them. module: where these have a
    folder for each thing, the name of the module in that folder that registers it.
    """

    def __init__(self, kind: str, package: str, *others: str, module: str = "") -> None:
        self.kind = kind
        self.noun = _singular(kind)
        self.package, self.packages = package, (package, *others)
        self.module = f".{module}" if module else ""
        self._entries: dict[str, Entry[T]] = {}
        self._discovered = False

    @property
    def group(self) -> str:
        """The entry-point group of other packages' things."""
        return f"fairforge.{self.kind.replace('-', '_')}"

    def register(
        self,
        name: str,
        *,
        family: str = "",
        params: type[Params] = Params,
        needs: tuple[Need, ...] = (),
        licence: str = "Apache-2.0",
        paper: str = "",
        **facts: Any,
    ) -> Callable[[C], C]:
        """Decorate a class or a factory taking one argument, its `params`.

        Raises:
            ValueError: the name is taken by something else.
        """

        def decorate(build: C) -> C:
            taken = self._entries.get(name)
            if taken is not None and taken.build.__qualname__ != build.__qualname__:
                raise ValueError(f"{self.noun} {name!r} is registered twice: {taken.build!r} and {build!r}")
            summary = first_sentence(build.__doc__ or "")
            self._entries[name] = Entry(name, family, build, params, needs, licence, paper, summary, facts)
            return build

        return decorate

    def discover(self) -> None:
        """Import every module of the sub-packages, then every entry point of `group`."""
        if self._discovered:
            return
        for name in self.packages:
            for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
                importlib.import_module(f"{name}.{module.name}{self.module}")
        for point in metadata.entry_points(group=self.group):
            point.load()
        self._discovered = True

    def names(self) -> list[str]:
        """All names, sorted."""
        self.discover()
        return sorted(self._entries)

    def entries(self) -> list[Entry[T]]:
        """All entries, sorted by name."""
        return [self._entries[name] for name in self.names()]

    def get(self, name: str) -> Entry[T]:
        """The entry called `name`.

        Raises:
            UsageError: no such name; the message has the nearest names.
        """
        names = self.names()
        if name not in self._entries:
            raise UsageError(
                f"{self.noun} {name!r}",
                f"is not known{nearest(name, names)}",
                f"choose one of: {', '.join(names)}",
            )
        return self._entries[name]

    def create(self, name: str, params: Mapping[str, Any] | Params | None = None) -> T:
        """Build the thing called `name` from its parameters.

        Raises:
            UsageError: unknown name, or parameters that its `Params` refuses (all of them listed).
            MissingError: an optional dependency is not installed; the message has the extra.
        """
        entry = self.get(name)
        for need in entry.needs:
            if importlib.util.find_spec(need.module) is None:
                raise MissingError(
                    f"{self.noun} {name!r}",
                    f"needs the package {need.module!r}, which is not installed",
                    f"pip install 'fairforge[{need.extra}]'",
                )
        return entry.build(self.check_params(name, params))

    def check_params(self, name: str, params: Mapping[str, Any] | Params | None = None) -> Params:
        """`params` as the frozen model of the thing called `name`.

        Raises:
            UsageError: a key or a value that the model refuses.
        """
        entry = self.get(name)
        if isinstance(params, Params):
            if not isinstance(params, entry.params):
                raise UsageError(
                    f"{self.noun} {name!r}",
                    f"got {type(params).__name__}",
                    f"pass {entry.params.__name__} or a mapping",
                )
            return params
        try:
            return entry.params.model_validate(dict(params or {}))
        except ValidationError as error:
            lines = [
                f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']} (given {e['input']!r})"
                for e in error.errors()
            ]
            allowed = ", ".join(entry.params.model_fields) or "none"
            raise UsageError(
                f"parameters of {self.noun} {name!r}", "; ".join(lines), f"its parameters are: {allowed}"
            ) from error
