"""Puts the configurations and documents, which are no packages, into the wheel: below `pipeline/shipped`."""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SHIPPED = ("configs/*.toml", "docs/**/*.*", "*.md", "mkdocs.yml")


class BuildWithDocuments(build_py):
    """As `build_py`, and the files that `pipeline.engine.shipped_files` looks for where there is no
    checkout.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for pattern in SHIPPED:
            for file in sorted(ROOT.glob(pattern)):
                if "__pycache__" in file.parts or not file.is_file():
                    continue
                goal = Path(self.build_lib, "pipeline", "shipped", file.relative_to(ROOT))
                self.mkpath(str(goal.parent))
                copyfile(file, goal)


setup(cmdclass={"build_py": BuildWithDocuments})
