"""`fairforge forge --target b.jpg --method M --out c.png`: one fake of any photograph, at the photograph's
own size.

The forgery works on a window about the face and is put back into the photograph, whose other pixels stay as
they are. Beside `c.png` lie `c.mask.png`, the alpha of what was changed, and `c.json`, where it comes from
and how it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manifests.atomic import digest_bytes, write_bytes, write_json
from manifests.errors import UsageError
from manifests.images import decode, encode, read_bytes, read_image
from manifests.records import Face, Image, Points
from manifests.seeding import rng_of
from pipeline.engine.config import Config
from pipeline.faces.picture import IdentityReader, ReadFace

ROOM = 0.8
"""Width of the window around the landmarks, in face sizes per side."""


@dataclass(frozen=True)
class Photograph:
    """A photograph with its one face. path: as given; sha256: of the file."""

    path: Path
    sha256: str
    image: Image
    face: ReadFace

    def window(self) -> tuple[slice, slice]:
        """Rows and columns about the face."""
        low, high = self.face.points.min(0), self.face.points.max(0)
        room = ROOM * float((high - low).max())
        size = np.array(self.image.shape[1::-1])
        x0, y0 = np.clip(np.floor(low - room), 0, size - 1).astype(int)
        x1, y1 = np.clip(np.ceil(high + room), 1, size).astype(int)
        return slice(int(y0), int(y1)), slice(int(x0), int(x1))

    def as_face(self) -> Face:
        """The window as a `Face`, landmarks in its pixels."""
        rows, columns = self.window()
        return Face(
            image_id=self.path.name,
            image=np.ascontiguousarray(self.image[rows, columns]),
            landmarks=(self.face.points - np.array([columns.start, rows.start], np.float32)).astype(
                np.float32
            ),
            landmark_scheme="mesh148",
        )


def reader_of(config: Config) -> IdentityReader:
    """The face reader with the models of a configuration."""
    verify = config.verify
    return IdentityReader(
        verify.face_detector,
        verify.landmarker,
        verify.identity_model,
        verify.min_face_score,
        config.execute.device,
    )


def open_photograph(path: Path, reader: IdentityReader) -> Photograph:
    """Read a photograph and its face.

    Raises:
        MissingError: no such file. DataError: not an image, no face, two faces, a face too small.
    """
    data = read_bytes(path)
    image = decode(data, str(path))
    return Photograph(path, digest_bytes(data), image, reader.only_face(image, str(path)))


def _lineage(photograph: Photograph) -> dict[str, Any]:
    points: Points = photograph.face.points
    return {
        "path": str(photograph.path),
        "sha256": photograph.sha256,
        "width": photograph.image.shape[1],
        "height": photograph.image.shape[0],
        "face_score": round(photograph.face.score, 4),
        "face_box": [round(float(v), 1) for v in (*points.min(0), *points.max(0))],
    }


def check_request(method: str, source: Path | None, out: Path) -> bool:
    """Whether the method uses a second face.

    Raises:
        UsageError: unknown method, a second face lacking, `out` not a PNG.
    """
    from generators.forgeries import FORGERIES

    uses = FORGERIES.get(method).facts["uses"]
    if uses != "none" and source is None:
        raise UsageError(f"forgery {method!r}", f"needs a {uses} face", "give its photograph with --source")
    if out.suffix.lower() != ".png":
        raise UsageError(
            f"--out {out}",
            "is not a PNG file; another codec would change the pixels outside the mask",
            "give a name that ends in .png",
        )
    return bool(uses != "none")


def forge_photograph(
    config: Config,
    target_path: Path,
    source_path: Path | None,
    method: str,
    out: Path,
    reader: IdentityReader | None = None,
) -> dict[str, Any]:
    """Make one fake and write it with its mask and its lineage; returns the lineage.

    The same files, method and `run.seed` give the same bytes.

    Raises:
        UsageError: see `check_request`. MissingError: a file or a model is not there. DataError: a photograph
            without one usable face. ForgeryError: these two faces cannot be used together.
    """
    from generators.forgeries import get

    needs_source = check_request(method, source_path, out)
    reader = reader or reader_of(config)
    target = open_photograph(target_path, reader)
    source = open_photograph(source_path, reader) if source_path is not None and needs_source else None
    seed_parts = ("forge-photograph", method, target.sha256, source.sha256 if source else "")
    forger = get(method)(config.forge.params.get(method))
    made = forger.forge(
        target.as_face(), source.as_face() if source else None, rng_of(config.run.seed, *seed_parts)
    )
    image, mask = target.image.copy(), np.zeros(target.image.shape[:2], np.uint8)
    rows, columns = target.window()
    image[rows, columns], mask[rows, columns] = made.image, made.mask
    data, mask_path = encode(image, "png"), out.with_suffix(".mask.png")
    record = made.record
    lineage = {
        "image": out.name,
        "sha256": digest_bytes(data),
        "mask": mask_path.name,
        "label": "fake",
        "method": record.method,
        "family": record.family,
        "licence": record.licence,
        "seed": record.seed,
        "run_seed": config.run.seed,
        "params": record.params,
        "target": _lineage(target),
        forger.uses if needs_source else "source": _lineage(source) if source else None,
        "mask_share": round(float((mask > 0).mean()), 5),
        "models": {
            "face_detector": config.verify.face_detector,
            "landmarker": config.verify.landmarker,
            "landmarker_sha256": reader.reader.landmarker.weight.sha256,
        },
    }
    write_bytes(out, data)
    write_bytes(mask_path, encode(mask, "png"))
    write_json(out.with_suffix(".json"), lineage)
    return lineage


def plan_photograph(
    config: Config,
    target: Path,
    source: Path | None,
    method: str,
    out: Path,
) -> tuple[list[dict[str, Any]], str]:
    """What `forge_photograph` would do, as a plan of one stage; the pictures are decoded, nothing is written.

    Raises:
        UserError: what would stop it before faces are looked for.
    """
    from generators.forgeries import get

    used = [target, source] if check_request(method, source, out) and source is not None else [target]
    get(method)(config.forge.params.get(method))
    for path in used:
        read_image(path)
    files = [str(out), str(out.with_suffix(".mask.png")), str(out.with_suffix(".json"))]
    state, why = ("stale", "the file is replaced") if out.exists() else ("missing", "new")
    facts = {
        "stage": "forge",
        "state": state,
        "why": why,
        "method": method,
        "pictures": [str(path) for path in used],
        "device": config.execute.device,
        "files": files,
    }
    of = " and ".join(map(str, used))
    return [facts], f"forge     {state:<8} {why}; {method} of {of}; writes {', '.join(files)}"
