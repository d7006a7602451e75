"""`fairforge generators compare`: two or more generators against the same real faces, in one table with
sheets of unselected faces.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from attribute_models.quality import looks
from manifests.atomic import digest_file, digest_value, drop_temporaries, make_folder, write_json, write_text
from manifests.errors import MissingError, UsageError
from manifests.images import READABLE, Image
from manifests.listing import list_files
from manifests.locks import writing_alone
from pipeline.commands.generators.appearance import compare_looks
from pipeline.commands.generators.comparison_sheets import blind_sheet, contact_sheet
from pipeline.commands.generators.comparison_table import as_csv, as_markdown
from pipeline.commands.generators.metric_settings import LEAST, MetricSettings, check
from pipeline.commands.generators.metrics import (
    distances,
    figures_of,
    read_generated,
    read_references,
)
from pipeline.engine import models
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import read_json
from pipeline.faces.feature_spaces import FEATURE_SPACES
from pipeline.faces.features import TAXONOMY

SPACES = ("attributes", "efficientnet_lite0", "identity")
"""Feature spaces where none are asked for, those of them that are installed."""
TIMED, ROUNDS = 16, 3
PARTS = "measured"
"""Folder of what was measured of each generator, by what it was measured of."""


class Looks:
    """Brightness, contrast and sharpness of pictures as they pass, by perceived cell."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[float, float, float]]] = {}

    def __call__(self, cell: str, image: Image) -> None:
        """Take the measures of a picture: its perceived cell, uint8 [S, S, 3]."""
        self._rows.setdefault(cell, []).append(looks(image))

    def by_cell(self) -> dict[str, Any]:
        """Of each cell: float64 [N, 3]."""
        return {cell: np.array(rows, np.float64) for cell, rows in self._rows.items()}


def _spaces(asked: Sequence[str] | None, settings: MetricSettings) -> tuple[dict[str, Any], list[str]]:
    """Feature spaces by name, and a note on each default one that is not installed.

    `identity` has none here: every face's identity is embedded anyhow, and these rows are its features.
    """
    found: dict[str, Any] = {}
    notes = []
    for name in asked or SPACES:
        FEATURE_SPACES.get(name)
        if name == "identity":
            continue
        try:
            found[name] = FEATURE_SPACES.create(name, {"device": settings.device})
        except MissingError as error:
            if asked:
                raise
            notes.append(f"{name} is left out: {error.what} {error.why}")
    return found, notes


def _checked(names: Sequence[str], device: str) -> list[Any]:
    """The generators.

    Raises:
        UsageError: fewer than two, one of them twice, or one that needs classes. UserError: unknown names.
    """
    if len(names) < 2:
        raise UsageError("generators compare", f"was given {len(names)} generator", "name two or more")
    found = [models.generator(name, device) for name in names]
    digests = [one.sha256 for one in found]
    for place, one in enumerate(found):
        if digests.index(one.sha256) != place:
            raise UsageError(f"generator {names[place]}", "is there twice", "name different generators")
    return found


def _digest(path: Path | None) -> Any:
    """What is at a path: of a file its digest, of a folder that of its files' names, sizes and times."""
    if path is None or path.is_file():
        return digest_file(path) if path else None
    if not path.is_dir():
        raise MissingError(str(path), "is not there", "give a folder, a parquet file or a manifest")
    found = [
        (file.relative_to(path).as_posix(), file.stat())
        for file in list_files(path, (*READABLE, ".parquet")).files
    ]
    return digest_value([[name, facts.st_size, facts.st_mtime_ns] for name, facts in found])


def _key(settings: MetricSettings, sha256: str, data: Any, spaces: Sequence[str]) -> str:
    told = {k: v for k, v in vars(settings).items() if k not in ("generator", "data", "held_out", "device")}
    told["filters"], told["space_params"] = dict(settings.filters), dict(settings.space_params)
    return digest_value([1, told, sha256, data, list(spaces)])[:16]


def images_per_second(names: Sequence[str], device: str) -> list[float]:
    """Images that each generator draws in a second, on one thread: the best of three rounds, in turns, so
    that a slower moment meets all of them.
    """
    from generators.sampling import draw_z, map_latents, synthesize

    styles = []
    for name in names:
        model = models.generator(name, device)
        styles.append(map_latents(model, draw_z(0, [("speed", k) for k in range(TIMED)], model.z_dim)))
    best = [float("inf")] * len(names)
    for number in range(ROUNDS + 1):
        for k, name in enumerate(names):
            start = time.perf_counter()
            synthesize(models.generator(name, device), styles[k])
            if number:
                best[k] = min(best[k], time.perf_counter() - start)
    return [round(TIMED / seconds, 1) for seconds in best]


def _measured(
    names: Sequence[str],
    settings: MetricSettings,
    spaces: dict[str, Any],
    wanted: Sequence[str],
    files: Sequence[Path],
    reporter: Reporter,
) -> None:
    """Measure what is not there: a file for each generator, in `files`."""
    if all(file.is_file() for file in files):
        return
    first, *others = spaces
    real_looks = Looks()
    reader, real = read_references(
        settings, spaces[first], {name: spaces[name] for name in others}, reporter, real_looks
    )
    for name, file in zip(names, files, strict=True):
        if file.is_file():
            continue
        one, looks = replace(settings, generator=name), Looks()
        reporter.line(f"generator {name}")
        sets = {**real, "generated": read_generated(one, reader, reporter, looks)}
        value = figures_of(one, sets, reader)
        value["spaces"] = {
            space: (
                {pair: value[pair] for pair in value if "_against_" in pair}
                if space == first
                else distances({k: found.seen_by(space) for k, found in sets.items()}, settings.seed)
            )
            for space in wanted
        }
        value["looks"] = compare_looks(looks.by_cell(), real_looks.by_cell(), TAXONOMY, settings.seed)
        write_json(file, value)


def compare_generators(
    names: Sequence[str],
    settings: MetricSettings,
    out: Path,
    *,
    spaces: Sequence[str] | None,
    blind: int | None,
    fresh: bool,
    reporter: Reporter,
) -> tuple[dict[str, Any], str]:
    """Measure generators against the same faces; `comparison.json`, `.md` and `.csv`, `faces.png`, and where
    asked `blind.png` with `key.csv`, are written into a folder.

    Args:
        names: of generators, or files.
        settings: what is measured of each; its generator is not used.
        out: the folder. What was measured in it before of the same files and settings is taken as it is.
        spaces: feature spaces; None: `SPACES`, as far as they are installed.
        blind: so many generated, and as many real faces, on a sheet in shuffled order; None: no such sheet.
        fresh: measure all again.
        reporter: is told how far it is.

    Raises:
        UsageError: as `generator-metrics`, or not two different generators.
        MissingError, DataError: generators, data or packages that are not there or not readable.
    """
    from pipeline.engine.executors import one_thread

    one_thread()
    generators = _checked(names, settings.device)
    found, notes = _spaces(spaces, settings)
    wanted = list(dict.fromkeys(name for name in spaces or SPACES if name in found or name == "identity"))
    if not found:
        found = {"pixels": FEATURE_SPACES.create("pixels", {"device": settings.device})}
    check(settings)
    if "identity" in wanted and 0 < settings.identities < LEAST:
        why = f"are too few for the feature space identity, which needs {LEAST}"
        raise UsageError(f"--identities {settings.identities}", why, "give more, or name other --spaces")
    data = [_digest(settings.data), _digest(settings.held_out)]
    with writing_alone(out):
        drop_temporaries(out)
        folder = make_folder(out / PARTS)
        files = [folder / f"{_key(settings, one.sha256, data, wanted)}.json" for one in generators]
        if fresh:
            for file in files:
                file.unlink(missing_ok=True)
        _measured(names, settings, found, wanted, files, reporter)
        rows = [read_json(file) for file in files]
        speeds = images_per_second(names, settings.device)
        for row, name, one, speed in zip(rows, names, generators, speeds, strict=True):
            row["generator"] |= {
                "given": name,
                "parameters": sum(p.numel() for p in one.parameters()),
                "bytes": sum(t.nbytes for t in one.state_dict().values()),
                "images_per_second": speed,
            }
        side = int(rows[0]["settings"]["resolution"])
        other = [one.name for one in generators if one.resolution != side]
        if other:
            notes.append(f"all pictures are compared at {side} px; {', '.join(other)} draws another size")
        value = {"side": side, "spaces": wanted, "notes": notes, "generators": rows}
        write_json(out / "comparison.json", value)
        write_text(out / "comparison.md", as_markdown(value))
        write_text(out / "comparison.csv", as_csv(value))
        contact_sheet(names, settings, side, out / "faces.png")
        if blind is not None:
            blind_sheet(names, settings, side, blind, out)
    return value, as_markdown(value).rstrip()
