"""What an audit is: it looks at a manifest and its files, and says what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from manifests.registry import Registry


class AuditResult(BaseModel):
    """One audit's verdict. figures: JSON-able, no NaN (None for what is undefined)."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    findings: tuple[str, ...] = ()
    figures: dict[str, Any] = {}


class Audit(Protocol):
    """An audit of a manifest."""

    def run(self, table: pa.Table, folder: Path, seed: int) -> AuditResult:
        """Look at the rows and at the files below the folder.

        Args:
            table: the rows, with the manifest's schema.
            folder: of the manifest: paths are relative to it.
            seed: of everything that the audit draws.

        Raises:
            DataError: an image that the audit needs cannot be read.
        """
        ...


AUDITS: Registry[Audit] = Registry("audits", "manifests.audit")
