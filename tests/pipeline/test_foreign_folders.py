"""A folder that others made may hold links in place of every file that a command writes: what they lead to
stays as it is.
"""

import os
from pathlib import Path

import pytest

from manifests.errors import UsageError
from manifests.locks import in_turn
from pipeline.__main__ import main
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory
from tests.generators.training_data import TINY, discs, png
from tests.manifests.manifest_rows import drawn_set

COMMANDS = {
    "import": ["import", "folder", "pictures"],
    "gather": ["gather", "reals"],
    **{
        f"export {name}": ["export", name, "set"]
        for name in ("imagefolder", "webdataset", "deepfakebench", "purdue")
    },
    "train-generator": [
        "train-generator",
        "--data",
        "pictures/real",
        "--resolution",
        "16",
        "--kimg",
        "0.008",
        "--quiet",
        *(word for key, value in TINY.items() if key != "threads" for word in ("--set", f"{key}={value}")),
    ],
}
MINE = b"mine"
ON_ANOTHER_DISK = {"import", "train-generator"}
"""Their folders may be links, like the folder of a stage: `data` and `images` grow large."""
READ_FIRST = "state.pt"
"""Where that is a link to something else, a training ends before it writes."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read."""
    folder = tmp_path_factory.mktemp("sources")
    drawn_set(folder / "set", per_cell=2, size=16, methods={"none": "none", "swap-a": "swap"})
    drawn_set(folder / "reals", per_cell=2, size=16, methods={"none": "none"})
    for kind in ("real", "fake"):
        (folder / "pictures" / kind).mkdir(parents=True)
        for number, image in enumerate(discs(20, seed=ord(kind[0]))):
            (folder / "pictures" / kind / f"{number}.png").write_bytes(png(image))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_links_are_not_written_through(
    name: str, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(sources)
    assert main([*COMMANDS[name], "--out", str(tmp_path / "first")]) == 0
    made = contents(tmp_path / "first")
    assert made
    for kind in ("files", "folders") if name not in ON_ANOTHER_DISK else ("files",):
        victim, out = tmp_path / f"victim-{kind}", tmp_path / kind
        out.mkdir()
        for path in made.keys() - {READ_FIRST}:
            (victim / path).parent.mkdir(parents=True, exist_ok=True)
            (victim / path).write_bytes(MINE)
            link = out / (path if kind == "files" else path.partition("/")[0])
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(victim / link.relative_to(out))
        before = contents(victim)
        assert main([*COMMANDS[name], "--out", str(out)]) in (0, 2, 3)
        assert contents(victim) == before, kind


@pytest.mark.parametrize("there", [True, False])
def test_locks_follow_no_link(tmp_path: Path, there: bool):
    victim, run = tmp_path / "victim", RunDirectory(tmp_path / "run", Config())
    run.root.mkdir()
    if there:
        victim.write_bytes(MINE)
    for name in (".lock", ".step-lock"):
        (run.root / name).symlink_to(victim)
    for lock in (run.locked, run.alone, lambda: in_turn(run.root / ".lock")):
        with pytest.raises(UsageError, match="is no place for it"), lock():
            raise AssertionError
    assert os.path.exists(victim) == there
    assert not there or victim.read_bytes() == MINE
