"""`fairforge evaluate --checkpoint D --manifest M ...`: one detector across datasets, utility beside
unfairness.

The threshold is fixed on the validation rows of one dataset before any test row is read, and is the same for
all of them. Writes `scores.parquet`, `results.json` and the table of detectors by datasets in every format.
Scores are kept in parts while it works, so that a killed evaluation goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import digest_file, drop_temporaries, write_text
from manifests.contents import Digests
from manifests.errors import DataError, UsageError
from manifests.locks import writing_alone
from manifests.sanity import swapped_labels
from manifests.schema import SPLITS
from manifests.store import manifest_file, read_images
from manifests.text_files import read_json
from pipeline.commands.weights.embedding import training_facts
from pipeline.stages.evaluate.evaluation import (
    EXAMPLES,
    PARTS,
    Evaluation,
    Measured,
    Scoring,
    Source,
    results_of,
    write_evaluation,
)
from pipeline.stages.evaluate.floors import Floors, Predictor, build_floors, training_of
from pipeline.stages.evaluate.image_scores import COLUMNS, rows_of
from pipeline.stages.evaluate.measuring import Measure
from pipeline.stages.evaluate.score_reports import entry_text

SCORES = pa.schema(
    [
        ("dataset", pa.string()),
        ("score", pa.float32()),
        *((name, pa.int8() if name == "label" else pa.string()) for name in COLUMNS),
    ]
)


@dataclass(frozen=True)
class Dataset:
    """One manifest under the name it has in the table."""

    name: str
    manifest: Path


@dataclass(frozen=True)
class Request:
    """What is asked of one evaluation.

    checkpoint: a detector's file, folder or catalogued name. names: of the manifests, none for their
    folders'. split: one of `SPLITS`, `all`, or `auto`. threshold: a policy of `detector.metrics.thresholds`.
    validation: the manifest that fixes it; None: the first that can. out: the folder to write.
    """

    checkpoint: Path
    manifests: Sequence[Path]
    names: Sequence[str]
    split: str
    threshold: str
    validation: Path | None
    out: Path

    def resolved(self) -> tuple[list[Dataset], dict[str, str | None], Path | None]:
        """The datasets, the split to score of each, and the manifest that fixes the threshold, where one
        must.

        Raises:
            UsageError: an unknown policy, split or name, a validation manifest for a policy that needs none.
            MissingError, DataError: a manifest that cannot be read.
        """
        from detector.metrics.thresholds import needs_validation

        needed = needs_validation(self.threshold)
        if self.validation is not None and not needed:
            raise UsageError(
                "--validation", f"has no use with threshold {self.threshold}", "leave it out, or give val-eer"
            )
        datasets = datasets_of(self.manifests, self.names)
        splits = {dataset.name: split_for(dataset.manifest, self.split) for dataset in datasets}
        return datasets, splits, _validation(datasets, self.validation, self.threshold) if needed else None


def datasets_of(manifests: Sequence[Path], names: Sequence[str]) -> list[Dataset]:
    """Manifests with their names, by default their folders' (a run's own dataset has the run's).

    Raises:
        UsageError: another number of names, or a name twice. MissingError: no such file.
    """
    files = [manifest_file(path) for path in manifests]
    folders = [Path(os.path.realpath(file)).parent for file in files]
    chosen = list(names) or [
        (folder.parent if folder.name == "dataset" else folder).name for folder in folders
    ]
    if len(chosen) != len(files) or len(set(chosen)) != len(chosen):
        raise UsageError(
            f"the names {', '.join(chosen)}",
            "are not one of its own for each manifest",
            "give --name once per manifest",
        )
    return [Dataset(name, file) for name, file in zip(chosen, files, strict=True)]


def split_for(manifest: Path, asked: str) -> str | None:
    """The split to score, None for all rows: `auto` is test where there is one, else everything.

    Raises:
        UsageError: no such split, or no row of it. MissingError, DataError: see `read_images`.
    """
    found = set(read_images(manifest)["split"].to_pylist())
    if asked not in (*SPLITS, "all", "auto"):
        raise UsageError(
            f"split {asked!r}", "is not known", f"choose one of: {', '.join((*SPLITS, 'all', 'auto'))}"
        )
    if asked == "auto":
        return "test" if "test" in found else None
    if asked != "all" and asked not in found:
        there = ", ".join(sorted(str(split) for split in found))
        raise UsageError(
            f"split {asked!r}", f"has no row in {manifest}", f"it has: {there}; or give --split all"
        )
    return None if asked == "all" else asked


def _validation(datasets: Sequence[Dataset], given: Path | None, policy: str) -> Path:
    """The manifest whose val rows fix the threshold: the one given, else the first with both classes there.

    A share of real images called fake can be fixed on real images alone, where no manifest has both classes.
    """
    found: dict[Path, set[int]] = {}
    for file in [manifest_file(given)] if given else [dataset.manifest for dataset in datasets]:
        table = read_images(file)
        pairs = zip(table["label"].to_pylist(), table["split"].to_pylist(), strict=True)
        found[file] = {label for label, split in pairs if split == "val"}
    for least in ({0, 1}, {0}) if policy.startswith("val-fpr") else ({0, 1},):
        for file, labels in found.items():
            if labels >= least:
                return file
    raise UsageError(
        "the threshold",
        "cannot be fixed: no val split with real and fake images in these manifests",
        "name one with --validation, or give a number as --threshold",
    )


def _trained_on(checkpoint: Path) -> str | None:
    """Digest of the manifest a detector was trained on, where its training.json lies beside its file."""
    facts = checkpoint.parent / "training.json"
    if not facts.is_file():
        return None
    try:
        return str(read_json(facts, dict)["sha256"]["manifest"])
    except (KeyError, TypeError) as error:
        raise DataError(
            str(facts), f"is not a training's facts ({error})", "remove it, or train again"
        ) from error


def _warnings(rows: list[dict[str, Any]], left: list[str]) -> list[str]:
    out = swapped_labels([row["label"] for row in rows], [row["path"] for row in rows])
    if left:
        out.append(f"{len(left)} images left out, e.g. {'; '.join(left[:EXAMPLES])}")
    bare = sum(row["cell"] is None for row in rows)
    if bare:
        out.append(f"{bare} of {len(rows)} images have no cell: they take no part in gaps between cells")
    return out


def evaluate_manifests(
    request: Request,
    measure: Measure,
    wanted: Floors,
    *,
    device: str = "cpu",
    workers: int = 2,
    fresh: bool = False,
    digests: Digests = "whole",
    say: Callable[[str], None] = lambda text: None,
) -> tuple[dict[str, Any], str]:
    """Score every dataset, measure it, write everything into `request.out`; the results as values and as
    Markdown.

    Args:
        wanted: which floors stand below the detector; the linear probe is fitted to the train split of the
            first manifest that has one with both classes, or with real images that the detector's training
            can forge.
        device: of the detector.
        workers: threads that read images.
        digests: which images are compared with the digests of their rows.
        fresh: do not go on from a killed evaluation's scores.
        say: gets one line per dataset.

    Raises:
        UsageError: an unknown policy, split, name or device. MissingError: no detector, no manifest, no such
            device here.
        DataError: a manifest that breaks the schema, or a dataset without a readable image.
    """
    from detector import load_detector
    from detector.inference.checkpoints import find_detector
    from pipeline.engine.executors import one_thread

    datasets, splits, fixing = request.resolved()
    out = request.out
    one_thread()
    model = load_detector(request.checkpoint, device=device)
    weight = find_detector(request.checkpoint)
    scoring = Scoring(out / PARTS, workers, digests)
    with writing_alone(out):
        drop_temporaries(scoring.folder)
        drop_temporaries(out, ("results.json", "scores.parquet", "table"))
        if fresh:
            scoring.forget()
        settings = training_facts(weight.path).get("settings") or model.header.get("training", {}).get(
            "settings", {}
        )
        candidates = [
            *([request.validation] if request.validation else []),
            *(one.manifest for one in datasets),
        ]
        floors, without = build_floors(wanted, training_of(candidates, settings), device)
        detector = Predictor("detector", model, weight.sha256)
        validation = fixing or request.manifests[0]
        evaluation = Evaluation(detector, floors, request.threshold, validation, measure, scoring)
        own = _trained_on(weight.path)
        measured = []
        for dataset in datasets:
            source = Source(dataset.name, dataset.manifest, splits[dataset.name])
            for one in evaluation.of(source):
                measured.append(replace(one, entry={**one.entry, **_facts(one, own)}))
            say(f"{dataset.name}: {len(one.rows)} images scored, {len(one.left)} left out")
        chosen = {"policy": request.threshold, "value": evaluation.cut(detector)}
        value = results_of(
            measured,
            floors,
            without,
            detector=weight.name,
            checkpoint={"path": str(request.checkpoint), "sha256": weight.sha256},
            threshold=chosen if fixing is None else {**chosen, "fixed_on": str(fixing)},
        )
        write_evaluation(out, measured, value, SCORES)
        table_text = _tables(out)
        scoring.forget()
        texts = [entry_text(one.name, one.entry, one.entry["warnings"]) for one in measured]
        at = (
            f"Called fake from {chosen['value']:.4g} on"
            f" ({request.threshold}{f', fixed on {fixing}' if fixing else ''})."
        )
        reasons = [f"Without {title}: {why}." for title, why in without.items()]
        return value, "\n\n".join([*texts, table_text, *reasons, at, str(out / "results.json")])


def _facts(one: Measured, own: str | None) -> dict[str, Any]:
    """What stands beside the figures of a dataset. own: digest of the manifest that the detector is of."""
    manifest = one.source.manifest
    return {
        "manifest": str(manifest),
        "split": one.source.split or "all",
        "scope": "intra" if digest_file(manifest) == own else "cross",
        "left_out": len(one.left),
        "warnings": _warnings(one.rows, one.left),
    }


def plan_evaluation(request: Request, device: str, *, fresh: bool) -> tuple[list[dict[str, Any]], str]:
    """What `evaluate_manifests` would do, as a plan of one stage; nothing is written.

    Raises:
        UserError: what would stop it before the first image is scored.
    """
    from detector import load_detector
    from pipeline.commands.evaluate.table_formats import FORMATS

    datasets, splits, fixing = request.resolved()
    load_detector(request.checkpoint, device=device)
    begun = (request.out / PARTS).is_dir()
    state, why = ("partial", "goes on") if begun else ("missing", "new")
    if begun and fresh:
        state, why = "stale", "asked for by --fresh"
    files = ["results.json", "scores.parquet", *(f"table.{suffix}" for suffix in FORMATS)]
    counts = {one.name: len(rows_of(one.manifest, splits[one.name])) for one in datasets}
    facts = {
        "stage": "evaluate",
        "state": state,
        "why": why,
        "checkpoint": str(request.checkpoint),
        "device": device,
        "datasets": {
            name: {"split": splits[name] or "all", "images": count} for name, count in counts.items()
        },
        "threshold": request.threshold,
        "fixed_on": str(fixing) if fixing else None,
        "files": [str(request.out / name) for name in files],
    }
    parts = [f"{count} images of {name} ({splits[name] or 'all'})" for name, count in counts.items()]
    fixed = f", fixed on {fixing}" if fixing else ""
    return (
        [facts],
        (
            f"evaluate  {state:<8} {why}; scores {', '.join(parts)} by {request.checkpoint} on {device}; "
            f"threshold {request.threshold}{fixed}; into {request.out}: {', '.join(files)}"
        ),
    )


def _tables(out: Path) -> str:
    """Write the table of this detector by datasets in every format; its Markdown."""
    from pipeline.commands.evaluate.table import cross_table
    from pipeline.commands.evaluate.table_formats import FORMATS

    made = cross_table([out])
    for suffix, render in FORMATS.items():
        write_text(out / f"table.{suffix}", render(made))
    return FORMATS["md"](made).rstrip("\n")
