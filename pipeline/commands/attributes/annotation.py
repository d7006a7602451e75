"""`fairforge attributes PATH... --out FILE`: perceived attributes of pictures, one row per file, failed ones
too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from manifests.errors import UsageError
from manifests.store import write_table
from pipeline.commands.attributes.sources import pictures
from pipeline.engine.executors import one_thread
from pipeline.engine.progress import Reporter

if TYPE_CHECKING:
    from attribute_models.attributes.annotation import Annotator

_F32S = pa.list_(pa.float32())
HEADS = ("race", "gender", "age")


@dataclass(frozen=True)
class AnnotationSettings:
    """Which models look, and how. model_file: the user's weights where a model needs them. frames: taken of a
    video.
    """

    model: str = "fairforge-small"
    model_file: str = ""
    landmarker: str = "fairforge-mesh148"
    detector: str = "mtcnn"
    device: str = "cpu"
    min_face_score: float = 0.9
    all_faces: bool = False
    aligned: bool = False
    frames: int = 5
    batch: int = 64


def make_annotator(settings: AnnotationSettings) -> Annotator:
    """The models of an annotation, loaded.

    Raises:
        UserError: as the loaders.
    """
    from attribute_models import load_attribute_model, load_face_detector, load_landmarker
    from attribute_models.attributes.annotation import Annotator

    params = {"file": settings.model_file} if settings.model_file else {}
    return Annotator(
        load_attribute_model(settings.model, settings.device, **params),
        load_landmarker(settings.landmarker, settings.device) if settings.landmarker else None,
        None if settings.aligned else load_face_detector(settings.detector, settings.device),
        min_face_score=settings.min_face_score,
        all_faces=settings.all_faces,
    )


def schema_of(classes: Mapping[str, tuple[str, ...]]) -> pa.Schema:
    """The columns of a label file: places, verdict, top class and confidence per head, every probability,
    landmarks.
    """
    heads = [
        field
        for head in dict.fromkeys([*HEADS, *classes])
        for field in ((head, pa.string()), (f"{head}_prob", pa.float32()))
    ]
    return pa.schema(
        [
            ("path", pa.string()),
            ("image_id", pa.string()),
            ("frame", pa.int32()),
            ("face", pa.int32()),
            ("status", pa.string()),
            ("reason", pa.string()),
            ("detail", pa.string()),
            *heads,
            *((f"{head}:{name}", pa.float32()) for head, names in classes.items() for name in names),
            ("faces", pa.int32()),
            ("face_score", pa.float32()),
            ("box", _F32S),
            ("landmarks", _F32S),
            ("landmark_scheme", pa.string()),
            ("sharpness", pa.float32()),
            ("brightness", pa.float32()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("attribute_source", pa.string()),
        ]
    )


def _rank(row: Mapping[str, Any]) -> tuple[bool, float, int]:
    return row["status"] == "ok", row.get("face_score") or 0.0, -(row.get("frame") or 0)


def one_per_video(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of the rows of one video, those of the frame whose best face has the highest score; other rows as they
    are.
    """
    held: list[dict[str, Any]] = []
    for row in [*rows, {"path": None}]:
        if held and (row.get("frame") is None or row["path"] != held[0]["path"]):
            best = max(held, key=_rank)["frame"]
            yield from (one for one in held if one["frame"] == best)
            held = []
        if row.get("frame") is not None:
            held.append(row)
        elif row["path"] is not None:
            yield row


def annotate_paths(
    paths: list[Path],
    out: Path,
    settings: AnnotationSettings,
    quiet: bool = False,
) -> tuple[dict[str, Any], str]:
    """Annotate everything below `paths` into the parquet file `out`; the same input gives the same bytes.

    Raises:
        UsageError: `out` is not a parquet file's name. UserError: as `pictures` and the model loaders.
    """
    if out.suffix != ".parquet":
        raise UsageError(
            f"--out {out}", "is not the name of a parquet file", "give a name ending in .parquet"
        )
    one_thread()
    annotator = make_annotator(settings)
    reporter = Reporter(quiet=quiet)
    found = pictures(paths, settings.frames, reporter.warning)
    rows = list(one_per_video(_counted(annotator.annotate(found, settings.batch), reporter)))
    schema = schema_of(annotator.classifier.classes)
    table = pa.Table.from_pylist(
        rows,
        schema=schema.with_metadata(
            {
                "fairforge.attribute_source": annotator.classifier.label_source,
                "fairforge.licence": annotator.classifier.weight.licence,
            }
        ),
    )
    write_table(table, out)
    return _summary(rows, out)


def _counted(rows: Iterable[dict[str, Any]], reporter: Reporter) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        if number % 500 == 0:
            reporter.line(f"attributes: {number} faces")
        yield row


def _summary(rows: list[dict[str, Any]], out: Path) -> tuple[dict[str, Any], str]:
    good = [row for row in rows if row["status"] == "ok"]
    reasons = dict(sorted(Counter(row["reason"] for row in rows if row["status"] != "ok").items()))
    value = {"out": str(out), "rows": len(rows), "ok": len(good), "failed": reasons}
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return value, f"{out}: {len(good)} faces annotated" + (f"; failed: {listed}" if reasons else "")
