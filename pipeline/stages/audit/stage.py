"""Stage `audit`: can trivial features tell real from fake? leaks? duplicates? balance? A failed gate ends the
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manifests.atomic import write_json
from manifests.errors import GateError
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES


def failed_audits(report: dict[str, Any]) -> dict[str, list[str]]:
    """Findings of the audits that did not pass, by audit."""
    return {
        name: [str(finding) for finding in audit["findings"]]
        for name, audit in report["audits"].items()
        if not audit["passed"]
    }


@STAGES.register("audit")
class AuditStage(Stage):
    """Runs the configured audits on the dataset's manifest; `audit.json` is written whether they pass or
    not.
    """

    name = "audit"
    after = "pair"
    version = 2
    needs = ("pair",)

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {"audit": run.config.audit.model_dump()}

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from manifests.audit import audit_manifest

        run, audit = context.run, context.config.audit
        manifest = run.folder("pair") / "manifest.parquet"
        report = audit_manifest(manifest, audit.audits, audit.params, context.config.run.seed)
        path = self.folder(run) / "audit.json"
        write_json(path, report)
        failed = failed_audits(report)
        if failed:
            raise GateError(
                f"audit {', '.join(failed)}",
                "; ".join(f for found in failed.values() for f in found[:5]),
                f"read {path}, then mend the data, or change the limit under [audit.params]",
            )
        return Outcome([path], {"passed": len(report["audits"])})
