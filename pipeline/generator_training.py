"""`train-generator`: StyleGAN2 on a folder, an official dataset zip, or parquet; alone or under torchrun."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from manifests.atomic import canonical_json, digest_file, write_json
from manifests.errors import MissingError, UsageError
from manifests.watching import watch_by
from pipeline.progress import Reporter
from pipeline.run_directory import read_json

if TYPE_CHECKING:
    from torch import Tensor

    from generators.stylegan2.generator import Generator
    from generators.training import TrainSettings
    from generators.training.sources import Item


def parse_phases(text: str | None, resolution: int, kimg: float) -> list[dict[str, Any]]:
    """`16:64,32:128` as phases; without it one phase at `resolution`.

    Raises:
        UsageError: not of that form, or it does not end at `resolution`.
    """
    if text is None:
        return [{"resolution": resolution, "kimg": kimg}]
    try:
        pairs = [part.split(":") for part in text.split(",")]
        phases = [{"resolution": int(size), "kimg": float(count)} for size, count in pairs]
    except ValueError as error:
        why = "is not of the form RESOLUTION:KIMG,..."
        raise UsageError(f"--phases {text}", why, "for example --phases 16:64,32:128") from error
    if phases[-1]["resolution"] != resolution:
        raise UsageError(f"--phases {text}", f"does not end at --resolution {resolution}", "make both say the same")
    return phases


def parse_settings(phases: list[dict[str, Any]], given: dict[str, Any], sets: list[str]) -> TrainSettings:
    """Settings out of flags and `--set name=value` texts.

    Raises:
        UsageError: an unknown name or a value out of range; all of them are named.
    """
    from generators.training import TrainSettings

    values: dict[str, Any] = {"phases": phases, **{name: value for name, value in given.items() if value is not None}}
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}", "has no =", "for example --set ema_kimg=10")
        try:
            values[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            values[name.strip()] = value
    try:
        return TrainSettings.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors()]
        names = ", ".join(TrainSettings.model_fields)
        raise UsageError("the training settings", "; ".join(lines), f"settings are: {names}") from error


def _fingerprint(data: Path, keep: list[str], label_column: str | None, balance: str | None) -> dict[str, Any]:
    """What was prepared out of what: names and digests of the files, and how rows were chosen."""
    files = sorted(p for p in data.rglob("*") if p.is_file()) if data.is_dir() else [data]
    listed = {p.name: digest_file(p) for p in files} if len(files) < 100 else {p.name: str(p.stat().st_size) for p in files}
    out = {"files": listed, "keep": sorted(keep), "label_column": label_column}
    return {**out, "balance": balance} if balance else out


def cells_of(items: Iterable[Item], taxonomy: str) -> Iterator[Item]:
    """Items whose labels are FairFace's `race/gender`, with the cell of `taxonomy` as label; those of no cell are left out.

    Raises:
        UsageError: unknown taxonomy, or FairFace's races cannot be mapped to it.
    """
    from manifests.taxonomy import get_taxonomy

    source, target = get_taxonomy("fairface7"), get_taxonomy(taxonomy)
    for name, data, label in items:
        race, _, gender = str(label).partition("/")
        cell = target.cell(source.map_race(race, taxonomy), gender)
        if cell is not None:
            yield name, data, cell


def prepared_images(
    data: Path, folder: Path, size: int, keep: list[str], label_column: str | None, conditional: bool,
    balance: str | None = None,
) -> dict[str, Any]:
    """The decoded images in `folder`, made now where they are not there. `balance`: taxonomy whose cells are seen equally often.

    Raises:
        UsageError: the folder holds images of other data. UserError: as `read_source` and `prepare`.
    """
    from generators.training.images import prepare
    from generators.training.sources import read_source

    have, made_of = read_json(folder / "images.json"), read_json(folder / "made-of.json")
    if not data.exists():
        raise MissingError(str(data), "is not there", "give a folder, a zip or parquet")
    wanted = {**_fingerprint(data, keep, label_column, balance), "conditional": conditional}
    if have and made_of == wanted and have["size"] >= size:
        return have
    if have and made_of != wanted:
        why = "holds images of other data, --keep, or --balance"
        raise UsageError(str(folder), why, "choose another --out, or delete this folder")
    items = read_source(data, keep, "race,gender" if balance else label_column)
    if balance:
        items = cells_of(items, balance)
    prepare(items, folder, size, conditional=conditional, balanced=balance is not None)
    write_json(folder / "made-of.json", wanted)
    return read_json(folder / "images.json")


def find_start(start: str | None) -> tuple[Generator | None, dict[str, Tensor] | None]:
    """The generator that training goes on from, and its discriminator where `start` is the folder of a training run.

    Raises:
        UserError: as `load_generator` and `read_discriminator`.
    """
    from generators.library import load_generator
    from generators.training.networks import read_discriminator

    if start is None:
        return None, None
    folder = Path(start)
    if (folder / "state.pt").is_file():
        return load_generator(folder / "generator.safetensors"), read_discriminator(folder / "state.pt")
    return load_generator(start), None


def train_generator(
    data: Path, out: Path, settings: TrainSettings, *, start: str | None, keep: list[str], label_column: str | None,
    conditional: bool, device: str, data_note: str, quiet: bool, balance: str | None = None,
) -> tuple[dict[str, Any], str]:
    """Train, or go on from the state in `out`; rank 0 prepares the data and writes files.

    Raises:
        UsageError: classes and balance at once. UserError: as `prepared_images` and `TrainingRun`.
    """
    if conditional and balance:
        raise UsageError("--balance", "is for training without classes", "leave --conditional and --label-column out")
    from generators.library import check_device
    from generators.training.distributed import join_world
    from generators.training.loop import TrainingRun

    check_device(device)
    with join_world(device) as world:
        folder, size = out / "data", settings.phases[-1].resolution
        if world.rank == 0:
            info = prepared_images(data, folder, size, keep, label_column, conditional, balance)
        world.barrier()
        info = info if world.rank == 0 else read_json(folder / "images.json")
        reporter = Reporter(quiet=quiet or world.rank > 0, stream=sys.stderr)
        reporter.line(f"{info['count']} images of {size} px; left out: {info['skipped'] or 'none'}")
        metadata = {
            "data": data_note or data.name, "data_sha256": str(info["sha256"]), "images": str(info["count"]),
            "settings": canonical_json(settings.model_dump(mode="json")), "start": start or "none",
            **({"balance": balance} if balance else {}),
        }
        generator, known = find_start(start)
        run = TrainingRun(
            settings, info, out, world, start=generator, known=known, metadata=metadata, report=reporter.line,
        )
        with watch_by(reporter.watch("train-generator")):
            path = run.run()
    lines = (out / "metrics.jsonl").read_text().splitlines()
    value = {"generator": str(path), "sha256": digest_file(path), "images": info["count"], "last": json.loads(lines[-1])}
    return value, f"{path}\nsha256 {value['sha256']}\nlast metrics {lines[-1]}"
