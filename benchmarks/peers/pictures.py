"""Making and finding faces: batches against single images, our detector against the package whose weights
it has, shards against a loop.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from PIL import Image as PilImage

from benchmarks.attributes import drawn
from benchmarks.forgeries import CHUNK, chunk_of_pairs, one_pair
from benchmarks.peers.reference_synthesis import official_generator, reference_synthesis
from benchmarks.peers.timing import Comparison
from generators.stylegan2.precision import Precision


def generation(images: int, generator: str = "starter64", batch: int = 16) -> Comparison:
    """Batches of a generator against a loop of single images."""
    from generators import load_generator
    from generators.sampling import draw_z, map_latents, to_uint8

    model = load_generator(generator)
    styles = map_latents(model, draw_z(0, [("peer", k) for k in range(images)], model.z_dim))

    def loop(size: int) -> None:
        with torch.inference_mode():
            for at in range(0, images, size):
                to_uint8(model.synthesis(styles[at : at + size])).numpy()

    return Comparison(
        f"generation, {generator}",
        "loop of single images",
        images,
        1.5,
        partial(loop, batch),
        partial(loop, 1),
    )


def official_size(images: int, resolution: int = 256, precision: Precision = "fp32") -> Comparison:
    """A generator with official numbers of channels, as a dataset is drawn, against a loop of single images
    by the reference design.
    """
    from generators.sampling import draw_z, map_latents, rows_of, to_uint8

    model = official_generator(resolution)
    keys = [("official", k) for k in range(images)]
    styles = torch.from_numpy(map_latents(model, draw_z(0, keys, model.z_dim)))
    rows = rows_of(model)

    def ours() -> None:
        with torch.inference_mode():
            for at in range(0, images, rows):
                to_uint8(model.synthesis(styles[at : at + rows], precision=precision)).numpy()

    def peer() -> None:
        with torch.inference_mode():
            for at in range(images):
                to_uint8(reference_synthesis(model, styles[at : at + 1])).numpy()

    with torch.inference_mode():
        drawn = model.synthesis(styles[:1], precision=precision)
        apart = float((drawn - reference_synthesis(model, styles[:1])).abs().max() / drawn.std())
    return Comparison(
        f"generation, {resolution} px, official channels, {precision}, {rows} at once",
        "reference design, single images, fp32",
        images,
        1.5,
        ours,
        peer,
        f"differs by {apart:.1e} standard deviations",
    )


def detection(images: int) -> Comparison:
    """Faces found: our reader of MTCNN's weights against `facenet-pytorch`, one image at a time."""
    from facenet_pytorch import MTCNN

    from attribute_models import load_face_detector

    pictures = drawn(images)
    detector, peer = load_face_detector(), MTCNN(keep_all=True, device="cpu")
    shown = [PilImage.fromarray(picture) for picture in pictures]
    ours = [len(detector.detect(picture)) for picture in pictures]
    theirs = [0 if (boxes := peer.detect(one)[0]) is None else len(boxes) for one in shown]
    same = float(np.mean(np.array(ours) == np.array(theirs)))
    return Comparison(
        "detection of faces",
        "facenet-pytorch, one image at a time",
        images,
        2.0,
        lambda: [detector.detect(picture) for picture in pictures],
        lambda: [peer.detect(one) for one in shown],
        f"as many faces in {100 * same:.0f} % of the pictures",
    )


def forging(pairs: int, method: str = "swap-delaunay", size: int = 128) -> Comparison:
    """A shard of pairs against a loop in which every step is a command of its own."""
    starts = range(0, pairs, CHUNK)

    def shards() -> None:
        for start in starts:
            chunk_of_pairs(method, size, start)

    def loop() -> None:
        for index in range(len(starts) * CHUNK):
            one_pair(method, size, index)

    return Comparison(f"forging, {method}", "loop of single images", len(starts) * CHUNK, 3.0, shards, loop)
