"""Files that come with the program and are no package: configurations and documents, in a checkout or in a
wheel.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Of a checkout; of a wheel, the folder of all packages."""
CONFIGS = "configs"


def shipped_root() -> Path:
    """The folder with `configs`, `docs` and `mkdocs.yml`: the checkout, or where the wheel has them."""
    return ROOT if (ROOT / "mkdocs.yml").is_file() else ROOT / "pipeline" / "shipped"


def shipped_configs() -> dict[str, Path]:
    """The configurations that come with the program by name, `demo` and so on."""
    return {file.stem: file for file in sorted((shipped_root() / CONFIGS).glob("*.toml"))}


def config_file(path: Path) -> Path:
    """A configuration's file: `path` where it is there, else the shipped one of that name.

    That is where `path` is a TOML file right below a folder `configs`: `--config configs/demo.toml` means the
    same in a checkout and anywhere else.
    """
    if path.is_file() or path.parent != Path(CONFIGS):
        return path
    return shipped_configs().get(path.stem, path) if path.suffix == ".toml" else path
