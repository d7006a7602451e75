"""`fairforge av evaluate`: scores of a manifest's clips and their fairness, as published and with leading
silence removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from detector.audio_visual.alignment import SCORERS
from detector.audio_visual.feature_files import OWN, read_features
from detector.audio_visual.model import AudioVisualModel, load_model, model_file
from manifests.atomic import digest_file, write_bytes, write_json
from manifests.clips.silence import frames_of_silence
from manifests.errors import DataError, MissingError, UsageError
from manifests.locks import writing_alone
from manifests.store import write_table
from manifests.watching import watch_by, watched
from pipeline.commands.audio_visual.areas import method_areas
from pipeline.commands.audio_visual.features import feature_file, own_features, read_table_of, root_of
from pipeline.commands.audio_visual.prediction import SCORER, words
from pipeline.commands.audio_visual.sources import KNOWN, clips_of
from pipeline.engine.progress import Reporter
from pipeline.report.clip_page import ShownClip, clip_page
from pipeline.stages.evaluate.measuring import Measure, scores_of

WHOLE, TRIMMED = "as published", "silence removed"


@dataclass(frozen=True)
class Request:
    """What is scored: clips of a manifest, or features that are there; with or without a second look at
    trimmed ones.

    split: of the clips; None for all.
    """

    checkpoint: Path
    out: Path
    manifest: Path | None = None
    features: Path | None = None
    split: str | None = None
    trim: bool = False


def _tables(request: Request, device: str, mouths: Any, workers: int) -> dict[str, tuple[Path, pa.Table]]:
    """Folder and table of features for each way of looking."""
    if request.features is not None:
        folder = root_of(request.features)
        table = read_table_of(request.features)
        if request.split is not None:
            table = table.filter(pc.equal(table["split"], request.split))
        return dict.fromkeys((WHOLE, TRIMMED)[: 1 + request.trim], (folder, table))
    assert request.manifest is not None
    clips = clips_of([request.manifest], request.split)
    folders = {WHOLE: request.out / "features", TRIMMED: request.out / "features-trimmed"}
    out = {}
    for way, folder in list(folders.items())[: 1 + request.trim]:
        trim = way == TRIMMED
        out[way] = (
            folder,
            own_features(clips, folder, trim=trim, device=device, reader=mouths, workers=workers),
        )
    return out


def _scored(
    model: AudioVisualModel, folder: Path, table: pa.Table, cut: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows with their scores by scorer, and the reasons of the others. cut: frames of silence are left out
    here.
    """
    rows, left = [], []
    for row in watched(table.to_pylist(), "scores", "clips"):
        if row["status"] != "ok":
            left.append(f"{row['clip_id']}: {row['reason']}")
            continue
        try:
            if cut and row["silence"] is None:
                raise DataError(
                    row["clip_id"],
                    "has no known silence: its features came without the clip",
                    "evaluate its manifest",
                )
            skipped = frames_of_silence(row["silence"]) if cut else 0
            found = model.score(*read_features(feature_file(folder, row), row["digest"]), skipped)
        except (MissingError, DataError) as error:
            left.append(f"{row['clip_id']}: {error.why}")
            continue
        facts = {name: row[name] for name in KNOWN}
        rows.append(
            {
                **facts,
                "image_id": row["clip_id"],
                "path": row["path"],
                "scores": found.clip,
                "frames": found.frames,
                "features": (feature_file(folder, row), row["digest"], skipped),
            }
        )
    return rows, left


def _figures(
    rows: list[dict[str, Any]], model: AudioVisualModel, measure: Measure, name: str
) -> dict[str, Any]:
    """The report of each scorer that all clips have."""
    out = {}
    for scorer in (one for one in SCORERS if all(one in row["scores"] for row in rows)):
        scored = [{**row, "score": row["scores"][scorer], "video_id": None} for row in rows]
        limit = model.thresholds().get(scorer, 0.0)
        out[scorer] = {
            **measure.of(scores_of(scored, name), limit),
            "methods": method_areas(rows, scorer, limit),
        }
    return out


def evaluate_clips(
    request: Request,
    measure: Measure,
    *,
    device: str = "cpu",
    quiet: bool = False,
    mouths: Any = None,
    workers: int = 1,
) -> tuple[dict[str, Any], str]:
    """Score clips and measure utility and fairness; writes `results.json` and `scores.parquet` into
    `request.out`.

    Args:
        request: what. measure: how. device: of the face models. quiet: no progress. mouths: a `MouthReader`.
            workers: processes that read clips.

    Raises:
        UsageError: neither or both of a manifest and features. MissingError, DataError: as the readers; no
            clip could be scored.
    """
    if (request.manifest is None) == (request.features is None):
        raise UsageError(
            "fairforge av evaluate",
            "needs --manifest or --features, one of them",
            "name what is to be scored",
        )
    model = load_model(request.checkpoint)
    ways: dict[str, Any] = {}
    table: list[dict[str, Any]] = []
    shown: list[ShownClip] = []
    with writing_alone(request.out), watch_by(Reporter(quiet=quiet).watch("av evaluate")):
        for name, (folder, features) in _tables(request, device, mouths, workers).items():
            rows, left = _scored(
                model, folder, features, cut=name == TRIMMED and request.features is not None
            )
            if not rows:
                raise DataError(
                    str(folder), f"gave no score ({left[0] if left else 'no clip'})", "see features.parquet"
                )
            labelled = [row for row in rows if row["label"] is not None]
            figures = _figures(labelled, model, measure, name) if labelled else {}
            ways[name] = {"clips": len(rows), "left_out": left, "scorers": figures}
            shown = shown or _shown(rows, model)
            table += [
                {
                    "way": name,
                    "clip_id": row["image_id"],
                    "label": row["label"],
                    "method": row["method"],
                    "cell": row["cell"],
                    **{scorer: row["scores"].get(scorer) for scorer in SCORERS},
                }
                for row in rows
            ]
    value = {"checkpoint_sha256": digest_file(model_file(request.checkpoint)), "ways": ways}
    write_table(pa.Table.from_pylist(table), request.out / "scores.parquet")
    write_json(request.out / "results.json", value)
    of = request.manifest or request.features
    page = clip_page(str(of and of.name), ways, shown, SCORER)
    write_bytes(request.out / "index.html", page.encode("utf-8", "replace"))
    return value, "\n".join(
        [*_lines(ways), str(request.out / "index.html"), str(request.out / "results.json")]
    )


def _shown(rows: list[dict[str, Any]], model: AudioVisualModel) -> list[ShownClip]:
    """Of real clips and of each method's the one in the middle of the scores, and the one that is most
    wrong.
    """
    kinds: dict[tuple[Any, str], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["label"], row["method"] or "unknown"), []).append(row)
    out = []
    for label, method in sorted(kinds, key=lambda kind: (kind[0] is None, kind)):
        ranked = sorted(
            kinds[label, method], key=lambda row: (row["scores"][SCORER], row["image_id"]), reverse=label == 1
        )
        out.append(_clip(ranked[len(ranked) // 2], "in the middle", model))
        if len(ranked) > 1:
            out.append(_clip(ranked[-1], "most wrong" if label is not None else "highest score", model))
    return out


def _clip(row: dict[str, Any], why: str, model: AudioVisualModel) -> ShownClip:
    path, digest, skipped = row["features"]
    kind, arrays = read_features(path, digest)
    own = {key: value[skipped:] for key, value in arrays.items()} if kind == OWN else {}
    return ShownClip(
        row["image_id"],
        row["label"],
        row["method"] or "unknown",
        row["cell"],
        why,
        row["scores"][SCORER],
        model.thresholds().get(SCORER),
        own.get("mouths"),
        own.get("banks"),
        row["frames"],
        words(row["scores"]["chance"]) if "chance" in row["scores"] else "",
    )


def _lines(ways: dict[str, Any]) -> list[str]:
    lines = []
    for name, way in ways.items():
        lines.append(f"{name}: {way['clips']} clips, {len(way['left_out'])} left out")
        for scorer, report in way["scorers"].items():
            whole = report["utility"]
            lines.append(f"  {scorer:<9} AUC {_area(whole['AUC'], whole.get('intervals', {}).get('AUC'))}")
            lines += [
                f"    {method:<20} {_area(one['AUC'], one['interval'])}"
                for method, one in report["methods"].items()
            ]
    return lines


def _area(value: float | None, interval: Sequence[float | None] | None) -> str:
    """An AUC with its interval, as text."""
    shown = "undefined" if value is None else f"{value:.3f}"
    return f"{shown} [{interval[0]:.3f}, {interval[1]:.3f}]" if interval and None not in interval else shown
