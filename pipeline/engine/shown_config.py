"""The configuration as the report shows it: all that decides the result, and of paths the file's name
alone.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from pipeline.engine.config import Config
from pipeline.engine.config_file import values_of

PATHS = {
    "cells": ("generator", "attribute_model"),
    "sample": ("photographs", "cell_model"),
    "verify": ("attribute_model", "landmarker", "training_index", "policy"),
    "cross": ("photographs",),
    "train": ("start", "pretrained", "beside"),
}
"""Keys that may hold a path of the machine, by section."""


def shown_values(config: Config) -> dict[str, Any]:
    """The values of every section but [execute], which does not change the result."""
    data = values_of(config)
    del data["execute"]
    for section, keys in PATHS.items():
        for key in keys:
            value = data[section].get(key)
            if isinstance(value, str):
                data[section][key] = PurePath(value).name
            elif isinstance(value, list):
                data[section][key] = [PurePath(one).name for one in value]
    for params in data["forge"]["params"].values():
        params.update({key: PurePath(value).name for key, value in params.items() if isinstance(value, str)})
    return data
