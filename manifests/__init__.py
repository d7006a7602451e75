"""What a sample is: taxonomy, records, schema, store, seeding, images, splits, audit, adapters, release."""

from manifests.errors import UserError
from manifests.records import Cell, Face, ForgeryRecord, ImageRecord, Pair
from manifests.schema import Finding
from manifests.store import read_manifest, validate, write_manifest

__all__ = [
    "Cell", "Face", "Finding", "ForgeryRecord", "ImageRecord", "Pair", "UserError",
    "read_manifest", "validate", "write_manifest",
]
