"""Labelled faces through a model: what `attributes --evaluate` and `verification-policy` measure on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from manifests.atomic import digest_file, write_json
from manifests.errors import DataError, UserError
from manifests.escaping import one_line
from manifests.images import decode
from manifests.taxonomy import Taxonomy, get_taxonomy
from pipeline.commands.attributes.annotation import AnnotationSettings, make_annotator
from pipeline.engine.executors import one_thread
from pipeline.engine.progress import Reporter

if TYPE_CHECKING:
    from attribute_models.attributes.classifier import FaceClassifier
    from attribute_models.attributes.evaluation import Judged
    from manifests.adapters import SourceImage


@dataclass(frozen=True)
class Measured:
    """Judged faces, the model that judged them, and what could not be judged (reason -> count)."""

    judged: Judged
    classifier: FaceClassifier
    skipped: dict[str, int]


def labelled(source: Path, taxonomy: str) -> Iterator[SourceImage]:
    """Every face of a FairFace-style parquet file, or of a folder or CSV with labels.

    Raises:
        UserError: as the adapters `fairface-parquet` and `folder`.
    """
    from manifests.adapters import ADAPTERS

    if source.suffix == ".parquet":
        return ADAPTERS.create("fairface-parquet", {"taxonomy": taxonomy}).read(source)
    return ADAPTERS.create("folder", {"taxonomy": taxonomy, "label": "real"}).read(source)


def _race(word: str | None, taxonomy: Taxonomy) -> int:
    """The index of an annotated race in the taxonomy, mapped from fairface7's words where needed; -1 where
    unknown.
    """
    seven = get_taxonomy("fairface7")
    if word not in taxonomy.races and word in seven.races and taxonomy.root in (*seven.maps, seven.name):
        word = seven.map_race(word, taxonomy.name)
    return taxonomy.races.index(word) if word in taxonomy.races else -1


def _index(word: str | None, names: tuple[str, ...]) -> int:
    return names.index(word) if word in names else -1


def _age(word: str | None, taxonomy: Taxonomy, ages: tuple[str, ...]) -> int:
    return _index(taxonomy.age_bin(word) if taxonomy.ages else word, ages)


def measure(source: Path, taxonomy: str, settings: AnnotationSettings, quiet: bool = False) -> Measured:
    """Judge every labelled face; those without label, unreadable, or without one clear face are counted.

    Raises:
        DataError: no face could be judged. UserError: as `labelled` and the model loaders.
    """
    from attribute_models.attributes.annotation import failed, reason_of
    from attribute_models.attributes.evaluation import Judged

    one_thread()
    annotator, target, reporter = make_annotator(settings), get_taxonomy(taxonomy), Reporter(quiet=quiet)
    model = annotator.classifier
    ages = target.ages or tuple(model.classes.get("age", ()))

    def faces() -> Iterator[tuple[dict[str, Any], Any]]:
        for number, item in enumerate(labelled(source, taxonomy), 1):
            if number % 1000 == 0:
                reporter.line(f"attributes: {number} labelled faces")
            race, gender = _race(item.race, target), _index(item.gender, target.genders)
            row: dict[str, Any] = {
                "key": item.key,
                "_race": race,
                "_gender": gender,
                "_age": _age(item.age, target, ages),
            }
            if race < 0 and gender < 0:
                yield failed(row, "no_label", "neither race nor gender is known to the taxonomy"), None
                continue
            try:
                yield row, decode(item.bytes_of(), item.key)
            except UserError as error:
                yield failed(row, reason_of(error.why), error.why), None

    rows, skipped = [], Counter[str]()
    for row in annotator.annotate(faces()):
        if row["status"] == "ok":
            rows.append(row)
        else:
            skipped[row["reason"]] += 1
    if not rows:
        raise DataError(
            str(source),
            f"has no labelled face that can be judged ({dict(skipped)})",
            "check labels and pictures",
        )
    found = {
        h: np.array([[row[f"{h}:{n}"] for n in names] for row in rows], np.float32)
        for h, names in model.classes.items()
    }
    prob = model.axes(found, target)
    classes: dict[str, tuple[str, ...]] = dict(target.axes)
    if ages and not target.ages:
        classes["age"], prob["age"] = ages, found["age"]
    label = {head: np.array([row[f"_{head}"] for row in rows], np.int64) for head in classes}
    judged = Judged(classes, prob, label, tuple(row["key"] for row in rows))
    return Measured(judged, model, dict(sorted(skipped.items())))


def evaluate_model(
    source: Path,
    taxonomy: str,
    settings: AnnotationSettings,
    out: Path | None,
    quiet: bool = False,
) -> tuple[dict[str, Any], str]:
    """Figures of a model on labelled faces; also as JSON into `out`. FairFace parquet files hold aligned
    faces.

    Raises:
        UserError: as `measure`.
    """
    from attribute_models.attributes.evaluation import evaluate

    measured = measure(source, taxonomy, settings, quiet)
    value = {
        **evaluate(measured.judged, get_taxonomy(taxonomy)),
        "model": measured.classifier.label_source,
        "data": source.name,
        "data_sha256": digest_file(source) if source.is_file() else None,
        "skipped": measured.skipped,
    }
    if out:
        write_json(out, value)
    return value, as_text(value)


def shown(figure: dict[str, Any]) -> str:
    """A share with its interval, as text."""
    if figure["value"] is None:
        return "undefined"
    return f"{figure['value']:.3f} [{figure['lower']:.3f}, {figure['upper']:.3f}]"


def as_text(value: dict[str, Any]) -> str:
    """The figures as lines for a reader."""
    lines = [
        f"{value['model']} on {value['n']} faces of {value['data']} ({value['taxonomy']}); "
        f"not judged: {value['skipped'] or 0}"
    ]
    for head, one in value["heads"].items():
        if not one["n"]:
            lines.append(f"{head:<7} no labels")
            continue
        at70 = next(c for c in one["coverage"] if c["coverage"] == 0.7)
        lines.append(
            f"{head:<7} balanced accuracy {shown(one['balanced_accuracy'])}, accuracy"
            f" {shown(one['accuracy'])}, calibration error {one['calibration_error']:.3f}, accuracy at 70 %"
            f" coverage {shown(at70['accuracy'])}"
        )
    width = max(map(len, value["cells"]))
    for cell, one in value["cells"].items():
        lines.append(
            f"{cell:<{width}}  n {one['n']:>5}  race {shown(one['race_accuracy'])}  "
            f"gender {shown(one['gender_accuracy'])}  cell {shown(one['cell_accuracy'])}"
        )
    lines.append("cells, rows annotated, columns predicted, in the order above:")
    lines += [
        f"{cell:<{width}} " + " ".join(f"{n:>5}" for n in row)
        for cell, row in zip(value["confusion"]["cells"], value["confusion"]["counts"], strict=True)
    ]
    return "\n".join(map(one_line, lines))
