"""`fairforge predict`: pictures, folders and videos through a detector; a file that cannot be scored is a row
with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.errors import MissingError, UsageError, UserError
from manifests.escaping import one_line, printable
from manifests.images import READABLE, Image, encode, read_image
from manifests.listing import NOT_UTF8, LeftOut, is_utf8, list_files
from manifests.video_frames import VIDEO_SUFFIXES, frames_of
from pipeline.engine.progress import Reporter
from pipeline.faces.crops import FaceCrop, FaceCropper, Faces

KNOWN = {*READABLE, *VIDEO_SUFFIXES}
BATCH = 128
Row = dict[str, Any]


@dataclass(frozen=True)
class Media:
    """What the paths of a command name. files: in order, a `LeftOut` for each that cannot be used. notes:
    what else was left out, in words.
    """

    files: tuple[Path | LeftOut, ...]
    notes: tuple[str, ...] = ()


def media_files(paths: Iterable[Path]) -> Media:
    """The files named, and the pictures and videos below the folders named, sorted; a name that is not there
    stays.

    Raises:
        MissingError: nothing is named, or the folders hold nothing.
    """
    named = list(paths)
    files: list[Path | LeftOut] = []
    notes: list[str | None] = []
    for path in named:
        if not is_utf8(str(path)):
            files.append(LeftOut(printable(str(path)), NOT_UTF8))
        elif path.is_dir():
            listing = list_files(path, KNOWN)
            files += listing.items(path)
            notes.append(listing.note(path))
        else:
            files.append(path)
    if not files:
        raise MissingError(
            ", ".join(printable(str(path)) for path in named) or "nothing",
            "holds no pictures or videos",
            f"known endings: {', '.join(sorted(KNOWN))}",
        )
    return Media(tuple(files), tuple(note for note in notes if note))


@dataclass
class _Scorer:
    """Scores crops in batches, and writes into each face's row `fake` and, where asked, `heatmap`."""

    model: Any
    heatmaps: Path | None = None
    waiting: list[tuple[Row, Image, str]] = field(default_factory=list)

    def add(self, face: FaceCrop, name: str) -> Row:
        """A face's row; its score comes with a later flush. name: of its heat map's file, without ending."""
        row: Row = {
            "box": list(face.box) if face.box else None,
            "score": face.score,
            "whole": face.whole,
            "fake": None,
        }
        self.waiting.append((row, face.image, name))
        if len(self.waiting) >= BATCH:
            self.flush()
        return row

    def flush(self) -> None:
        """Score what waits."""
        if not self.waiting:
            return
        import numpy as np

        images = np.stack([image for _, image, _ in self.waiting])
        for (row, _, _), score in zip(self.waiting, self.model.predict(images), strict=True):
            row["fake"] = float(score)
        if self.heatmaps is not None:
            self._draw(images, self.heatmaps)
        self.waiting.clear()

    def _draw(self, images: Image, folder: Path) -> None:
        from detector.inference.heatmaps import grad_cam, overlay
        from manifests.atomic import write_bytes

        for (row, image, name), heat in zip(self.waiting, grad_cam(self.model, images), strict=True):
            file = folder / f"{name}.png"
            write_bytes(file, encode(overlay(image, heat), "png"))
            row["heatmap"] = str(file)


def _read(path: Path | LeftOut, number: int, cropper: FaceCropper, scorer: _Scorer, frames: int) -> Row:
    """The row of one file; scores are filled in later, by `_settle`."""
    if isinstance(path, LeftOut):
        kind = "video" if path.name.lower().endswith(tuple(VIDEO_SUFFIXES)) else "image"
        return {"path": path.name, "kind": kind, "status": "failed", "reason": path.reason, "fake": None}
    video = path.suffix.lower() in VIDEO_SUFFIXES
    row: Row = {
        "path": str(path),
        "kind": "video" if video else "image",
        "status": "ok",
        "reason": None,
        "fake": None,
    }
    name = f"{number:05d}-{path.stem}"
    try:
        if not video:
            faces = cropper.crops(read_image(path))
            row["faces"] = [scorer.add(face, f"{name}-{k}") for k, face in enumerate(faces)]
            return row
        if not path.is_file():
            raise MissingError(str(path), "is not there", "check the path")
        row["frames"] = []
        for index, image in frames_of(path, frames):
            found = [
                scorer.add(face, f"{name}-{index:06d}-{k}") for k, face in enumerate(cropper.crops(image))
            ]
            row["frames"].append({"frame": index, "fake": None, "faces": found})
    except UserError as error:
        row.update(
            status="failed",
            reason=f"{error.why}; {error.fix}" if "needs the package" in error.why else error.why,
        )
    return row


def _highest(faces: list[Row]) -> float | None:
    return max((face["fake"] for face in faces), default=None)


def _settle(row: Row) -> None:
    """Fill in the score of a file out of those of its faces, or say that there is none."""
    if row["status"] != "ok":
        row.pop("frames", None)
        return
    if row["kind"] == "image":
        row["fake"] = _highest(row["faces"])
    else:
        for frame in row["frames"]:
            frame["fake"] = _highest(frame["faces"])
        scores = [frame["fake"] for frame in row["frames"] if frame["fake"] is not None]
        row["fake"] = sum(scores) / len(scores) if scores else None
    if row["fake"] is None:
        where = "in it" if row["kind"] == "image" else f"in any of {len(row['frames'])} frames"
        row.update(status="failed", reason=f"no face was found {where}; --no-faces takes pictures whole")


def predict(
    paths: Iterable[str | Path],
    checkpoint: str | Path | None = None,
    *,
    faces: Faces = "auto",
    frames: int = 32,
    heatmaps: str | Path | None = None,
    device: str = "cpu",
    note: Callable[[str], None] | None = None,
) -> list[Row]:
    """Fake probabilities of pictures, folders and videos: one row per file, in the order given.

    Every face is searched (MTCNN), aligned as training pictures are, and scored. A picture's score is that of
    its most fake-looking face; a frame's likewise; a video's is the mean over the frames with a face (frames
    are spread evenly).

    Args:
        paths: pictures, videos, or folders of them. checkpoint: file, folder of a training, or catalogued
            name; None: the embedded detector.
        faces: `auto` takes a picture that is an aligned crop already as it is (see
            `pipeline.faces.crops.FaceCropper`), `always` searches every picture, `never` takes every picture
            whole.
        frames: at most so many per video. heatmaps: folder for one Grad-CAM picture per face; none: no heat
            maps.
        device: torch device.
        note: is told, in a sentence, what was left out of a folder for its ending.

    Returns:
        Rows with `path`, `kind` (image, video), `status` (ok, failed), `reason`, `fake` in [0, 1] or None,
        and `faces` (`box` in pixels, `score` of the face detector, `whole`, `fake`, `heatmap`) or, of a
        video, `frames` with faces.

    Raises:
        MissingError: no file at all, no checkpoint. DataError: a damaged checkpoint. UsageError: unknown
            device or `faces`.
    """
    from detector import load_detector
    from detector.inference.checkpoints import PHOTOGRAPHS
    from nn.devices import torch_device
    from pipeline.engine import models

    if faces not in ("auto", "always", "never"):
        raise UsageError(f"faces = {faces!r}", "is not known", "choose auto, always or never")
    if frames < 1:
        raise UsageError(f"frames = {frames}", "is less than 1", "give how many frames of a video are scored")
    media = media_files(map(Path, paths))
    torch_device(device)
    model = load_detector(PHOTOGRAPHS if checkpoint is None else checkpoint, device=device)
    search = models.face_detector("mtcnn", device) if faces != "never" else None
    cropper = FaceCropper(search, model.input_size, faces)
    scorer = _Scorer(model, Path(heatmaps) if heatmaps is not None else None)
    rows = [_read(path, number, cropper, scorer, frames) for number, path in enumerate(media.files)]
    if note is not None:
        for text in media.notes:
            note(text)
    scorer.flush()
    for row in rows:
        _settle(row)
    return rows


def said_of_embedded() -> str:
    """The embedded detector in a sentence: its name, digest, threshold, and where its card is.

    Raises:
        MissingError: it is not in this installation. DataError: it is not the one catalogued, or damaged.
    """
    from detector.inference.checkpoints import PHOTOGRAPHS, find_detector, read_checkpoint

    weight = find_detector(PHOTOGRAPHS)
    threshold = read_checkpoint(weight.path)[1].get("threshold")
    card = weight.path.with_name("README.md")
    called = ""
    if isinstance(threshold, dict) and isinstance(threshold.get("value"), float):
        called = f"; called fake from {threshold['value']:.3f} on ({threshold.get('policy')})"
    where = f"card: {card}" if card.is_file() else "without a card"
    return f"by the embedded detector {weight.name} (sha256 {weight.digest8}{called}; {where})"


def predict_command(
    paths: list[Path],
    checkpoint: Path | None,
    *,
    faces: Faces,
    frames: int,
    heatmaps: Path | None,
    device: str,
) -> tuple[list[Row], str]:
    """`predict` on one thread, as values and as text: one line per file. By the embedded detector it says so
    on stderr.
    """
    from pipeline.engine.executors import one_thread

    one_thread()
    if checkpoint is None:
        Reporter().line(f"predict: {said_of_embedded()}")
    rows = predict(
        paths,
        checkpoint,
        faces=faces,
        frames=frames,
        heatmaps=heatmaps,
        device=device,
        note=Reporter().warning,
    )
    return rows, "\n".join(
        f"{r['fake']:.4f}  {printable(r['path'])}"
        if r["status"] == "ok"
        else f"failed  {printable(r['path'])}: {one_line(r['reason'])}"
        for r in rows
    )


def export_command(checkpoint: Path, out: Path) -> tuple[dict[str, Any], str]:
    """Write a detector as ONNX; see `detector.inference.onnx_export.export_onnx`."""
    from detector import load_detector
    from detector.inference.onnx_export import export_onnx

    value = export_onnx(load_detector(checkpoint, device="cpu"), out)
    outputs, gap = ", ".join(value["outputs"]), value["largest_difference"]
    return value, f"{value['onnx']}: outputs {outputs}; differs from torch by {gap:.1e} at most"
