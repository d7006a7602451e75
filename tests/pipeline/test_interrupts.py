"""Ctrl-C and SIGTERM: one sentence and exit code 130, however often they come, and nothing else on the
terminal.
"""

import signal
import subprocess
import sys
import time

import pytest

SLOW = """
import sys, time
import typer
from pipeline import __main__ as program, cli

def build():
    app = typer.Typer()
    @app.command()
    def work():
        print("working", flush=True)
        try:
            time.sleep(60)
        finally:
            time.sleep(float(sys.argv[1]))
    return app

cli.build = build
sys.argv = sys.argv[:1] + sys.argv[1:]
count = sys.argv[1]
program.main = (lambda main: lambda argv=None: main([]))(program.main)
program.entry()
"""


def interrupted(signals: list[signal.Signals], cleaning: float = 0.3, gap: float = 0.05) -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(cleaning)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # a background shell has it ignored
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    for number in signals:
        process.send_signal(number)
        time.sleep(gap)
    _, said = process.communicate(timeout=50)
    return process.returncode, said


@pytest.mark.parametrize(
    "signals",
    [
        [signal.SIGINT],
        [signal.SIGTERM],
        [signal.SIGINT] * 2,
        [signal.SIGTERM] * 3,
        [signal.SIGINT, signal.SIGTERM] * 5,
    ],
    ids=str,
)
def test_an_interrupt_says_so_and_leaves_with_130(signals):
    code, said = interrupted(signals)
    assert said == "interrupted; what is finished is kept, the same command goes on from there\n"
    assert code == 130


def test_one_that_comes_while_it_hangs_ends_it(monkeypatch):
    started = time.monotonic()
    code, said = interrupted([signal.SIGINT, signal.SIGINT], cleaning=40, gap=3.2)
    assert code == 130
    assert said.count("interrupted") == 1
    assert time.monotonic() - started < 35
