"""Formats of generator checkpoints by name: how each is recognised and read, and whose licence goes with it.

@GENERATOR_FORMATS.register("mine", family="stylegan2", endings=(".mine",))
class Mine(GeneratorFormat):
def read(self, path): ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from generators.stylegan2.config import GeneratorConfig
from manifests.errors import UsageError
from manifests.registry import Params, Registry

UNKNOWN = "unknown"
"""The licence of a file that does not say."""


@dataclass(frozen=True)
class StoredGenerator:
    """What a checkpoint holds.

    config: the constructor's arguments. state: float32 tensors by official state-dict name. licence: of the
    weights, as far as the file says. notes: a sentence for each thing that the file lacks.
    """

    config: GeneratorConfig
    state: dict[str, Tensor]
    licence: str = UNKNOWN
    notes: tuple[str, ...] = ()


class GeneratorFormat(ABC):
    """One format. endings: of its files' names. licence_note: what a user should know of such weights."""

    endings: tuple[str, ...] = ()
    licence_note: str = ""

    def __init__(self, params: Params) -> None:
        self.params = params

    def recognises(self, path: Path) -> bool:
        """Whether a file is of this format, by its name; nothing is read.

        Args:
            path: of the file.
        """
        return path.suffix.lower() in self.endings

    @abstractmethod
    def read(self, path: Path) -> StoredGenerator:
        """What the file holds; nothing in it is executed.

        Args:
            path: of the file.

        Raises:
            MissingError: no such file.
            DataError: corrupt, truncated or of another format.
        """


GENERATOR_FORMATS: Registry[GeneratorFormat] = Registry("generator-formats", "generators.checkpoints")


def format_of(path: Path) -> GeneratorFormat:
    """The format of a file, by its name.

    Args:
        path: of the file.

    Raises:
        UsageError: none of the formats has such files.
    """
    formats = [GENERATOR_FORMATS.create(name) for name in GENERATOR_FORMATS.names()]
    found = next((one for one in formats if one.recognises(path)), None)
    if found is None:
        endings = ", ".join(ending for one in formats for ending in one.endings)
        raise UsageError(
            str(path), f"has suffix {path.suffix.lower()!r}", f"give a file of one of: {endings}"
        )
    return found
