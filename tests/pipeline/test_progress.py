"""Work shows that it is being done: every stage, by a share, a rate and a time left; on a terminal,
elsewhere, to others.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import UserError
from manifests.watching import watch_by, watched, watching
from pipeline.commands.run_status import status_of
from pipeline.engine import runner
from pipeline.engine.config import Config
from pipeline.engine.executors import Executor
from pipeline.engine.progress import Reporter, Work, duration
from pipeline.engine.progress_file import ProgressFile, read_progress
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import all_stages

STAGES = [stage for stage in all_stages() if not stage.optional]
OPTIONAL = [stage for stage in all_stages() if stage.optional]

QUICK = 0.05


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def slow(stage: Stage, monkeypatch: pytest.MonkeyPatch, watched_too: bool = False) -> None:
    """Let a stage do nothing, slowly, in one piece."""
    kind = type(stage)

    def finish(self: Stage, context: Context, tasks: Any) -> Outcome:
        if watched_too:
            list(watched((time.sleep(QUICK) for _ in range(8)), "thinking", "thoughts", total=8))
        else:
            time.sleep(8 * QUICK)
        return Outcome([])

    monkeypatch.setattr(kind, "parts", lambda self, run: {"of": self.name})
    monkeypatch.setattr(kind, "tasks", lambda self, context, key: [])
    monkeypatch.setattr(kind, "finish", finish)


@pytest.mark.parametrize("stage", [*STAGES, *OPTIONAL], ids=lambda stage: stage.name)
def test_no_stage_is_silent(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow(stage, monkeypatch)
    stream = io.StringIO()
    run = RunDirectory(tmp_path, Config())
    with Executor("local", 1) as executor:
        runner.run_stage(Context(run, executor, Reporter(stream=stream, every=QUICK)), stage, runner.Flags())
    assert stream.getvalue().count(f"{stage.name}: running for 0 s") >= 2


def test_work_inside_a_finish_has_share_rate_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, stream, seen = STAGES[-1], io.StringIO(), []
    slow(stage, monkeypatch, watched_too=True)
    reporter = Reporter(stream=stream, every=QUICK)
    monkeypatch.setattr(ProgressFile, "write", lambda self, value: seen.append(value))
    runner.run_stages(
        RunDirectory(tmp_path, Config()), [stage], flags=runner.Flags(), reporter=reporter, argv=[]
    )
    lines = [line for line in stream.getvalue().splitlines() if "thinking" in line]
    assert re.fullmatch(
        r"report: thinking: \d of 8 thoughts \(\d+ %\), [\d.]+ thoughts/s, \d s left", lines[-1]
    )
    told = next(value for value in seen if value and value["total"])
    assert (told["label"], told["total"], told["unit"]) == ("report: thinking", 8, "thoughts")
    assert seen[-1] is None


def test_a_terminal_has_a_bar_and_whole_lines() -> None:
    stream = Terminal()
    reporter = Reporter(stream=stream, every=QUICK)
    with reporter.work("verify"):
        for _ in reporter.track(range(4), total=4, label="verify"):
            reporter.line("a line [with brackets] of its own, longer than any terminal is wide: " + "x" * 120)
            time.sleep(QUICK)
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", stream.getvalue())
    assert "━" in text
    assert re.search(r"verify: \d of 4 shards \(\d+ %\)", text)
    assert "running for" not in text.split("━")[0]
    assert "a line [with brackets] of its own, longer than any terminal is wide: " + "x" * 120 in text


def test_quiet_is_quiet_and_still_tells_other_terminals(tmp_path: Path) -> None:
    stream = io.StringIO()
    reporter = Reporter(quiet=True, stream=stream, every=QUICK)
    with reporter.shared(tmp_path), reporter.work("pair", total=4, unit="shards") as step:
        step(1)
        time.sleep(4 * QUICK)
        (value,) = read_progress(tmp_path)
        assert (value["label"], value["done"], value["total"]) == ("pair", 1, 4)
        assert value["process"] == f"{socket.gethostname()}-{os.getpid()}"
    assert stream.getvalue() == ""
    assert list(tmp_path.iterdir()) == []


def test_status_shows_what_is_being_done_from_another_terminal(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, Config())
    run.record([])
    reporter = Reporter(quiet=True)
    with reporter.shared(tmp_path), reporter.work("cells", total=12, unit="shards") as step:
        step(3)
        script = (
            "import sys; from pipeline.__main__ import main; sys.exit(main(['status', '--json', '--out',"
            " sys.argv[1]]))"
        )
        found = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
        )
        values = {value["stage"]: value["now"] for value in json.loads(found.stdout)}
        assert [one["total"] for one in values["cells"]] == [12]
        assert values["sample"] == []
        assert "now: cells: " in status_of(tmp_path)[1]
    assert "now:" not in status_of(tmp_path)[1]


def test_files_of_killed_processes_are_not_shown_and_go_away(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    host, pid = socket.gethostname(), ended.stdout.strip()
    value = {"label": "verify", "text": "verify: 1 of 2", "process": f"{host}-{pid}"}
    for name in (f"{host}-{pid}.json", f"{host}-{pid}.tmp", "elsewhere-1.json"):
        (tmp_path / f".progress-{name}").write_text(json.dumps({**value, "process": name}))
    os.utime(tmp_path / ".progress-elsewhere-1.json", (1, 1))
    (tmp_path / ".progress-elsewhere-2.json").write_text(json.dumps(value))
    assert len(read_progress(tmp_path)) == 1
    with ProgressFile(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == [".progress-elsewhere-2.json"]


def test_a_file_that_cannot_be_written_does_not_stop_the_work(tmp_path: Path) -> None:
    reporter = Reporter(quiet=True)
    done = False
    with reporter.shared(tmp_path / "not" / "there"), reporter.work("pair"):
        done = True
    assert done
    assert not (tmp_path / "not").exists()


def test_what_is_shown_ends_with_an_error(tmp_path: Path) -> None:
    reporter = Reporter(stream=io.StringIO(), every=QUICK)
    with pytest.raises(UserError), reporter.shared(tmp_path), reporter.work("pair"), reporter.work("inside"):
        raise UserError("it", "is wrong", "mend it")
    assert list(tmp_path.iterdir()) == []
    assert reporter._board.thread is None


def test_whoever_watches_is_told_and_nobody_else() -> None:
    heard: list[Any] = []

    def watch(*work: Any) -> Any:
        heard.append(work)
        return nullcontext(heard.append)

    assert list(watched([1, 2], "counting")) == [1, 2]
    with watch_by(watch):
        assert list(watched([5, 6], "counting", "numbers")) == [5, 6]
    with watching("alone") as step:
        step(1)
    assert heard == [("counting", 2, "numbers", 0), 1, 2]


def test_words() -> None:
    assert [duration(s) for s in (0.4, 59.4, 61, 3600, 7512)] == [
        "0 s",
        "59 s",
        "1 min 1 s",
        "1 h 0 min",
        "2 h 5 min",
    ]
    work = Work("verify", 12, 2, "shards")
    work.started -= 10
    assert work.text() == "verify: 2 of 12 shards (16 %), running for 10 s"
    work.done = 7
    assert work.text() == "verify: 7 of 12 shards (58 %), 0.5 shards/s, 10 s left"
