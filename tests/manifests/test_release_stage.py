"""The stage `release` of a run: signs where it is told to, audits what it signed, and is made again for
another certificate.
"""

import json

import pyarrow as pa
import pytest

from manifests.atomic import write_json
from manifests.errors import GateError, MissingError
from manifests.store import read_manifest, write_manifest
from pipeline.engine.config import Config
from pipeline.engine.executors import Executor
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.stage import Context
from pipeline.stages.release import stage as stage_module
from pipeline.stages.release.stage import ReleaseStage
from tests.manifests.manifest_rows import drawn_set

CHEAP = {"audit": {"params": {"shortcut": {"folds": 2, "replicates": 20, "max_images": 100}}}}


@pytest.fixture
def made(tmp_path):
    """A run whose stages before `release` have left what it reads, and credentials: run, certificate, key."""
    from tests.manifests.certificates import write_credentials

    pytest.importorskip("c2pa")
    certificate, key = write_credentials(tmp_path / "who")
    run = RunDirectory(
        tmp_path / "run", Config().with_values(release={"sign": (str(certificate), str(key))}, **CHEAP)
    )
    drawn_set(run.folder("pair"), per_cell=2, size=16, methods={"none": "none", "swap-a": "swap"})
    table = read_manifest(run.folder("pair") / "manifest.parquet")
    rows = [{**row, "origin": "synthetic"} for row in table.to_pylist()]
    write_manifest(pa.Table.from_pylist(rows, schema=table.schema), run.folder("pair") / "manifest.parquet")
    write_json(run.folder("verify") / "acceptance.json", {})
    write_json(run.folder("evaluate") / "results.json", {"datasets": {}})
    write_json(run.folder("audit") / "audit.json", {"audits": {"shortcut": {"passed": True, "findings": []}}})
    return run, certificate, key


def finished(run):
    return ReleaseStage().finish(Context(run, Executor("local", 1), Reporter(quiet=True)), [])


def test_a_signed_release_is_audited_and_its_certificate_is_in_the_key(made):
    run, certificate, key = made
    stage = ReleaseStage()
    stage.check(run)
    outcome = finished(run)
    assert [path.name for path in outcome.outputs] == ["SHA256SUMS", "signed-audit.json"]
    assert outcome.summary["signed"].startswith("CN=signer")
    report = json.loads((stage.folder(run) / "signed-audit.json").read_text())
    assert report["audits"]["shortcut"]["passed"]
    before = stage.files(run)
    certificate.write_bytes(certificate.read_bytes() + b"\n")
    assert stage.files(run)["certificate"] != before["certificate"]
    assert stage.files(run)["key"] == before["key"]
    key.unlink()
    with pytest.raises(MissingError, match="is not there"):
        stage.files(run)
    with pytest.raises(MissingError, match="is not there"):
        stage.check(run)


def test_signed_files_that_tell_real_from_fake_are_no_release(made, monkeypatch):
    """Where the audit finds what it did not find before."""
    run, *_ = made
    found = {"passed": False, "audits": {"shortcut": {"passed": False, "findings": ["bytes alone: AUC 1.0"]}}}
    monkeypatch.setattr("manifests.audit.audit_manifest", lambda *arguments: found)
    with pytest.raises(GateError, match=r"signed files tell real from fake: bytes alone: AUC 1\.0"):
        finished(run)


def test_without_a_certificate_nothing_is_signed_or_audited(made):
    run, *_ = made
    plain = RunDirectory(run.root, run.config.with_values(release={"sign": ()}))
    outcome = finished(plain)
    assert [path.name for path in outcome.outputs] == ["SHA256SUMS"]
    assert json.loads((ReleaseStage().folder(plain) / "data" / "release.json").read_text())["signed"] is None
    assert ReleaseStage().files(plain) == {}
    assert stage_module.SHORTCUT not in json.dumps(ReleaseStage().config(plain))
