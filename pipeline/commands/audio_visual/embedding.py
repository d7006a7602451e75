"""`fairforge av embed`: a trained model as one small file with a name, which `--checkpoint NAME` finds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from detector.audio_visual.feature_files import read_features
from detector.audio_visual.model import WEIGHT_KIND, AudioVisualModel, load_model, model_file, save_model
from manifests.atomic import digest_file
from manifests.errors import DataError, MissingError, UsageError
from manifests.text_files import read_json
from manifests.weights import catalogue, user_folder
from pipeline.commands.audio_visual.evaluation import WHOLE
from pipeline.commands.audio_visual.features import feature_file, read_table_of, root_of
from pipeline.commands.audio_visual.prediction import SCORER
from pipeline.commands.weights.records import check_name, record

LARGEST = 3_000_000
"""Bytes that such a file may have."""
CHANGE = 0.05
"""How much half precision may change a clip's score."""
RECIPE = "fairforge av train with the settings in the file's header, then fairforge av embed"


def _free(name: str, file: Path) -> None:
    """Whether a name can be given.

    Raises:
        UsageError: no file's name, or one that another place has already.
    """
    check_name(name)
    known = catalogue().get(name)
    if known is not None and os.path.realpath(known.path) != os.path.realpath(file):
        raise UsageError(f"weight {name!r}", f"is known already ({known.path})", "choose another --name")


def read_results(evaluation: Path) -> dict[str, Any]:
    """What `av evaluate` wrote into a folder.

    Raises:
        MissingError: nothing is there. DataError: it cannot be read.
    """
    file = evaluation / "results.json"
    if not file.is_file():
        raise MissingError(str(file), "is not there", "make it: fairforge av evaluate --out FOLDER")
    found: dict[str, Any] = read_json(file, dict)
    return found


def measured_of(results: dict[str, Any]) -> dict[str, list[float]]:
    """AUC with its interval by kind of fake, clips as published.

    Raises:
        DataError: it has none.
    """
    try:
        methods = results["ways"][WHOLE]["scorers"][SCORER]["methods"]
        return {
            name: [round(float(value), 4) for value in (one["AUC"], *one["interval"])]
            for name, one in methods.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("results.json", "has no AUC by kind of fake", "evaluate again, with fakes") from error


def half_precision_change(model: AudioVisualModel, small: AudioVisualModel, features: Path) -> float:
    """The most by which half precision changes the score of a clip.

    Args:
        model: as trained.
        small: in half precision.
        features: folder of `av features`; every usable clip of it is scored twice.

    Raises:
        MissingError, DataError: the features cannot be read, or none is usable.
    """
    root = root_of(features)
    rows = [row for row in read_table_of(features).to_pylist() if row["status"] == "ok"]
    if not rows:
        raise DataError(str(features), "has no usable clip", "see the reasons in features.parquet")
    most = 0.0
    for row in rows:
        found = read_features(feature_file(root, row), row["digest"])
        one, other = (part.score(*found).clip[SCORER] for part in (model, small))
        most = max(most, abs(one - other))
    return most


def embed_model(
    checkpoint: Path,
    name: str,
    licence: str,
    data: str,
    recipe: str | None,
    features: Path,
    evaluation: Path,
    out: Path | None,
) -> tuple[dict[str, Any], str]:
    """Write a model as `NAME.safetensors` in half precision into a folder of weights and record it there.

    Args:
        checkpoint: its file, folder, or name.
        name: in the catalogue.
        licence: of the weights.
        data: what it was trained on.
        recipe: how to make it again; None: `RECIPE`.
        features: of clips on which half precision is compared with full.
        evaluation: folder of `av evaluate`, whose figures go into the catalogue.
        out: folder; None: the user's.

    Raises:
        MissingError, DataError: no model, features or figures; half precision changes a score by more than
            `CHANGE`. UsageError: a name that is taken; a model larger than `LARGEST`.
    """
    folder = out or user_folder()
    file = folder / f"{name}.safetensors"
    _free(name, file)
    model = load_model(checkpoint)
    made_of = digest_file(model_file(checkpoint))
    results = read_results(evaluation)
    if results.get("checkpoint_sha256") != made_of:
        raise UsageError(
            f"--evaluation {evaluation}", "has the figures of another model", "evaluate this one"
        )
    size = sum(2 * value.numel() for part in model.parts() for value in part.state_dict().values())
    if size > LARGEST:
        why = f"has {size / 1e6:.1f} MB in half precision, more than {LARGEST / 1e6:g}"
        raise UsageError(str(checkpoint), why, "train a smaller one: --set hidden=256")
    small = load_model(checkpoint)
    for part in small.parts():
        part.half().float()
    change = half_precision_change(model, small, features)
    if change > CHANGE:
        why = f"changes a score by {change:.2g} in half precision, more than {CHANGE:g}"
        raise DataError(str(checkpoint), why, "train again, with another seed")
    small.facts |= {"licence": licence, "data": data, "made_of": made_of}
    entry = record(
        file,
        {
            "kind": WEIGHT_KIND,
            "licence": licence,
            "data": data,
            "recipe": recipe or RECIPE,
            "measured": {"auc": measured_of(results), "half_precision_change": float(f"{change:.2g}")},
        },
        lambda: _free(name, file),
        lambda: save_model(file, small, half=True),
    )
    text = (
        f"{name}: {file} ({file.stat().st_size / 1e6:.2f} MB), half precision changes a score by {change:.2g}"
    )
    return {"name": name, **entry}, text
