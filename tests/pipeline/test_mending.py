"""Files of finished stages that are missing, emptied or altered: named, and made again where the stage may
be; else an error.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from manifests.atomic import digest_file, write_bytes
from manifests.errors import DataError
from pipeline.engine import runner
from pipeline.engine.config import Config
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.runner import Flags, plan, run_stages
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage

SAMPLE, VERIFY = "sample", "verify"


def draw(task: Task) -> pa.Table:
    names = [f"images/{task.index}/{k}.bin" for k in range(3)]
    for name in names:
        write_bytes(task.folder / name, name.encode() * 9)
    return pa.table({"path": names})


class Draws(Stage):
    """Two shards of three files each, and a table."""

    name = SAMPLE
    version = 1

    def config(self, run):
        return {}

    def tasks(self, context: Context, key: str) -> list[Task]:
        return [Task(self.name, index, self.folder(context.run), key, draw) for index in range(2)]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from manifests.store import write_table

        path = self.folder(context.run) / "table.parquet"
        write_table(read_shards(self.folder(context.run), len(tasks)), path)
        return Outcome([path])


class Reads(Stage):
    """Reads all files of `Draws` in one piece."""

    name = VERIFY
    needs = (SAMPLE,)

    def config(self, run):
        return {"psi": run.config.sample.psi}

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        folder = context.run.folder(SAMPLE)
        path = self.folder(context.run) / "read.bin"
        write_bytes(path, b"".join(file.read_bytes() for file in sorted((folder / "images").rglob("*.bin"))))
        return Outcome([path])


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[Stage]:
    made: list[Stage] = [Draws(), Reads()]
    monkeypatch.setattr(runner, "all_stages", lambda: made)
    return made


class Said(Reporter):
    """A reporter that keeps its lines."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def go(out: Path, stages: Sequence[Stage], fresh: bool = False, **sections: dict) -> list[str]:
    said = Said()
    config = Config.model_validate(
        {"execute": {"executor": "local", **sections.pop("execute", {})}, **sections}
    )
    run_stages(RunDirectory(out, config), stages, flags=Flags(fresh=fresh), reporter=said, argv=[])
    return said.lines


def contents(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): digest_file(path)
        for path in sorted(out.glob("*/**/*"))
        if path.is_file()
    }


def swap(out: Path) -> None:
    a, b = (out / SAMPLE / "images" / f"{k}/1.bin" for k in "01")
    a.rename(out / "x")
    b.rename(a)
    (out / "x").rename(b)


IMAGE = "images/0/2.bin"
CHANGES = {
    "missing": lambda out: (out / SAMPLE / IMAGE).unlink(),
    "emptied": lambda out: (out / SAMPLE / IMAGE).write_bytes(b""),
    "cut off": lambda out: (out / SAMPLE / IMAGE).write_bytes(b"images"),
    "all gone": lambda out: shutil.rmtree(out / SAMPLE / "images"),
    "altered": lambda out: (out / SAMPLE / IMAGE).write_bytes(b"x" * 126),
    "swapped": swap,
    "table altered": lambda out: (out / SAMPLE / "table.parquet").write_bytes(b"x"),
}
SEEN_AT_ONCE = ("missing", "emptied", "cut off", "all gone", "table altered")
"""What is seen without reading every file."""


@pytest.mark.parametrize("how", CHANGES)
def test_what_a_stage_is_about_to_read_is_made_again(tmp_path: Path, stages, how: str):
    go(tmp_path, stages)
    before = contents(tmp_path)
    CHANGES[how](tmp_path)
    said = go(tmp_path, stages, sample={"psi": 0.5})
    assert any("made again" in line and SAMPLE in line for line in said)
    left, right = (
        {name: sha for name, sha in found.items() if name.startswith(SAMPLE) or name == "verify/read.bin"}
        for found in (contents(tmp_path), before)
    )
    assert left == right


@pytest.mark.parametrize("how", SEEN_AT_ONCE)
def test_a_finished_run_looks_at_its_files(tmp_path: Path, stages, how: str):
    go(tmp_path, stages)
    before = contents(tmp_path)
    CHANGES[how](tmp_path)
    run = RunDirectory(tmp_path, Config())
    assert [one.state for one in plan(run, stages)] == ["stale", "stale"]
    assert plan(run, stages)[0].why.startswith("missing, or not as they were written: ")
    said = go(tmp_path, stages)
    assert "sample: done already" not in said
    assert contents(tmp_path) == before
    assert go(tmp_path, stages) == ["sample: done already", "verify: done already"]


@pytest.mark.parametrize("how", CHANGES)
def test_a_stage_alone_says_what_is_wrong_and_how_to_mend_it(tmp_path: Path, stages, how: str):
    go(tmp_path, stages)
    CHANGES[how](tmp_path)
    with pytest.raises(DataError, match="is missing or was changed since stage sample made it") as caught:
        go(tmp_path, stages[1:], sample={"psi": 0.5})
    assert "--from sample --to verify" in caught.value.fix
    assert go(tmp_path, stages, sample={"psi": 0.5})


def test_the_setting_says_how_much_is_compared(tmp_path: Path, stages):
    go(tmp_path, stages)
    CHANGES["altered"](tmp_path)
    go(tmp_path, stages[1:], execute={"digests": "none"}, sample={"psi": 0.5})
    with pytest.raises(DataError):
        go(tmp_path, stages[1:], execute={"digests": "whole"}, sample={"psi": 0.6})
    said = go(tmp_path, stages[:1], execute={"digests": "whole"})
    assert f"sample: shard 0 is made again: {IMAGE} is missing or was changed" in said


def test_nothing_is_written_through_a_link_that_leads_out(tmp_path: Path, stages):
    go(tmp_path, stages)
    (tmp_path / SAMPLE / "images").rename(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    (tmp_path / SAMPLE / "images").symlink_to(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="is a link that leads out of"):
        go(tmp_path, stages, sample={"psi": 0.5})
    assert contents(tmp_path) == before


def test_fresh_makes_everything_again(tmp_path: Path, stages):
    go(tmp_path, stages)
    before = contents(tmp_path)
    assert go(tmp_path, stages, fresh=True).count("sample: 2 of 2 shards to do") == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["{", "[]", '{"key": 1}', '{"key": "k", "digest": "d"}'])
def test_a_damaged_stage_marker_makes_the_stage_again(tmp_path: Path, stages, text: str):
    go(tmp_path, stages)
    before = contents(tmp_path)
    (tmp_path / SAMPLE / "done" / "stage.json").write_text(text)
    assert plan(RunDirectory(tmp_path, Config()), stages)[1].state == "waiting"
    go(tmp_path, stages)
    assert contents(tmp_path) == before
