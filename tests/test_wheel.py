"""The wheel and the source distribution hold everything, and the program works from a wheel in an environment
of its own.

Nothing is downloaded: the new environment has the wheel alone (`--no-deps`), and finds what it depends on in
the packages of the environment that runs the tests, through a `.pth` file. That file adds a folder and does
not read the `.pth` files in it, so an editable installation there is not seen.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from pipeline.engine.shipped_files import CONFIGS

ROOT = Path(__file__).parents[1]
PACKAGES = ("manifests", "generators", "attribute_models", "detector", "nn", "pipeline")
TAKEN = (*PACKAGES, "configs", "docs", "tests", "benchmarks", ".github")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*cache")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    root = tmp_path_factory.mktemp("build")
    source = root / "source"
    source.mkdir()
    for name in TAKEN:
        shutil.copytree(ROOT / name, source / name, ignore=IGNORED)
    for file in ROOT.iterdir():
        if file.is_file() and file.name != ".git":
            shutil.copyfile(file, source / file.name)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(root / "dist"), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return root / "dist"


@pytest.fixture(scope="module")
def program(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fairforge` of a new environment with the wheel."""
    place = tmp_path_factory.mktemp("environment") / "clean"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-compile",
            "--ignore-installed",
            "--disable-pip-version-check",
            str(next(built.glob("*.whl"))),
        ],
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    packages = next((place / "lib").glob("python*")) / "site-packages"
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "fairforge"


def call(program: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The program called elsewhere, with no path to this checkout."""
    return subprocess.run(
        [str(program), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1"},
    )


def files_of(folder: str, *endings: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix in endings
    }


def test_the_wheel_holds_code_weights_pages_and_configurations(built: Path):
    names = set(zipfile.ZipFile(next(built.glob("*.whl"))).namelist())
    for package in PACKAGES:
        wanted = files_of(package, ".py", ".toml", ".safetensors", ".md", ".html", ".css", ".js", ".typed")
        assert wanted - names == set()
    shipped = files_of("docs", ".md", ".svg", ".css", ".ipynb", ".png", ".jpg") | files_of("configs", ".toml")
    shipped |= {"mkdocs.yml", "CHANGELOG.md"}
    folder = "/".join(("pipeline", "shipped"))  # in the wheel alone
    assert {f"{folder}/{name}" for name in shipped} - names == set()
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "configs/", "docs/"))]


def test_the_source_distribution_holds_what_a_checkout_holds(built: Path):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("tests", "benchmarks", "configs", "docs", ".github"):
        assert files_of(folder, ".py", ".toml", ".md", ".yml", ".ipynb") - names == set()
    assert {
        "Makefile",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "mkdocs.yml",
        "pyproject.toml",
        "setup.py",
    } <= names


def test_doctor_finds_weights_and_configurations_in_the_wheel(program: Path, tmp_path: Path):
    done = call(program, tmp_path, "doctor", "--out", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.split("\n")
    assert not [line for line in lines if line.startswith("MISSING")]
    assert len([line for line in lines if line.startswith("ok      weight ")]) >= 5
    assert next(line for line in lines if "configurations" in line).split()[2:4] == [
        "ablation,",
        "all-methods,",
    ]


def test_a_configuration_of_the_wheel_is_found_from_anywhere(program: Path, tmp_path: Path):
    done = call(program, tmp_path, "config", "show", "--config", "configs/demo.toml")
    assert done.returncode == 0, done.stderr
    assert "per_cell = 56" in done.stdout
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "demo.toml").write_text("[dataset]\nper_cell = 3\n")
    assert "per_cell = 3" in call(program, tmp_path, "config", "show", "--config", "configs/demo.toml").stdout
    gone = call(program, tmp_path, "config", "show", "--config", f"{CONFIGS}/gone.toml")
    assert gone.returncode == 3
    assert "is not there" in gone.stderr


def test_the_site_is_built_from_the_wheel(program: Path, tmp_path: Path):
    done = call(program, tmp_path, "docs", "--no-open", "--out", "site")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "site/index.html"
    assert 'id="detector.fairness.report"' in (tmp_path / "site" / "api" / "detection.html").read_text(
        encoding="utf-8"
    )


def test_the_shell_completes_commands_and_options(program: Path, tmp_path: Path):
    script = subprocess.run(
        [str(program), "--show-completion", "bash"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
    )  # else typer asks which shell called it, and there need be none
    assert script.returncode == 0, script.stderr
    assert "_FAIRFORGE_COMPLETE" in script.stdout

    def completed(words: str) -> list[str]:
        done = subprocess.run(
            [str(program)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(tmp_path),
                "_FAIRFORGE_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split()) - (not words.endswith(" "))),
            },
        )
        return done.stdout.split()

    assert completed("fairforge check-r") == ["check-release"]
    assert {"--checkpoint", "--device"} <= set(completed("fairforge predict --"))
