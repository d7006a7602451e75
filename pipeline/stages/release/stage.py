"""Stage `release`: a folder another lab can load, check and cite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests.atomic import digest_file, write_json
from manifests.errors import DataError, GateError, MissingError
from pipeline.engine.markers import FileFact
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.shards import Task
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES

if TYPE_CHECKING:
    from manifests.release.signing import Credentials

SHORTCUT = "shortcut"


def digest_of(path: Path) -> str:
    """sha256 of a file that the configuration names.

    Raises:
        MissingError: it is not there.
    """
    if not path.is_file():
        raise MissingError(
            str(path), "is not there, and release.sign names it", "give the paths of two PEM files"
        )
    return digest_file(path)


@STAGES.register("release")
class ReleaseStage(Stage):
    """Builds the release folder with the acceptance, audit and result figures in its card, then checks it."""

    name = "release"
    after = "evaluate"
    needs = ("verify", "pair", "audit", "evaluate")

    def check(self, run: RunDirectory) -> None:
        if run.config.release.sign:
            self._credentials(run)

    def config(self, run: RunDirectory) -> dict[str, Any]:
        signed = {"audit": run.config.audit.params.get(SHORTCUT, {})} if run.config.release.sign else {}
        release = run.config.release.model_dump(exclude={"sign"})
        return {"release": release, "verifier": bool(run.config.verify.policy), **signed}

    def files(self, run: RunDirectory) -> dict[str, str]:
        names = zip(("certificate", "key"), run.config.release.sign, strict=False)
        return {what: digest_of(Path(name)) for what, name in names}

    def _credentials(self, run: RunDirectory) -> Credentials | None:
        """Of who signs; None where nobody does."""
        from manifests.release.signing import read_credentials

        files = [Path(name) for name in run.config.release.sign]
        return read_credentials(files[0], files[1]) if files else None

    def files_of(self, run: RunDirectory) -> Iterable[FileFact]:
        from manifests.release.checksums import NAME, read_checksums

        folder = self.folder(run) / "data"
        with suppress(
            DataError
        ):  # of another form: the stage's output, which is compared with its own digest
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
        info = ReleaseInfo.model_validate(run.config.release.model_dump(exclude={"sign"}))
        target = self.folder(run) / "data"
        credentials = self._credentials(run)
        result = build_release(run.folder("pair") / "manifest.parquet", target, info, extras, credentials)
        found = check_release(target)
        if found:
            raise GateError(str(target), "; ".join(map(str, found)), "this is a defect: please report it")
        folder = target.relative_to(run.root).as_posix()
        summary = {"images": result.n_images, "folder": folder}
        if credentials is None:
            return Outcome([target / "SHA256SUMS"], summary)
        audit = self._audit_signed(run, target, extras["audit"])
        return Outcome([target / "SHA256SUMS", audit], {**summary, "signed": credentials.facts["subject"]})

    def _audit_signed(self, run: RunDirectory, target: Path, before: Mapping[str, Any]) -> Path:
        """The shortcut audit of the signed files; the file with its figures.

        Raises:
            GateError: it finds what it did not find in the files before they were signed.
        """
        from manifests.audit import audit_manifest

        report = audit_manifest(target, [SHORTCUT], run.config.audit.params, run.config.run.seed)
        path = self.folder(run) / "signed-audit.json"
        write_json(path, report)
        if not report["passed"] and before["audits"].get(SHORTCUT, {}).get("passed", True):
            found = "; ".join(report["audits"][SHORTCUT]["findings"])
            raise GateError(
                str(target),
                f"signed files tell real from fake: {found}",
                "this is a defect: please report it",
            )
        return path
