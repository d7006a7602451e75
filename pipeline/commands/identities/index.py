"""`fairforge identity-index`: embeddings of real faces, so that `verify` can refuse faces too near to
them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from attribute_models.reader import CLEAR_SCORE
from manifests.atomic import digest_file
from manifests.errors import DataError, UserError
from manifests.images import Image, resize
from pipeline.engine import models
from pipeline.engine.progress import Reporter
from pipeline.faces.features import centre_square
from pipeline.faces.sources import choose, ignored, pictures


def embed_face(image: Image, identity_model: str, device: str) -> np.ndarray | None:
    """Identity of the best face, read as `verify` reads it: float32 [D]; None where no face is found.

    Args:
        image: uint8 [H, W, 3] RGB.
    """
    reader = models.face_reader("mtcnn", "fairforge-mesh148", CLEAR_SCORE, device)
    found = reader.faces(image)
    if not found:
        return None
    [mesh] = reader.place([reader.cut(image, found[0].five)])
    embedding: np.ndarray = models.identity_model(identity_model, device).embed(image, mesh)
    return embedding


def build_index(
    data: Path,
    out: Path,
    *,
    filters: Mapping[str, Any],
    resolution: int | None,
    limit: int | None,
    seed: int,
    device: str,
    reporter: Reporter,
    identity_model: str = "dlib-resnet",
) -> tuple[dict[str, Any], str]:
    """Embed the faces at `data` and write the index to `out`.

    Args:
        resolution: bring pictures to this side first, as the generator's own is; None: as they are.
        limit: the most faces, chosen by `seed`; None: all.

    Raises:
        MissingError, DataError, UsageError: as `pipeline.faces.sources.choose`; DataError when no face is
            found.
    """
    from attribute_models.identity.index import IdentityIndex
    from pipeline.engine.executors import one_thread

    one_thread()
    if text := ignored(data):
        reporter.warning(text)
    items = choose(data, filters, seed, limit)
    model = models.identity_model(identity_model, device)
    index = IdentityIndex(model.dim, model=identity_model, model_sha256=model.weight.sha256)
    skipped: Counter[str] = Counter()
    for picture in reporter.track(pictures(items), total=len(items), label="faces", unit="pictures"):
        if picture.image is None:
            skipped["unreadable"] += 1
            continue
        image = resize(centre_square(picture.image), resolution) if resolution else picture.image
        try:
            embedding = embed_face(image, identity_model, device)
        except UserError:
            skipped["not aligned"] += 1
            continue
        if embedding is None:
            skipped["no_face"] += 1
            continue
        index.add(embedding, picture.key)
    if not len(index):
        reasons = ", ".join(f"{name} {count}" for name, count in sorted(skipped.items()))
        raise DataError(str(data), f"has no face that can be used ({reasons})", "give pictures of faces")
    index.save(out)
    value = {
        "index": str(out),
        "sha256": digest_file(out),
        "faces": len(index),
        "skipped": dict(sorted(skipped.items())),
    }
    text = f"{out} ({len(index)} faces, {sum(skipped.values())} skipped)"
    return value, text
