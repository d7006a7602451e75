"""`train-generator`: StyleGAN2 on a folder, an official dataset zip, or parquet; alone or under torchrun."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from manifests.atomic import canonical_json, digest_file, digest_value, drop_temporaries, write_json
from manifests.errors import MissingError, UsageError
from manifests.images import READABLE
from manifests.listing import list_files
from manifests.locks import writing_alone
from manifests.watching import watch_by
from nn.tracking import tracked_by
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import read_json
from pipeline.faces.feature_networks import FEATURE_NETWORKS

if TYPE_CHECKING:
    from generators.training import TrainSettings
    from generators.training.sources import Item
    from generators.training.weighing import Ramp

OUTPUTS = ("state.pt", "generator.safetensors", "metrics.jsonl", "samples-")
"""What a training writes, or how its name begins."""


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
        raise UsageError(
            f"--phases {text}", f"does not end at --resolution {resolution}", "make both say the same"
        )
    return phases


def parse_settings(phases: list[dict[str, Any]], given: dict[str, Any], sets: list[str]) -> TrainSettings:
    """Settings out of flags and `--set name=value` texts.

    Raises:
        UsageError: an unknown name or a value out of range; all of them are named.
    """
    from generators.training import TrainSettings

    values: dict[str, Any] = {
        "phases": phases,
        **{name: value for name, value in given.items() if value is not None},
    }
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}", "has no =", "for example --set ema_kimg=10")
        try:
            values[name.strip()] = json.loads(value)
        except (
            ValueError,
            RecursionError,
        ):  # a word; or digits and brackets without end, which are refused as one
            values[name.strip()] = value
    for name in values.get("feature_networks", ()):
        FEATURE_NETWORKS.get(str(name))
    try:
        return TrainSettings.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors()]
        names = ", ".join(TrainSettings.model_fields)
        raise UsageError("the training settings", "; ".join(lines), f"settings are: {names}") from error


def _fingerprint(
    data: Path, keep: list[str], label_column: str | None, balance: str | None, weigh: Sequence[str]
) -> dict[str, Any]:
    """What was prepared out of what: names and digests of the files, and how rows were chosen."""
    files = list_files(data, (*READABLE, ".parquet", ".json")).files if data.is_dir() else (data,)
    root = data if data.is_dir() else data.parent
    listed = {p.relative_to(root).as_posix(): digest_file(p) for p in files}
    out = {"files": listed, "keep": sorted(keep), "label_column": label_column}
    out |= {"balance": balance} if balance else {}
    return out | ({"weigh": sorted(weigh)} if weigh else {})


def cells_of(items: Iterable[Item], taxonomy: str) -> Iterator[Item]:
    """Items whose labels are FairFace's `race/gender`, with the cell of `taxonomy` as label; those of no cell
    are left out.

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


def _weighed(items: Iterable[Item], ramps: Sequence[Ramp], balance: str | None) -> Iterator[Item]:
    """Items whose labels are pairs of their cell (None without `balance`) and their weight."""
    from generators.training.weighing import weighed_items

    for item, weight in weighed_items(items, ramps):
        for name, data, label in cells_of([item], balance) if balance else [item]:
            yield name, data, (label, weight)


def prepared_images(
    data: Path,
    folder: Path,
    size: int,
    keep: list[str],
    label_column: str | None,
    conditional: bool,
    balance: str | None = None,
    report: Callable[[str], None] = lambda text: None,
    weigh: Sequence[str] = (),
) -> dict[str, Any]:
    """The decoded images in `folder`, made now where they are not there, or are not as they were written.

    balance: taxonomy whose cells are seen equally often. report: is told why they are made again. weigh: how
    often images are seen by columns of theirs (`generators.training.weighing`).

    Raises:
        UsageError: the folder holds images of other data. UserError: as `read_source` and `prepare`.
    """
    from generators.training.images import is_prepared, prepare
    from generators.training.sources import read_source
    from generators.training.weighing import parse_ramps

    have, made_of = read_json(folder / "images.json"), read_json(folder / "made-of.json")
    pixels, told = made_of.pop("pixels", None), made_of.pop("info", None)
    if not data.exists():
        raise MissingError(str(data), "is not there", "give a folder, a zip or parquet")
    wanted = {**_fingerprint(data, keep, label_column, balance, weigh), "conditional": conditional}
    if have and made_of == wanted:
        if told == digest_value(have) and is_prepared(folder, have, size, pixels):
            return have
        report(f"{folder} is prepared again: it was changed, has smaller images, or is of an earlier version")
    elif have and made_of:
        why = "holds images of other data, --keep, --balance, or --weigh"
        raise UsageError(str(folder), why, "choose another --out, or delete this folder")
    ramps = parse_ramps(weigh)
    columns = "race,gender" if balance else label_column
    if ramps:
        columns = ",".join([*([columns] if columns else []), *(ramp.column for ramp in ramps)])
    items = read_source(data, keep, columns)
    if ramps:
        items = _weighed(items, ramps, balance)
    elif balance:
        items = cells_of(items, balance)
    (folder / "made-of.json").unlink(missing_ok=True)
    info = prepare(
        items, folder, size, conditional=conditional, balanced=balance is not None, weighed=bool(ramps)
    )
    pixels = digest_file(folder / f"images-{size:d}.npy")
    write_json(folder / "made-of.json", {**wanted, "pixels": pixels, "info": digest_value(info)})
    return info


def find_start(start: str | None) -> dict[str, Any]:
    """What training goes on from, as `TrainingRun` wants it: the generator (`start`) and, where it is the
    folder of a training run, its discriminators (`known`, `heads`).

    Raises:
        UserError: as `load_generator`, `read_discriminator` and `read_heads`.
    """
    from generators.checkpoints.library import checkpoint_of, load_generator
    from generators.training.networks import read_discriminator, read_heads

    if start is None:
        return {}
    generator, state = load_generator(checkpoint_of(start), device="cpu"), Path(start) / "state.pt"
    if not state.is_file():
        return {"start": generator}
    return {"start": generator, "known": read_discriminator(state), "heads": read_heads(state)}


def train_generator(
    data: Path,
    out: Path,
    settings: TrainSettings,
    *,
    start: str | None,
    keep: list[str],
    label_column: str | None,
    conditional: bool,
    device: str,
    data_note: str,
    quiet: bool,
    balance: str | None = None,
    weigh: Sequence[str] = (),
    track: Sequence[str] = (),
) -> tuple[dict[str, Any], str]:
    """Train, or go on from the state in `out`; rank 0 prepares the data and writes files.

    Raises:
        UsageError: classes and balance, or classes and weights, at once.
        UserError: as `prepared_images` and `TrainingRun`.
    """
    if conditional and balance:
        raise UsageError(
            "--balance", "is for training without classes", "leave --conditional and --label-column out"
        )
    if conditional and weigh:
        raise UsageError(
            "--weigh", "is for training without classes", "leave --conditional and --label-column out"
        )
    from generators.training.loop import TrainingRun
    from nn.processes import join_world

    with join_world(device) as world, writing_alone(out) if world.rank == 0 else nullcontext():
        folder, size = out / "data", settings.phases[-1].resolution
        reporter = Reporter(quiet=quiet or world.rank > 0, stream=sys.stderr)
        if world.rank == 0:
            drop_temporaries(folder)
            drop_temporaries(out, OUTPUTS)
            info = prepared_images(
                data, folder, size, keep, label_column, conditional, balance, reporter.line, weigh
            )
        world.barrier()
        info = info if world.rank == 0 else read_json(folder / "images.json")
        reporter.line(f"{info['count']} images of {size} px; left out: {info['skipped'] or 'none'}")
        metadata = {
            "data": data_note or data.name,
            "data_sha256": str(info["sha256"]),
            "images": str(info["count"]),
            "settings": canonical_json(settings.model_dump(mode="json")),
            "start": start or "none",
            **({"balance": balance} if balance else {}),
            **({"weigh": " ".join(weigh)} if weigh else {}),
        }
        before = find_start(start)
        frozen = {name: FEATURE_NETWORKS.create(name) for name in settings.feature_networks}
        run = TrainingRun(
            settings,
            info,
            out,
            world,
            **before,
            metadata=metadata,
            frozen=frozen,
            report=reporter.line,
        )
        listening = tracked_by(
            track if world.rank == 0 else (), {"data": metadata["data"], **settings.model_dump(mode="json")}
        )
        with watch_by(reporter.watch("train-generator")), listening:
            path = run.run()
    lines = (out / "metrics.jsonl").read_text().splitlines()
    value = {
        "generator": str(path),
        "sha256": digest_file(path),
        "images": info["count"],
        "last": json.loads(lines[-1]),
    }
    return value, f"{path}\nsha256 {value['sha256']}\nlast metrics {lines[-1]}"
