"""Audits that read rows alone: are cells balanced, do identities leak across splits?"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from manifests.audit.base import AUDITS, AuditResult
from manifests.balance import check_balance
from manifests.registry import Params
from manifests.schema import Finding, metadata_of, origin_counts
from manifests.splits import leaks

BALANCED = ("pair_id", "codec", "quality", "width", "height")
TIES = ("identity_id", "pair_id", "source_id", "driver_id")
"""Columns that an audit looks at beside those of `schema.CHECKED`."""


def _result(name: str, found: list[Finding], table: pa.Table) -> AuditResult:
    return AuditResult(
        name=name,
        passed=not found,
        findings=tuple(map(str, found)),
        figures={"images": table.num_rows, "findings": len(found)},
    )


@AUDITS.register("balance", family="structure", media="any", columns=BALANCED)
class BalanceAudit:
    """Equal numbers in each split x cell x origin x label x method, and pairs whose halves agree."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def run(self, table: pa.Table, folder: Path, seed: int) -> AuditResult:
        result = _result("balance", check_balance(table), table)
        if "shortfall" in metadata_of(table):  # asked for by --allow-short: found, recorded, no failure
            result = result.model_copy(update={"passed": True})
        counts = origin_counts(table)
        spread = {}
        for split in sorted({str(key[0]) for key in counts}):
            numbers = [n for key, n in counts.items() if str(key[0]) == split]
            spread[f"{split}_per_cell_and_method"] = sorted(set(numbers))
        return result.model_copy(update={"figures": {**result.figures, **spread}})


@AUDITS.register("leaks", family="structure", media="any", columns=TIES)
class LeakAudit:
    """Identities, pairs, sources or drivers that stand in two splits."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def run(self, table: pa.Table, folder: Path, seed: int) -> AuditResult:
        return _result("leaks", leaks(table), table)
