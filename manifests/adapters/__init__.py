"""Adapters: other datasets' layouts into the manifest. One file each; `import_images` drives them."""

from manifests.adapters.base import ADAPTERS, Adapter, SourceImage
from manifests.adapters.importing import ImportResult, import_images

__all__ = ["ADAPTERS", "Adapter", "ImportResult", "SourceImage", "import_images"]
