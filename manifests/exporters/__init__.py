"""Exporters: a manifest in the layout that another lab's programs load, a file each."""

from manifests.exporters.base import EXPORTERS, Exporter

__all__ = ["EXPORTERS", "Exporter"]
