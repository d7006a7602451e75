"""Odd values in configurations and odd paths: exit 2 or 3 with words before anything is done, never a
traceback.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from manifests.errors import UsageError
from pipeline.__main__ import main
from pipeline.engine.config_file import DEEPEST, load_config, parse_set

ODD = [
    f"run.seed={'9' * 5000}",
    f"train.lr={'9' * 5000}",
    f"run.name={'[' * 3000}",
    f"run.name={'[' * 40}{']' * 40}",
    "verify.min_sharpness=inf",
    "verify.min_sharpness=nan",
    "forge.max_seam=inf",
    "forge.max_seam=-inf",
    "train.lr=nan",
    "forge.params={blend-self={zoom=2026-11-21}}",
    "forge.params={blend-self={zoom=nan}}",
    "forge.params={blend-self={zoom=[inf]}}",
    "train.online={blend-self=inf}",
    "train.loss_params={a=07:32:00}",
    "audit.params={duplicates={max_distance=inf}}",
    "ablation.variants={a={train={lr=nan}}}",
    "release.date=x",
    "release.date='2026-02-31'",
    "release.date=2026-11-21",
    "release.date='２０２６-01-02'",
    "run.name=1979-05-27T07:32:00Z",
    "run.name=\udcff",
    "evaluate.threshold=nan",
]


@pytest.mark.parametrize("text", ODD, ids=[text[:40].encode("ascii", "replace").decode() for text in ODD])
def test_a_value_that_no_key_takes_is_refused_at_once(text: str):
    with pytest.raises(UsageError) as caught:
        load_config(sets=[text])
    assert caught.value.exit_code == 2
    assert len(str(caught.value)) < 25_000


@pytest.mark.parametrize(
    "lines",
    [
        "[run]\nseed = " + "9" * 5000,
        "[run]\nname = " + "[" * 3000,
        "[forge]\nmax_seam = inf",
        "a = " + "{a=" * 999,
    ],
)
def test_the_same_in_a_file(tmp_path: Path, lines: str):
    (tmp_path / "c.toml").write_text(lines)
    with pytest.raises(UsageError):
        load_config(tmp_path / "c.toml")


def test_every_odd_value_is_named_with_its_place():
    with pytest.raises(UsageError) as caught:
        load_config(
            sets=["forge.max_seam=inf", "forge.params={blend-self={zoom=[1.0, nan]}}", "run.name=2026-01-01"]
        )
    for place in ("forge.max_seam = inf", "forge.params.blend-self.zoom[1] = nan", "run.name = 2026-01-01"):
        assert place in caught.value.why


def test_what_is_plain_stays():
    deep: object = 1
    for _ in range(DEEPEST - 4):
        deep = [deep]
    assert parse_set(f"a={deep}")[1] == deep
    assert load_config(sets=["release.date='2026-02-28'", "forge.max_seam=1e30"]).release.date == "2026-02-28"


def odd_paths(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "file" / "x")
    return {
        "a file": str(tmp_path / "file"),
        "below a file": str(tmp_path / "file" / "x"),
        "a device": "/dev/null/x",
        "a long name": str(tmp_path / ("x" * 300)),
        "a long path": str(tmp_path / ("x/" * 3000)),
        "no file system for it": "/proc/1/x",
        "nothing": "",
        "a loop": str(tmp_path / "loop" / "x"),
        "a broken link": str(tmp_path / "dangling"),
    }


COMMANDS = {
    "run": [
        "run",
        "--to",
        "sample",
        "--set",
        "sample.source=photographs",
        "--set",
        "sample.photographs=none.parquet",
        "--out",
    ],
    "plan": ["plan", "--out"],
    "status": ["status", "--out"],
    "import": ["import", "folder", "SOURCE", "--faces", "none", "--out"],
    "export": ["export", "imagefolder", "SOURCE", "--out"],
    "table": ["table", "SOURCE", "--out"],
    "check-release": ["check-release"],
    "diff-release": ["diff-release", "SOURCE"],
    "fairness": ["fairness"],
    "train --manifest": ["train", "--out", "OUT", "--manifest"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_that_can_be_no_such_thing_ends_with_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
):
    (tmp_path / "source" / "real").mkdir(parents=True)
    (tmp_path / "source" / "real" / "a.png").write_bytes(b"no picture")
    for what, path in odd_paths(tmp_path).items():
        given = {"SOURCE": str(tmp_path / "source"), "OUT": str(tmp_path / "out")}
        code = main([*(given.get(word, word) for word in COMMANDS[command]), path])
        said = capsys.readouterr()
        assert code in ((0, 2, 3) if command == "plan" else (2, 3)), (what, said)
        assert code == 0 or "fix: " in said.err, (what, said)


def parsed() -> list[tuple[str, ast.Call]]:
    """Every call of a method in the packages, with its place."""
    root = Path(__file__).parents[2]
    return [
        (f"{path.relative_to(root)}:{node.lineno}", node)
        for package in ("manifests", "nn", "generators", "attribute_models", "detector", "pipeline")
        for path in sorted((root / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


def test_folders_are_made_in_one_place():
    """`make_folder` ends with words where there can be none."""
    found = [place for place, call in parsed() if call.func.attr in ("mkdir", "makedirs")]
    assert [place.partition(":")[0] for place in found] == ["manifests/atomic.py"]


@pytest.mark.parametrize(
    "words", [["status", "--out", ""], ["status", "--out="], ["status", ""], [""], ["plan", "--config", ""]]
)
def test_an_empty_argument_is_refused_and_named(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "is given an empty value" in said
    assert (
        next((word for word in words if word.startswith("--")), words[0] or "the first argument").rstrip("=")
        in said
    )


def test_a_path_that_is_not_utf8_is_printed(tmp_path: Path):
    program = "from pipeline.__main__ import entry; entry()"
    out = os.fsencode(tmp_path) + b"/caf\xe9"
    done = subprocess.run(
        [sys.executable, "-c", program, "plan", "--out", out], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, "-c", program, "status", "--out", out], capture_output=True, check=False
    )
    assert done.returncode == 3
    assert b"holds no run" in done.stderr


def test_no_path_is_resolved_by_what_raises_on_a_loop():
    """`Path.resolve` raises a RuntimeError on links in a circle; `os.path.realpath` does not."""
    calls = [place for place, call in parsed() if call.func.attr == "resolve"]
    assert calls == []
