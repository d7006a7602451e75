"""`fairforge predict`: images and folders through a detector; an image that cannot be read is a row with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.errors import MissingError, UserError
from manifests.images import read_image

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


def image_files(paths: list[Path]) -> list[Path]:
    """The files named, and the images below the folders named, sorted.

    Raises:
        MissingError: a path is not there, or no image is found.
    """
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            out += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        elif path.is_file():
            out.append(path)
        else:
            raise MissingError(str(path), "is not there", "name image files or folders")
    if not out:
        names = ", ".join(map(str, paths))
        raise MissingError(names, "hold no images", f"known endings: {', '.join(sorted(SUFFIXES))}")
    return out


def predict_paths(paths: list[Path], checkpoint: Path, device: str) -> tuple[list[dict[str, Any]], str]:
    """One row per image: path, status, fake probability or the reason why not."""
    from detector import load_detector
    from pipeline.executors import one_thread

    one_thread()
    model = load_detector(checkpoint, device=device)
    rows: list[dict[str, Any]] = []
    for path in image_files(paths):
        try:
            image = read_image(path)
        except UserError as error:
            rows.append({"path": str(path), "status": "failed", "reason": error.why, "fake": None})
            continue
        rows.append({"path": str(path), "status": "ok", "reason": None, "fake": float(model.predict(image[None])[0])})
    lines = [f"{r['fake']:.4f}  {r['path']}" if r["status"] == "ok" else f"failed  {r['path']}: {r['reason']}"
             for r in rows]
    return rows, "\n".join(lines)
