"""What every forgery shares: the registry, the result, the contract that is checked for each fake.

A forgery is a class with a frozen `Params` model and one method, `layers`; the base class checks the faces,
composes the layers, keeps the pixels outside the mask, and writes the record:

    @forgery("swap-delaunay", family="swap", uses="source", params=SwapParams, paper="...")
    class SwapDelaunay(Forger): ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from generators.forgeries.checks import ForgeryError, check_face, check_layers
from manifests.errors import UsageError
from manifests.records import Face, ForgeryRecord, Image
from manifests.registry import Need, Params, Registry

Float = npt.NDArray[np.float32]
Uses = Literal["source", "driver", "none"]
Partner = Literal["near", "nearest", "moving"]
F = TypeVar("F", bound="type[Forger]")

__all__ = ["FORGERIES", "Forger", "Forgery", "ForgeryError", "Layers", "forgery"]


@dataclass(frozen=True)
class Forgery:
    """A fake.

    image: uint8 [H, W, 3], RGB, the target's size. mask: uint8 [H, W], the alpha of what was changed: where
    it is 0 the image is the target's, bit for bit (unless the method was told to change what surrounds the
    face). record: how it was made.
    """

    image: Image
    mask: Image
    record: ForgeryRecord


@dataclass(frozen=True)
class Layers:
    """What a method makes: the picture is `target + alpha * (foreground - target)`.

    foreground: float32 [H, W, 3], RGB, nominally [0, 255]. alpha: float32 [H, W] in [0, 1]. drawn: the
    parameters drawn for this very sample; they go into the record, so JSON types only. outside: float32 [H,
    W, 3], what takes the target's place around the foreground; None: the target itself, whose pixels then
    stay where the mask is 0.
    """

    foreground: Float
    alpha: Float
    drawn: dict[str, Any]
    outside: Float | None = None


class Forger(ABC):
    """Base of the forgeries. `family`, `uses` (what the second face gives) and `schemes` are set by
    `forgery`.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    uses: ClassVar[Uses]
    schemes: ClassVar[tuple[str, ...]]
    licence: ClassVar[str]

    def __init__(self, params: Params) -> None:
        self.params: Any = params

    @abstractmethod
    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The foreground, its alpha and the drawn parameters; the faces have passed `check_face`.

        Args:
            target: the face whose picture is changed, uint8 [H, W, 3] with landmarks in pixels.
            other: the face that gives identity or motion; None where `uses` is `none`.
            rng: the sample's own generator.

        Raises:
            ForgeryError: these faces cannot be used together; `reason` says why in one word.
        """

    def forge(self, target: Face, source_or_driver: Face | None, rng: np.random.Generator) -> Forgery:
        """Make one fake. The faces are not changed; the same faces and the same fresh `rng` give the same
        bytes.

        Args:
            target: the face whose picture is changed, image uint8 [H, W, 3] with landmarks in pixels.
            source_or_driver: the face that gives identity or motion; not looked at where `uses` is `none`.
            rng: the sample's own generator (`manifests.seeding.rng_of`). The record's `seed` is the seed of
                `rng`, 0 where it has none in 63 bits.

        Raises:
            UsageError: the second face is needed and missing.
            ForgeryError: a face or the pair cannot be used; `reason` is short and machine-readable.
        """
        other = None if self.uses == "none" else source_or_driver
        if other is None and self.uses != "none":
            raise UsageError(
                f"forgery {self.name!r}", f"needs a {self.uses} face", f"give a Face as {self.uses}"
            )
        for face in (target, other):
            if face is not None:
                check_face(face, self.schemes)
        with one_thread():
            made = self.layers(target, other, rng)
        mask = (np.clip(made.alpha, 0, 1) * 255).round().astype(np.uint8)
        under = (
            target.image if made.outside is None else np.clip(np.rint(made.outside), 0, 255).astype(np.uint8)
        )
        image = compose(under, made.foreground, mask)
        check_layers(target, image, mask)
        return Forgery(image, mask, self._record(target, other, rng, made.drawn))

    def _record(
        self, target: Face, other: Face | None, rng: np.random.Generator, drawn: dict[str, Any]
    ) -> ForgeryRecord:
        is_source = self.uses == "source"
        return ForgeryRecord(
            method=self.name,
            family=self.family,
            target_id=target.image_id,
            target_cell=target.cell,
            source_id=other.image_id if other is not None and is_source else None,
            source_cell=other.cell if other is not None and is_source else None,
            driver_id=other.image_id if other is not None and not is_source else None,
            seed=_seed(rng),
            params=drawn,
            licence=self.licence,
        )


FORGERIES: Registry[Forger] = Registry("forgeries", "generators.forgeries")


def forgery(
    name: str,
    *,
    family: str,
    uses: Uses,
    params: type[Params],
    paper: str,
    schemes: tuple[str, ...] = ("mesh148",),
    needs: tuple[Need, ...] = (),
    licence: str = "Apache-2.0",
    partner: Partner = "near",
    moves: tuple[str, ...] = (),
    latent: bool = False,
    directions: bool = False,
    files: tuple[str, ...] = (),
    weights: Mapping[str, str] | None = None,
) -> Callable[[F], F]:
    """Decorate a `Forger`: put it in `FORGERIES` and set its class variables.

    partner: which second faces suit: `near` ones drawn at random among those of similar landmarks, the
    `nearest` first, or those `moving` otherwise than the target first. moves: the measures
    (`shape_model.MEASURES`) that a reenactment brings over. latent: whether the faces must carry their
    latent; directions: whether the parameter `directions` must name a file of latent directions
    (`generators.cells.directions`). files: the parameters that name files of weights. weights: those that
    name a catalogued weight or its path, with its kind. The entry's `facts` hold all of these.
    """

    def decorate(cls: F) -> F:
        cls.name, cls.family, cls.uses, cls.schemes, cls.licence = name, family, uses, schemes, licence
        register = FORGERIES.register(
            name,
            family=family,
            params=params,
            needs=needs,
            licence=licence,
            paper=paper,
            uses=uses,
            schemes=schemes,
            partner=partner,
            moves=moves,
            latent=latent,
            directions=directions,
            files=files,
            weights=dict(weights or {}),
        )
        return register(cls)

    return decorate


def compose(target: Image, foreground: Float, mask: Image) -> Image:
    """`target + mask/255 (foreground - target)`, rounded: uint8 [H, W, 3]; the target itself where the mask
    is 0.
    """
    alpha = (mask.astype(np.float32) / 255)[..., None]
    base = target.astype(np.float32)
    mixed = base + alpha * (np.clip(foreground, 0, 255) - base)
    return np.where(mask[..., None] == 0, target, np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV on one thread: faces are small, and workers that share the cores wait on each other's
    threads.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _seed(rng: np.random.Generator) -> int:
    """The integer that seeded `rng`, or 0 where it is unknown or does not fit the manifest's int64."""
    entropy = getattr(getattr(rng.bit_generator, "seed_seq", None), "entropy", None)
    return entropy if isinstance(entropy, int) and 0 <= entropy < 2**63 else 0
