"""What a method's fakes depend on beside its parameters: the weights that those name, for keys of caches and
trainings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generators.forgeries.base import FORGERIES
from manifests.atomic import digest_file
from manifests.weights import find_weight


def weight_digests(name: str, params: Mapping[str, Any] | None = None) -> dict[str, str]:
    """sha256 of the weights of the method called `name`, by the parameter that names them; a file that is not
    there is left out.

    Raises:
        UsageError: no such method, or parameters that it refuses. MissingError, DataError: no catalogued
            weight of that name, or
        its file is another.
    """
    facts, checked = FORGERIES.get(name).facts, FORGERIES.check_params(name, params)
    files = {param: getattr(checked, param) for param in facts["files"]}
    found = {param: digest_file(path) for param, path in files.items() if path and Path(path).is_file()}
    return found | {
        param: find_weight(getattr(checked, param), kind).sha256 for param, kind in facts["weights"].items()
    }
