"""What an exporter is: it writes a manifest in another lab's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from manifests.registry import Registry


class Exporter(Protocol):
    """Writes one layout."""

    def export(self, manifest: Path, out: Path) -> Path:
        """Write the layout; what was there of an earlier call is gone on with.

        Args:
            manifest: its file, or the folder with `manifest.parquet`.
            out: folder, made if needed.

        Returns:
            What another program is pointed at: `out`, or a file in it.

        Raises:
            MissingError: no manifest.
            DataError: a manifest or an image that cannot be used.
            PartialError: the disk is full.
        """
        ...


EXPORTERS: Registry[Exporter] = Registry("exporters", "manifests.exporters")
