"""Stage `release`: a folder another lab can load, check and cite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from manifests.errors import DataError, GateError
from pipeline.markers import FileFact
from pipeline.run_directory import RunDirectory, read_json
from pipeline.shards import Task
from pipeline.stages.base import Context, Outcome, Stage


class ReleaseStage(Stage):
    """Builds the release folder with the acceptance, audit and result figures in its card, then checks it."""

    name = "release"
    needs = ("verify", "pair", "audit", "evaluate")

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {"release": run.config.release.model_dump(), "verifier": bool(run.config.verify.policy)}

    def files_of(self, run: RunDirectory) -> Iterable[FileFact]:
        from manifests.release.checksums import NAME, read_checksums

        folder = self.folder(run) / "data"
        with suppress(DataError):  # of another form: the stage's output, which is compared with its own digest
            sums = read_checksums(folder) if (folder / NAME).is_file() else {}
            return [FileFact(folder, name, None, sha256) for name, sha256 in sums.items()]
        return []

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from manifests.release import ReleaseInfo, build_release, check_release

        run = context.run
        extras = {
            "acceptance": read_json(run.folder("verify") / "acceptance.json"),
            "audit": read_json(run.folder("audit") / "audit.json"),
            "results": read_json(run.folder("evaluate") / "results.json"),
        }
        if run.config.verify.policy:
            extras["verifier"] = read_json(run.folder("verify") / "verifier.json")
        info = ReleaseInfo.model_validate(run.config.release.model_dump())
        target = self.folder(run) / "data"
        result = build_release(run.folder("pair") / "manifest.parquet", target, info, extras)
        found = check_release(target)
        if found:
            raise GateError(str(target), "; ".join(map(str, found)), "this is a defect: please report it")
        folder = target.relative_to(run.root).as_posix()
        return Outcome([target / "SHA256SUMS"], {"images": result.n_images, "folder": folder})
