"""Makes images: StyleGAN2, demographic cells in latent space, forgeries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from generators.stylegan2 import Generator

__all__ = ["load_generator"]


def load_generator(name_or_path: str | Path, device: str = "cpu") -> Generator:
    """A generator by catalogue name, `.safetensors` path or official `.pkl` path; see
    `generators.checkpoints.library`.
    """
    from generators.checkpoints.library import load_generator as load

    return load(name_or_path, device)
