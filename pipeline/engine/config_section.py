"""What all sections of the configuration have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from manifests.errors import UsageError
from manifests.registry import Registry

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, and infinite numbers. The meaning of a key is its
    field's description.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _problem(check: Callable[..., object], *values: object) -> str:
    """What a check says against these values; empty where it says nothing."""
    try:
        check(*values)
    except UsageError as error:
        return str(error)
    return ""


def check_names(registry: Registry[Any], names: Iterable[str]) -> None:
    """Whether all names are registered.

    Raises:
        ValueError: some are not; as pydantic wants errors of a field.
    """
    problems = [text for name in names if (text := _problem(registry.get, name))]
    if problems:
        raise ValueError("; ".join(problems))


def check_params(registry: Registry[Any], params: Mapping[str, Mapping[str, Any]]) -> None:
    """Whether the parameters of each registered thing, by its name, are ones that it takes.

    Raises:
        ValueError: some are not, or an unknown name.
    """
    problems = [text for name, own in params.items() if (text := _problem(registry.check_params, name, own))]
    if problems:
        raise ValueError("; ".join(problems))
