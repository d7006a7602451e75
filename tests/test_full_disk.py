"""A full disk, wherever it is met: exit 5, what was finished stays; every writer of files is one of those
that say so.
"""

import ast
import errno
from pathlib import Path

import numpy as np
import pytest

from generators.training.pixel_files import pixel_file
from manifests import atomic
from manifests.errors import PartialError, UsageError, disk_errors
from manifests.locks import in_turn, writing_alone
from nn import saving
from nn.saving import save_state
from pipeline import __main__ as program
from pipeline import cli
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory

ROOT = Path(__file__).parents[1]
FULL = OSError(errno.ENOSPC, "No space left on device")


class Full:
    """A file on a disk with some bytes left."""

    def __init__(self, left: int) -> None:
        self.left, self.at = left, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def write(self, data) -> int:
        self.left -= len(memoryview(data).cast("B"))
        if self.left < 0:
            raise FULL
        return len(data)

    def seek(self, at):
        return at

    def flush(self):
        return None


@pytest.mark.parametrize("left", [0, 100, 3000])
def test_a_state_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int):
    import torch

    save_state(tmp_path / "state.pt", {"a": torch.zeros(4)})
    before = (tmp_path / "state.pt").read_bytes()
    monkeypatch.setattr(saving, "open", lambda *_: Full(left), raising=False)
    with pytest.raises(PartialError, match="disk is full"):
        save_state(tmp_path / "state.pt", {"a": torch.zeros(100, 100), "b": [1.5, "x"]})
    assert (tmp_path / "state.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_state_that_cannot_be_saved_is_no_full_disk(tmp_path: Path):
    with pytest.raises((AttributeError, TypeError)):
        save_state(tmp_path / "state.pt", {"a": lambda: None})


def test_pictures_of_a_size_are_numpys_own_file(tmp_path: Path):
    pictures = np.random.default_rng(0).integers(0, 255, (300, 4, 4, 3), np.uint8)
    with pixel_file(tmp_path / "a.npy", 4) as add:
        for start in range(0, 300, 7):
            add(pictures[start : start + 7])
    np.save(tmp_path / "b.npy", pictures)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_pictures_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from generators.training import pixel_files

    monkeypatch.setattr(pixel_files, "open", lambda *_: Full(500), raising=False)
    with pytest.raises(PartialError), pixel_file(tmp_path / "a.npy", 8) as add:
        add(np.zeros((100, 8, 8, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_the_pid_in_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_):
        raise FULL

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(PartialError), RunDirectory(tmp_path, Config()).locked():
        raise AssertionError


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, 5),
        (errno.EDQUOT, 5),
        (errno.EROFS, 2),
        (errno.EACCES, 2),
        (errno.ENOTDIR, 2),
        (errno.ENAMETOOLONG, 2),
        (errno.ELOOP, 2),
        (errno.EEXIST, 2),
    ],
)
def test_an_error_of_the_disk_that_nobody_took_ends_with_words(monkeypatch, capsys, number: int, code: int):
    def build():
        def work(**_):
            raise OSError(number, "words", "/place")

        return work

    monkeypatch.setattr(cli, "build", build)
    assert program.main([]) == code
    assert "error: /place: " in capsys.readouterr().err


def test_other_errors_of_files_are_bugs(monkeypatch):
    def build():
        def work(**_):
            raise FileNotFoundError(errno.ENOENT, "words", "/place")

        return work

    monkeypatch.setattr(cli, "build", build)
    with pytest.raises(FileNotFoundError):
        program.main([])
    with pytest.raises(FileNotFoundError), disk_errors(Path("x")):
        raise FileNotFoundError(errno.ENOENT, "words")


def test_a_folder_has_one_writer_and_its_lock_leaves_nothing(tmp_path: Path):
    with writing_alone(tmp_path / "a"):
        with pytest.raises(UsageError, match="another process is writing"), writing_alone(tmp_path / "a"):
            raise AssertionError
        assert list((tmp_path / "a").iterdir()) == []
    with writing_alone(tmp_path / "a"), in_turn(tmp_path / "b" / ".lock"):
        assert (tmp_path / "b" / ".lock").is_file()


def test_what_killed_writers_left_goes_and_other_files_stay(tmp_path: Path):
    (tmp_path / "images").mkdir()
    ours = ["images/.a.png.abcd1234.tmp", ".state.pt.x_y_z_12.tmp"]
    names = [*ours, ".state.pt.tmp", "a.tmp", ".note.longer-than-8.tmp", "images/a.png"]
    for name in names:
        (tmp_path / name).touch()
    atomic.drop_temporaries(tmp_path, ("manifest",))
    assert all((tmp_path / name).exists() for name in names)
    atomic.drop_temporaries(tmp_path, ("state.pt",))
    assert [name for name in names if not (tmp_path / name).exists()] == ours[1:]
    atomic.drop_temporaries(tmp_path)
    assert [name for name in names if not (tmp_path / name).exists()] == ours


BYPASS = {"save_file": "safetensors", "open_memmap": "a memory map", "memmap": "a memory map"}
"""Writers whose errors of a full disk are none of Python's, or end the process."""


def test_every_state_and_array_is_written_by_what_knows_a_full_disk():
    """`torch.save` is called in nn.saving alone; nothing else writes past `open`, and nothing is appended
    to.
    """
    found = []
    for package in ("manifests", "nn", "generators", "attribute_models", "detector", "pipeline"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                text = ast.unparse(node.func)
                if (text == "torch.save" and path.name != "saving.py") or text.rpartition(".")[2] in BYPASS:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {text}")
                if text == "open" and any(
                    isinstance(a, ast.Constant) and a.value in ("a", "ab") for a in node.args[1:]
                ):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: appends")
    assert [one for one in found if not one.startswith("generators/training/loop.py")] == []
