"""Growing both networks to twice the resolution without a jump (progressive growing, arXiv 1710.10196, in
skip form).

The generator's new block adds nothing at first: its toRGB starts at zero, so the grown generator gives the
old image, doubled by the low-pass. The discriminator's new block is faded in against the old `fromrgb` at
half the resolution.
"""

from __future__ import annotations

from generators.stylegan2.config import GeneratorConfig
from generators.stylegan2.discriminator import Discriminator, DiscriminatorConfig
from generators.stylegan2.generator import Generator
from manifests.errors import UsageError


def _check(old: int, new: int, what: str) -> None:
    if new != 2 * old:
        raise UsageError(f"{what} of {old} px", f"cannot grow to {new} px", f"grow it to {2 * old} px first")


def grow_generator(old: Generator, config: GeneratorConfig, seed: int) -> Generator:
    """A generator of `config` (twice the resolution) that gives the old images, doubled.

    Raises:
        UsageError: another resolution, sizes that differ below it, or an architecture without toRGB per
            block.
    """
    _check(old.resolution, config.img_resolution, "generator")
    if config.synthesis_kwargs.architecture != "skip":
        raise UsageError(
            f"architecture {config.synthesis_kwargs.architecture!r}",
            "has one toRGB for the whole image and cannot grow",
            "grow a generator of the skip architecture",
        )
    new = Generator(config)
    new.initialise(seed)
    state = new.state_dict()
    kept = old.state_dict()
    different = [
        name for name, value in kept.items() if name not in state or state[name].shape != value.shape
    ]
    if different:
        raise UsageError(
            f"generator tensor {different[0]}",
            "does not fit the grown network",
            "keep its channels and sizes",
        )
    new.load_state_dict({**state, **kept})
    getattr(new.synthesis, f"b{config.img_resolution}").torgb.weight.data.zero_()
    return new


def grow_discriminator(old: Discriminator, config: DiscriminatorConfig, seed: int) -> Discriminator:
    """A discriminator of `config` (twice the resolution), whose `fade` is 0: it scores as the old one does on
    half the size.

    Raises:
        UsageError: another resolution, or sizes that differ below it.
    """
    _check(old.config.img_resolution, config.img_resolution, "discriminator")
    new = Discriminator(config)
    new.initialise(seed)
    state = new.state_dict()
    below = f"b{old.config.img_resolution}.fromrgb."
    kept = {
        name: value for name, value in old.state_dict().items() if not name.startswith((below, "faded_rgb."))
    }
    if config.architecture == "skip":  # every block reads the image: the old one goes on doing so
        kept |= {name: value for name, value in old.state_dict().items() if name.startswith(below)}
    different = [
        name for name, value in kept.items() if name not in state or state[name].shape != value.shape
    ]
    if different:
        raise UsageError(
            f"discriminator tensor {different[0]}", "does not fit the grown network", "keep its channels"
        )
    new.load_state_dict({**state, **kept})
    if config.architecture != "skip":
        new.faded_rgb = getattr(old, f"b{old.config.img_resolution}").fromrgb
        new.fade = 0.0
    return new
