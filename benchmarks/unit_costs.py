"""What one picture costs in each step of a run: seconds of a core, measured, and operations of networks,
counted.

Pictures are drawn: smooth noise with the embedded generator's faces enlarged on it where a face has to be
found. The generator at `size` pixels has the official widths and random weights, which cost what trained
ones do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.attributes import drawn
from benchmarks.forgeries import EASY, noise_face
from manifests.atomic import digest_bytes
from manifests.audit.duplicates import difference_hash, thumbnail
from manifests.audit.features import file_features, pixel_features
from manifests.images import Image, decode, encode, resize
from manifests.seeding import rng_of


@dataclass(frozen=True)
class Unit:
    """A step for one picture. seconds: of one core. gflop: of its networks, 10^9 multiplications and
    additions; 0: none.
    """

    seconds: float
    gflop: float = 0.0


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The least processor time of a call, after one that is not counted."""
    work()
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


class _Counting(TorchDispatchMode):
    """Adds up what torch's own formulas say of every product and convolution."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:  # without autograd torch has not taken it apart yet
            with self:
                parts = func.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        out = func(*args, **(kwargs or {}))
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def gflops(work: Callable[[], object]) -> float:
    """10^9 multiplications and additions of the networks in a call."""
    with _Counting() as counter:
        work()
    return counter.total / 1e9


def generator_of(size: int) -> Any:
    """A StyleGAN2 of the official widths, weights drawn."""
    from generators.stylegan2.config import GeneratorConfig
    from generators.stylegan2.generator import Generator

    model = Generator(GeneratorConfig(z_dim=512, w_dim=512, img_resolution=size)).eval()
    model.initialise(0)
    return model


def generate(size: int, repeats: int) -> Unit:
    """A face out of a generator, to uint8."""
    model = generator_of(size)
    z = rng_of(0, "costs").standard_normal((1, 512)).astype(np.float32)

    def work() -> Any:
        with torch.inference_mode():
            return model(z)

    return Unit(seconds(work, repeats), gflops(work))


def verify(size: int, repeats: int) -> Unit:
    """A face found, aligned, its landmarks, attributes and identity."""
    from attribute_models import load_attribute_model, load_identity_model
    from attribute_models.reader import CLEAR_SCORE
    from pipeline.engine.models import face_reader

    pictures: list[Image] = [resize(picture, size) for picture in drawn(4)]
    reader, attributes = face_reader("mtcnn", "fairforge-mesh148", CLEAR_SCORE, "cpu"), load_attribute_model()
    identity = load_identity_model()

    def work() -> None:
        found = [reader.faces(picture) for picture in pictures]
        cut = [
            reader.cut(picture, faces[0].five)
            for picture, faces in zip(pictures, found, strict=True)
            if faces
        ]
        attributes.predict(np.stack([one.crop for one in cut]))
        for picture, mesh in zip(pictures, reader.place(cut), strict=False):
            identity.embed(picture, mesh)

    return Unit(seconds(work, repeats) / len(pictures), gflops(work) / len(pictures))


def forge(size: int, methods: Sequence[str], repeats: int) -> Unit:
    """A fake by the mean of these methods, both faces read from PNG and image and mask written; gates not
    counted.
    """
    from generators.forgeries import get

    faces = [noise_face(size, k) for k in range(2)]
    files = [encode(face.image, "png") for face in faces]
    times = []
    for method in methods:
        forger = get(method)(EASY.get(method, {}))

        def work(forger: Any = forger, method: str = method) -> None:
            target, other = (
                face.model_copy(update={"image": decode(data)})
                for face, data in zip(faces, files, strict=True)
            )
            made = forger.forge(target, other, rng_of(0, "forge", method))
            encode(made.image, "png")
            encode(made.mask, "png")

        times.append(seconds(work, repeats))
    return Unit(float(np.mean(times)))


def pair(size: int, repeats: int) -> Unit:
    """A picture read from PNG, encoded as JPEG and hashed."""
    data = encode(noise_face(size, 0).image, "png")
    return Unit(seconds(lambda: digest_bytes(encode(decode(data), "jpeg", 90)), repeats))


def audit(size: int, repeats: int) -> Unit:
    """The look that the audit of duplicates takes of a picture; the features of the others are of 4,000 at
    the most.
    """
    data = encode(noise_face(size, 0).image, "jpeg", 90)

    def work() -> None:
        image = decode(data)
        difference_hash(image)
        thumbnail(image)

    return Unit(seconds(work, repeats))


def audit_features(size: int, repeats: int) -> Unit:
    """The features of one of those."""
    data = encode(noise_face(size, 0).image, "jpeg", 90)
    return Unit(seconds(lambda: (file_features(data), pixel_features(decode(data))), repeats))


def release(size: int, repeats: int) -> Unit:
    """A picture read, compared with its digest, decoded and written, twice hashed again, decoded again by
    the check.
    """
    data = encode(noise_face(size, 0).image, "jpeg", 90)
    mask = encode(np.pad(np.full((size // 2, size // 2), 255, np.uint8), size // 4), "png")

    def work() -> None:
        for one in (data, mask):
            for _ in range(2):
                digest_bytes(one)
                decode(one)
            digest_bytes(one)

    return Unit(seconds(work, repeats))


def train(backbone: str, side: int, folder: Path, repeats: int) -> Unit:
    """A picture in a SAM step, forward and backward twice, its reading and augmentation included."""
    from benchmarks.training import Step, picture_set
    from detector.training.augmentation import AugmentParams
    from detector.training.batch_maker import BatchMaker

    batch = 8
    step = Step(backbone, "sam", batch, side, "cpu")
    data = picture_set(folder, batch, 1024, side)
    maker = BatchMaker(data, 0, AugmentParams(), (), True, False)
    rows, labels = np.arange(batch), np.arange(batch) % 2
    pixels = maker(rows, 0).pixels

    def work() -> None:
        step(pixels, labels)

    return Unit(seconds(work, repeats) / batch, gflops(work) / batch)


def read_batch(side: int, folder: Path, repeats: int) -> Unit:
    """A picture read and augmented for training."""
    from benchmarks.training import picture_set
    from detector.training.augmentation import AugmentParams
    from detector.training.batch_maker import BatchMaker

    data = picture_set(folder, 8, 1024, side)
    maker = BatchMaker(data, 0, AugmentParams(), (), True, False)
    return Unit(seconds(lambda: maker(np.arange(8), 0), repeats) / 8)
