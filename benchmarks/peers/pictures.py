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
from benchmarks.peers.timing import Comparison


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
