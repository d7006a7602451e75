"""Does a detector take how a crop was made for a forgery?

    python -m benchmarks.recrops --checkpoint D --parquet P --originals DIR

The same real faces twice: as a data set's own crops (a parquet file with `file`, `image`, `sharpness`,
`brightness`, `yaw_proxy`), and cropped anew from their originals by the aligner that `predict` uses. Nobody
in them is forged, so both shares called fake should be alike; a detector that learned the traces of the
crops' compression calls one of the two fake. One JSON line: both shares and those as JPEG 85, with 95 %
intervals. Faces that are blurred, dark or turned away are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from attribute_models import load_face_detector
from detector.inference.prediction import Detector, load_detector
from manifests.images import Image, decode, encode, read_image
from manifests.proportions import share
from pipeline.faces.crops import aligned_crop

LEAST_SCORE, LEAST_SHARPNESS, LEAST_BRIGHTNESS, MOST_YAW = 0.9, 15, 35, 0.45
QUALITY = 85
BATCH = 32
COLUMNS = ["file", "image", "sharpness", "brightness", "yaw_proxy"]


def faces(parquet: Path, originals: Path, size: int) -> Iterator[tuple[Image, Image]]:
    """The own crop and the new one of every face whose original is there, the new one uint8 [size, size,
    3].
    """
    there = {path.name: path for path in sorted(originals.glob("*.jpg"))}
    search = load_face_detector("mtcnn")
    for row in pq.read_table(parquet, columns=COLUMNS).to_pylist():
        name = Path(row["file"]).name
        path = there.get(name) or there.get(f"val_{name}")
        clear = (
            row["sharpness"] >= LEAST_SHARPNESS
            and row["brightness"] >= LEAST_BRIGHTNESS
            and abs(row["yaw_proxy"]) < MOST_YAW
        )
        if path is None or not clear:
            continue
        original = read_image(path)
        found = [face for face in search.detect(original) if face.score >= LEAST_SCORE]
        if len(found) == 1:
            yield decode(row["image"]), aligned_crop(original, found[0].five, size)


def called_fake(detector: Detector, pictures: list[Image], threshold: float) -> dict[str, float | int | None]:
    """Share of the pictures with a score of at least `threshold`."""
    scores = np.concatenate(
        [detector.predict(np.stack(pictures[k : k + BATCH])) for k in range(0, len(pictures), BATCH)]
    )
    return share(int((scores >= threshold).sum()), len(scores))


def as_jpeg(pictures: list[Image]) -> list[Image]:
    """The pictures through JPEG of `QUALITY`."""
    return [decode(encode(picture, "jpeg", QUALITY)) for picture in pictures]


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--parquet", type=Path, required=True)
    parser.add_argument("--originals", type=Path, required=True)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--size", type=int, default=128, help="of the new crops, pixels")
    given = parser.parse_args()
    detector = load_detector(given.checkpoint)
    own, new = map(list, zip(*faces(given.parquet, given.originals, given.size), strict=True))
    found = {
        f"{name}{codec}": called_fake(detector, change(pictures), given.threshold)
        for name, pictures in (("own crops", own), ("new crops", new))
        for codec, change in (("", list), (" as JPEG", as_jpeg))
    }
    print(json.dumps({"faces": len(own), "threshold": given.threshold, **found}))


if __name__ == "__main__":
    main()
