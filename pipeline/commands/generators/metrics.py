"""`fairforge generator-metrics`: how near a generator's faces come to real ones, how varied they are, how
new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from manifests.atomic import write_json
from manifests.errors import UsageError
from manifests.images import Image, resize
from manifests.seeding import seed_of
from manifests.taxonomy import get_taxonomy
from manifests.weights import find_weight
from pipeline.commands.generators.appearance import by_cell, compare_looks
from pipeline.commands.generators.metric_settings import LEAST, MetricSettings, check
from pipeline.commands.generators.metrics_as_text import text_of
from pipeline.engine import models
from pipeline.engine.progress import Reporter
from pipeline.faces.features import BLOCK, FaceSet, FaceSetReader, centre_square
from pipeline.faces.sources import Picture, choose, ignored, kind_of, pictures

DETECT_SIDE = 128
MIN_RACE_PROB, MIN_GENDER_PROB = 0.5, 0.7


def _side(settings: MetricSettings, items: list[Any]) -> int:
    """The common side: as asked, or the shorter side of the first readable reference picture."""
    if settings.resolution is not None:
        return settings.resolution
    if settings.crop == "detect":
        return DETECT_SIDE
    first = next((p.image for p in pictures(items) if p.image is not None), None)
    if first is None:
        raise UsageError(str(settings.data), "has no readable picture", "give other data")
    return int(min(first.shape[:2]))


def generated(settings: MetricSettings) -> Iterator[Picture]:
    """Pictures of the generator, each from its own seed: `blake2b(seed, "metrics", index)`."""
    from generators.sampling import draw_z, map_latents, synthesize

    model = models.generator(settings.generator, settings.device)
    if model.c_dim:
        raise UsageError(
            f"generator {settings.generator}",
            "needs class labels, and none are chosen here",
            "give an unconditional one",
        )
    for start in range(0, settings.count, BLOCK):
        keys = [("metrics", index) for index in range(start, min(start + BLOCK, settings.count))]
        images = synthesize(
            model, map_latents(model, draw_z(settings.seed, keys, model.z_dim), psi=settings.psi)
        )
        for (_, index), image in zip(keys, images, strict=True):
            yield Picture(f"generated-{index:06d}", image)


def cell_draws(settings: MetricSettings, path: Path, side: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draws of every cell: how many of them hit it, and how they look beside the data's photographs of it.

    A hit is a draw that the attribute model confidently reads as the cell. Looks are empty where the data
    have no cells.

    Raises:
        MissingError: no such cells. DataError: no cell model.
        UsageError: fitted to another generator; a strategy that is not known, or draws no cell that is asked
            for.
    """
    from generators.cells import CellModel
    from generators.cells.belonging import check_fitted_to
    from generators.sampling import synthesize
    from generators.strategies import STRATEGIES, Drawing

    strategy = STRATEGIES.create(settings.strategy)
    if strategy.reads_cell:
        raise UsageError(
            f"--strategy {settings.strategy}",
            "draws no cell that is asked for",
            "choose projection or another",
        )
    cells = CellModel.load(find_weight(path, "cells").path)
    model = models.generator(settings.generator, settings.device)
    check_fitted_to(cells, f"--cells {path}", model.sha256)
    taxonomy = get_taxonomy(cells.taxonomy)
    attributes = models.attribute_model("fairforge-small", settings.device)
    drawing = Drawing(model, cells, settings.seed, settings.psi, settings.strength)
    out: dict[str, Any] = {}
    looks: dict[str, Any] = {}
    for cell in taxonomy.cells:
        seeds = [seed_of(settings.seed, "metrics-cell", cell, i) for i in range(settings.cell_draws)]
        images = synthesize(model, strategy.draw(drawing, cell, seeds))
        race, gender = attributes.predict_cells(images, taxonomy)
        wanted_race, wanted_gender = taxonomy.split_cell(cell)
        hit = (race.argmax(1) == taxonomy.races.index(wanted_race)) & (race.max(1) >= MIN_RACE_PROB)
        hit &= (gender.argmax(1) == taxonomy.genders.index(wanted_gender)) & (
            gender.max(1) >= MIN_GENDER_PROB
        )
        out[cell] = {"hit_rate": round(float(hit.mean()), 4), "draws": len(hit)}
        looks |= by_cell((cell, fitted(image, side)) for image in images)
    photographs = _photographs(settings, cells.taxonomy, side)
    return out, compare_looks(looks, photographs, cells.taxonomy, settings.seed) if photographs else {}


def _photographs(settings: MetricSettings, taxonomy: str, side: int) -> dict[str, Any]:
    """Looks of the data's faces by cell; empty where the data have no cells."""
    if kind_of(settings.data) != "faces":
        return {}
    filters = {**settings.filters, "taxonomy": taxonomy}
    items = choose(settings.data, filters, settings.seed, settings.references or None)
    cells = {item.key: item.cell for item in items if item.cell is not None}
    shown = (p for p in pictures(items) if p.image is not None and p.key in cells)
    return by_cell((cells[p.key], fitted(p.image, side)) for p in shown if p.image is not None)


def fitted(image: Image, side: int) -> Image:
    """An aligned face at the common side, made smaller as the reader of references makes it."""
    return resize(centre_square(image), side)


def _enough(found: FaceSet, source: str) -> None:
    if len(found.keys) < LEAST:
        reasons = "; ".join(f"{name} {n}" for name, n in found.summary()["skipped"].items()) or "none skipped"
        raise UsageError(
            f"{found.name} faces of {source}",
            f"{len(found.keys)} of {found.tried + len(found.skipped)} can be used ({reasons})",
            f"give at least {LEAST}" + ("" if found.name != "generated" else " with --count"),
        )


def compare(real: FaceSet, fake: FaceSet, seed: int) -> dict[str, Any]:
    """KID, FID, precision, recall, density and coverage of two sets, JSON-able; `notes` says what to mind."""
    from generators.quality.frechet import frechet_distance
    from generators.quality.kernel import kernel_distance
    from generators.quality.manifold import manifold

    frechet = frechet_distance(real.features, fake.features)
    notes = []
    if frechet.rank_deficient:
        smaller = min(frechet.n_real, frechet.n_fake)
        notes.append(
            f"fid: {smaller} images for {real.features.shape[1]} features: its covariance is singular;"
            " read kid"
        )
    return {
        "kid": asdict(kernel_distance(real.features, fake.features, seed=seed)),
        "fid": asdict(frechet),
        "manifold": asdict(manifold(real.features, fake.features)),
        "notes": notes,
    }


def _diversity(sets: Iterable[FaceSet]) -> dict[str, Any]:
    """Mean pairwise distance of identity embeddings per set, and that of generated over real faces."""
    from generators.quality.distances import mean_pairwise

    means = {s.name: mean_pairwise(s.embeddings) if len(s.embedded) > 1 else None for s in sets}
    fake, real = means["generated"], means["data"]
    return {"mean_distance": means, "relative": fake / real if fake is not None and real else None}


def read_references(
    settings: MetricSettings,
    space: Any,
    more: Mapping[str, Any],
    reporter: Reporter,
    seen: Callable[[str, Image], None] | None = None,
) -> tuple[FaceSetReader, dict[str, FaceSet]]:
    """The reader of every set, and the real faces: "data", and "held-out" where there is one.

    Args:
        settings: which faces.
        space: a feature space. more: further ones, by name.
        reporter: is told how far it is.
        seen: of `FaceSetReader.read`, for the data.

    Raises:
        UsageError: too few pictures, or held-out faces that are among the data.
    """
    most = settings.references or None
    sources = {"data": settings.data} | ({"held-out": settings.held_out} if settings.held_out else {})
    for text in filter(None, map(ignored, sources.values())):
        reporter.warning(text)
    chosen = {
        name: choose(path, settings.filters, settings.seed, most, settings.balance)
        for name, path in sources.items()
    }
    side = _side(settings, chosen["data"])
    reader = FaceSetReader(space, side, settings.crop, settings.device, more)
    embedded = settings.identities or None
    sets: dict[str, FaceSet] = {}
    for name, items in chosen.items():
        # Memorisation draws several training subsets as large as the held-out set, so training has more
        # embeddings.
        wanted = 2 * embedded if embedded and name == "data" and settings.held_out else embedded
        tracked = reporter.track(pictures(items), total=len(items), label=f"{name} faces", unit="pictures")
        sets[name] = reader.read(name, tracked, wanted, seen if name == "data" else None)
        _enough(sets[name], str(sources[name]))
    if settings.held_out:
        _held_out_indeed(sets)
    return reader, sets


def read_generated(
    settings: MetricSettings,
    reader: FaceSetReader,
    reporter: Reporter,
    seen: Callable[[str, Image], None] | None = None,
) -> FaceSet:
    """The faces of the settings' generator; arguments as `read_references`.

    Raises:
        UsageError: too few pictures.
    """
    drawn = reporter.track(
        generated(settings), total=settings.count, label="generated faces", unit="pictures"
    )
    found = reader.read("generated", drawn, settings.identities or None, seen)
    _enough(found, settings.generator)
    return found


def figures_of(
    settings: MetricSettings, sets: Mapping[str, FaceSet], reader: FaceSetReader
) -> dict[str, Any]:
    """Every figure of a generator that its sets alone give, as values.

    Args:
        settings: what was read.
        sets: "data", "generated", and "held-out" where there is one.
        reader: that read them.
    """
    model = models.generator(settings.generator, settings.device)
    value = {
        "generator": {
            "name": model.name,
            "sha256": model.sha256,
            "resolution": model.resolution,
            "psi": settings.psi,
        },
        "settings": _settings(settings, reader.side, reader.space.dim),
        "sets": {name: found.summary() for name, found in sets.items()},
        **distances(sets, settings.seed),
        "diversity": _diversity(sets.values()),
    }
    if "held-out" in sets:
        value["memorisation"] = _memorisation(sets, settings.seed)
    return value


def distances(sets: Mapping[str, FaceSet], seed: int) -> dict[str, Any]:
    """`compare` of every pair of sets, by the names that results have."""
    pairs = {"generated_against_data": ("data", "generated")}
    if "held-out" in sets:
        pairs["generated_against_held_out"] = ("held-out", "generated")
        pairs["held_out_against_data"] = ("data", "held-out")
    return {name: compare(sets[a], sets[b], seed) for name, (a, b) in pairs.items()}


def measure_generator(
    settings: MetricSettings, reporter: Reporter, out: Path | None
) -> tuple[dict[str, Any], str]:
    """All figures, as values (see docs/generator-metrics.md) and as text; written to `out` where given.

    Raises:
        UsageError: settings out of range, too few pictures, a cell model of another generator.
        MissingError, DataError: generator, data, weights or packages that are not there or not readable.
    """
    from pipeline.engine.executors import one_thread
    from pipeline.faces.feature_spaces import FEATURE_SPACES

    one_thread()
    check(settings)
    space = FEATURE_SPACES.create(settings.space, {"device": settings.device, **settings.space_params})
    reader, sets = read_references(settings, space, {}, reporter)
    sets["generated"] = read_generated(settings, reader, reporter)
    value = figures_of(settings, sets, reader)
    if settings.cells:
        value["cells"], looks = cell_draws(settings, settings.cells, reader.side)
        value |= {"looks": looks} if looks else {}
    if out:
        write_json(out, value)
    return value, text_of(value)


def _held_out_indeed(sets: Mapping[str, FaceSet]) -> None:
    """Refuse a held-out set with pictures of the data: equal pictures have equal embeddings."""
    known = {row.tobytes() for row in sets["data"].embeddings}
    shared = [
        key
        for key, row in zip(sets["held-out"].embedded, sets["held-out"].embeddings, strict=True)
        if row.tobytes() in known
    ]
    if shared:
        raise UsageError(
            "--held-out",
            f"shares {len(shared)} pictures with --data ({shared[0]}, ...)",
            "give faces that were held out",
        )


def _memorisation(sets: Mapping[str, FaceSet], seed: int) -> dict[str, Any]:
    from generators.quality.memorisation import memorisation

    parts = [sets[name].embeddings for name in ("data", "held-out", "generated")]
    if min(map(len, parts)) < 2:
        sizes = ", ".join(f"{name} {len(found.embedded)}" for name, found in sets.items())
        raise UsageError(
            "memorisation", f"needs faces in every set; found: {sizes}", "give pictures of faces"
        )
    return asdict(memorisation(*parts, seed=seed))


def _settings(settings: MetricSettings, side: int, dim: int) -> dict[str, Any]:
    plain = {
        k: str(v) if isinstance(v, Path) else v
        for k, v in vars(settings).items()
        if k not in ("generator", "psi")
    }
    plain["filters"], plain["space_params"] = dict(settings.filters), dict(settings.space_params)
    plain["cells"] = str(settings.cells) if settings.cells else None
    return {**plain, "resolution": side, "feature_dim": dim, "numpy": np.__version__}
