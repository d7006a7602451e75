"""Adapter `genimage`: folders `<generator>/{train,val}/{ai,nature}/`, as GenImage (Zhu et al., NeurIPS 2023)
is laid out.

Its real images are JPEG and its fakes PNG, of other sizes: a detector learns the codec (arXiv 2403.17608).
The import's one encoder call for all images takes that away, but not the sizes: the shortcut audit shows what
is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests.adapters.base import ADAPTERS, SourceImage, left_out
from manifests.errors import MissingError
from manifests.images import READABLE
from manifests.listing import list_files, list_folders
from manifests.registry import Params
from manifests.schema import Finding

KINDS = {"nature": 0, "ai": 1}
SPLITS = {"train": "train", "val": "test"}
"""GenImage has no third part: its `val` is what papers test on."""


class GenImageParams(Params):
    """`generators`: all that are there when empty."""

    taxonomy: str = "fairface4"
    generators: tuple[str, ...] = ()


@ADAPTERS.register(
    "genimage",
    family="images",
    params=GenImageParams,
    licence="CC BY-NC-SA 4.0",
    paper="Zhu et al., NeurIPS 2023 (arXiv 2306.08571)",
    taxonomy="fairface4",
)
class GenImage:
    """Real and generated images per generator, without attributes."""

    annotated = False

    def __init__(self, params: GenImageParams) -> None:
        self.params = params

    def _generators(self, source: Path) -> list[str]:
        there = [path.name for path in list_folders(source).files]
        return [name for name in there if not self.params.generators or name in self.params.generators]

    def _folders(self, source: Path, name: str) -> Iterator[tuple[str, str, Path]]:
        """(split, kind, folder); some archives have one more folder inside."""
        for split in SPLITS:
            for kind in KINDS:
                plain = source / name / split / kind
                yield (
                    split,
                    kind,
                    plain if plain.is_dir() else next((source / name).glob(f"*/{split}/{kind}"), plain),
                )

    def check(self, source: Path) -> list[Finding]:
        names = self._generators(source)
        if not names:
            return [Finding("layout", f"{source} holds no folder of a generator")]
        return [
            Finding("layout", f"{folder} is missing: unpack all parts of {name}")
            for name in names
            for _, _, folder in self._folders(source, name)
            if not folder.is_dir()
        ]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(
                str(source), "; ".join(f.message for f in found), "see what is missing with --check"
            )
        yield from left_out(list_folders(source), "")
        for name in self._generators(source):
            for split, kind, folder in self._folders(source, name):
                listing = list_files(folder, READABLE)
                yield from left_out(listing, f"{folder.relative_to(source).as_posix()}/")
                for path in listing.files:
                    label = KINDS[kind]
                    yield SourceImage(
                        key=path.relative_to(source).as_posix(),
                        path=path,
                        label=label,
                        method=name if label else "none",
                        family="synthesis" if label else "none",
                        split=SPLITS[split],
                        dataset="genimage",
                        origin="synthetic" if label else "photograph",
                        licence="CC BY-NC-SA 4.0",
                    )
