"""Audit `sources`: can trivial features tell where real images come from? The floor below any question about
fakes.

Real images of two sources (`dataset`, `origin`, `generator`) differ in codec, size or colours, and nobody
forged anything. Where a source also has more fakes than the others, a detector learns the source and calls it
a forgery: that fails the audit. Beside it stands what the same judges reach on real images against real
images, halves drawn at random by pair: what this set gives by chance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from manifests.audit.base import AUDITS, AuditResult
from manifests.audit.shortcut import ShortcutAudit, ShortcutParams, shuffled_groups
from manifests.seeding import seed_of
from manifests.watching import watched

SOURCES = ("dataset", "origin", "generator")


class SourceParams(ShortcutParams):
    """As of `shortcut`; `halves`: random halves of the real images; `share`: how far a source's share of
    fakes may be off.
    """

    halves: int = Field(4, ge=1, le=100)
    share: float = Field(0.10, ge=0, le=1)


@AUDITS.register("sources", family="shortcut", params=SourceParams, paper="GenImage (arXiv 2306.08571)")
class SourceAudit(ShortcutAudit):
    """Real against real: one source against the others, and halves at random."""

    name = "sources"
    params: SourceParams
    columns = ("image_id", "path", "label", "method", "cell", "pair_id", *SOURCES)

    def run(self, table: pa.Table, folder: Path, seed: int) -> AuditResult:
        rows = table.select(list(self.columns)).to_pylist()
        fakes = self._fake_shares(rows)
        real = self._bounded([row for row in rows if row["label"] == 0], seed)
        matrix = self.matrix(real, folder)
        group = shuffled_groups([self.group_of(row) for row in real], seed)
        questions: list[tuple[str, str, np.ndarray[Any, Any]]] = []
        for column in SOURCES:
            values = sorted({str(row[column]) for row in real if row[column] is not None})
            questions += [
                (column, value, np.array([str(row[column]) == value for row in real]) * 1)
                for value in (values if len(values) > 1 else [])
            ]
        figures: dict[str, Any] = {}
        findings, failed = [], False
        for column, value, y in watched(questions, "sources", "questions"):
            for kind in self.kinds:
                name = f"{column} {value} or another ({kind})"
                figure = self._answer(matrix, y.astype(np.int64), group, kind, f"{column} {value}", seed)
                share, whole = fakes[column, value], fakes[column, None]
                figures[name] = {
                    **figure,
                    "share_of_fakes": round(share, 4),
                    "share_of_fakes_overall": round(whole, 4),
                }
                if figure["auc"] is None or not figure["above_limit"]:
                    continue
                uneven = abs(share - whole) > self.params.share
                findings.append(
                    f"real images of {column} {value} or of another, {kind} features: AUC {figure['auc']:.3f}"
                    f" [{figure['low']:.3f}, {figure['high']:.3f}], most telling {figure['feature']} (alone"
                    f" {figure['feature_auc']:.3f}); fakes are {100 * share:.0f} % of it, {100 * whole:.0f} %"
                    " of all"
                )
                failed |= uneven and kind not in self.loose
        return AuditResult(
            name=self.name,
            passed=not failed,
            findings=tuple(findings),
            figures={
                "images": len(real),
                "sources": figures,
                "at_random": self._halves(matrix, group, seed),
            },
        )

    @staticmethod
    def _fake_shares(rows: list[dict[str, Any]]) -> dict[tuple[str, str | None], float]:
        """The share of fakes of every source, and of all rows that have one, by column and value (None:
        all).
        """
        out: dict[tuple[str, str | None], float] = {}
        for column in SOURCES:
            known = [row for row in rows if row[column] is not None]
            for value in (None, *{str(row[column]) for row in known}):
                mine = [row["label"] for row in known if value is None or str(row[column]) == value]
                out[column, value] = float(np.mean(mine)) if mine else 0.0
        return out

    def _halves(self, matrix: Any, group: Any, seed: int) -> dict[str, Any]:
        """By kind: AUCs of real against real where pairs are put into halves at random."""
        out = {}
        for kind in self.kinds:
            found = []
            for k in range(self.params.halves):
                side = np.array([seed_of(seed, "halves", k, int(one)) % 2 for one in group], np.int64)
                found.append(self._answer(matrix, side, group, kind, f"half {k}", seed)["auc"])
            known = [one for one in found if one is not None]
            out[kind] = {"aucs": found, "mean": round(float(np.mean(known)), 4) if known else None}
        return out
