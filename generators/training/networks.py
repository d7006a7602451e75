"""The networks of a phase: made new, grown out of the phase before, or started from a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.stylegan2.discriminator import Discriminator
from generators.stylegan2.generator import Generator
from generators.training.feature_discriminator import FeatureDiscriminator
from generators.training.feature_networks import FeatureNetwork
from generators.training.growth import grow_discriminator, grow_generator
from generators.training.settings import TrainSettings
from generators.training.widening import widen_discriminator, widen_generator
from manifests.errors import UsageError
from manifests.seeding import seed_of
from nn import tensor_files
from nn.tensor_files import plain_tensors

BETAS = (0.0, 0.99)
ANEW = "delete it to begin anew"
"""What to do about a state that cannot be used."""
STATE: dict[str, type | tuple[type, ...]] = {
    "key": str,
    "phase": int,
    "step": int,
    "p": (int, float),
    "signs": (list, tuple),
    "path_mean": (int, float, torch.Tensor),
    "generator": dict,
    "average": dict,
    "discriminator": dict,
    "optimizer_g": dict,
    "optimizer_d": dict,
}
"""What a saved state of a run holds, and of which kind it is."""


@dataclass
class Networks:
    """Generator, its running average, discriminators, their optimisers, and the weights that came with a
    start.

    discriminator: StyleGAN2's; without use where features judge alone. features: on frozen features, or None.
    """

    generator: Generator
    average: Generator
    discriminator: Discriminator
    optimizer_g: torch.optim.Adam
    optimizer_d: torch.optim.Adam
    started: list[torch.nn.Parameter]
    features: FeatureDiscriminator | None = None
    optimizer_f: torch.optim.Adam | None = None

    def parts(self) -> dict[str, Any]:
        """What a state holds of them, by name."""
        names = ["generator", "average", "discriminator", "optimizer_g", "optimizer_d"]
        names += ["features", "optimizer_f"] if self.features is not None else []
        return {name: getattr(self, name) for name in names}


def _adam(groups: list[dict[str, Any]], rate: float, interval: int | None) -> torch.optim.Adam:
    """Adam whose rate and betas make up for lazy regularisation (arXiv 1912.04958, appendix B); `share`
    scales a group's.
    """
    ratio = 1.0 if interval is None else interval / (interval + 1)
    betas = (BETAS[0] ** ratio if BETAS[0] else 0.0, BETAS[1] ** ratio)
    groups = [{"params": group["params"], "lr": rate * ratio * group.get("share", 1.0)} for group in groups]
    return torch.optim.Adam(groups, lr=rate * ratio, betas=betas, eps=1e-8)


def add_features(
    networks: Networks,
    settings: TrainSettings,
    frozen: Mapping[str, FeatureNetwork],
    device: torch.device,
) -> None:
    """Give networks a new discriminator on frozen features and its optimiser, where the settings name some.

    Args:
        networks: of a phase; changed in place.
        settings: of the run.
        frozen: name -> network, at least those that the settings name.
        device: where the networks are.

    Raises:
        UsageError: a network that cannot see images of this resolution.
    """
    if not settings.feature_networks:
        return
    resolution = networks.generator.resolution
    networks.features = FeatureDiscriminator(
        {name: frozen[name] for name in settings.feature_networks},
        resolution,
        networks.generator.c_dim,
        settings.feature_width,
        seed_of(settings.seed, "features", resolution),
    ).to_device(device)
    networks.optimizer_f = torch.optim.Adam(
        networks.features.learnt(), lr=settings.learning_rate_f, betas=BETAS, eps=1e-8
    )


def started_parameters(generator: Generator, start: Generator | None) -> list[torch.nn.Parameter]:
    """What came with the generator that training went on from: the mapping and the blocks up to its
    resolution.
    """
    if start is None:
        return []
    blocks = tuple(
        f"synthesis.b{size}." for size in generator.config.block_resolutions if size <= start.resolution
    )
    return [p for name, p in generator.named_parameters() if name.startswith(("mapping.", *blocks))]


def _groups(
    generator: Generator, started: list[torch.nn.Parameter], settings: TrainSettings
) -> list[dict[str, Any]]:
    """The generator's parameters by their share of its learning rate: new ones, those that were started with,
    and the mapping network in groups of its own where it has another rate.
    """
    old = {id(p) for p in started}
    mapping = {id(p) for p in generator.mapping.parameters()} if settings.mapping_rate != 1 else set()
    groups: list[dict[str, Any]] = []
    for inside, rate in ((False, 1.0), (True, settings.mapping_rate)):
        if inside and not mapping:
            continue
        own = [p for p in generator.parameters() if (id(p) in mapping) is inside]
        groups.append({"params": [p for p in own if id(p) not in old], "share": rate})
        groups.append({"params": [p for p in own if id(p) in old], "share": rate * settings.start_rate})
    return groups


def assemble(
    generator: Generator,
    average: Generator,
    discriminator: Discriminator,
    settings: TrainSettings,
    device: torch.device,
    start: Generator | None = None,
) -> Networks:
    """Networks on `device` with new optimisers; the average takes no gradients. `start`: what the generator
    went on from.
    """
    for module in (generator, average, discriminator):
        module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average.eval().requires_grad_(False)
    generator.train().requires_grad_(True)
    discriminator.train().requires_grad_(True)
    started = started_parameters(generator, start)
    groups = _groups(generator, started, settings)
    return Networks(
        generator,
        average,
        discriminator,
        _adam(groups, settings.learning_rate_g, settings.path_interval if settings.path_weight else None),
        _adam([{"params": list(discriminator.parameters())}], settings.learning_rate_d, settings.r1_interval),
        started,
    )


def first_networks(
    settings: TrainSettings,
    c_dim: int,
    start: Generator | None,
    device: torch.device,
    known: Mapping[str, torch.Tensor] | None = None,
) -> Networks:
    """Networks of the first phase. `start` has its resolution, or half of it and grows; `known` is its
    discriminator.

    Raises:
        UsageError: a start of another resolution, or with other classes than the data; a discriminator of
            other sizes.
    """
    resolution = settings.phases[0].resolution
    generator = _first_generator(settings, c_dim, start)
    seed = seed_of(settings.seed, "discriminator", resolution)
    discriminator = Discriminator(settings.discriminator(resolution, c_dim))
    if known is None:
        discriminator.initialise(seed)
    else:
        narrow = Discriminator(settings.discriminator(resolution, c_dim, settings.channel_base))
        try:
            narrow.load_state_dict(known)
        except RuntimeError as error:
            why = "has a discriminator of other sizes or another resolution than these settings"
            raise UsageError(
                "--start", why, "give the settings and the last resolution of that run"
            ) from error
        discriminator = widen_discriminator(narrow, discriminator.config, seed)
    return assemble(generator, copy.deepcopy(generator), discriminator, settings, device, start)


def _first_generator(settings: TrainSettings, c_dim: int, start: Generator | None) -> Generator:
    resolution = settings.phases[0].resolution
    seed = seed_of(settings.seed, "generator", resolution)
    if start is None:
        generator = Generator(settings.generator(resolution, c_dim))
        generator.initialise(seed)
        return generator
    if start.c_dim != c_dim:
        why = f"has {start.c_dim} classes, the data {c_dim}"
        raise UsageError(f"--start {start.name}", why, "start from another, or from none")
    generator = copy.deepcopy(start)
    if start.resolution != resolution:
        generator = grow_generator(
            start, start.config.model_copy(update={"img_resolution": resolution}), seed
        )
    wanted = settings.started_generator(start.config, resolution)
    return generator if wanted == generator.config else widen_generator(generator, wanted, seed)


def read_state(path: Path) -> dict[str, Any]:
    """The content of a run's `state.pt`, on the CPU.

    Raises:
        DataError: not a readable state, or one that lacks something.
    """
    return tensor_files.read_state(path, STATE, ANEW)


def read_discriminator(path: Path) -> dict[str, torch.Tensor]:
    """The discriminator in a run's `state.pt`, to go on with under other settings; one that was growing
    counts as grown.

    Raises:
        DataError: not a readable state.
    """
    found = plain_tensors(read_state(path)["discriminator"], "discriminator", str(path))
    return {name: value for name, value in found.items() if not name.startswith("faded_rgb.")}


def read_heads(path: Path) -> dict[str, torch.Tensor] | None:
    """The discriminator on frozen features in a run's `state.pt`; None where the run had none.

    Raises:
        DataError: not a readable state.
    """
    found = read_state(path).get("features")
    return None if found is None else plain_tensors(found, "features", str(path))


def grown_networks(
    old: Networks,
    settings: TrainSettings,
    resolution: int,
    device: torch.device,
    start: Generator | None,
) -> Networks:
    """Networks of the next phase, twice the resolution."""
    seed = seed_of(settings.seed, "generator", resolution)
    config = old.generator.config.model_copy(update={"img_resolution": resolution})
    d_config = old.discriminator.config.model_copy(update={"img_resolution": resolution})
    discriminator = grow_discriminator(
        old.discriminator.cpu(), d_config, seed_of(settings.seed, "discriminator", resolution)
    )
    generator, average = (grow_generator(g.cpu(), config, seed) for g in (old.generator, old.average))
    return assemble(generator, average, discriminator, settings, device, start)


def blank_networks(
    settings: TrainSettings,
    resolution: int,
    c_dim: int,
    start: Generator | None,
    device: torch.device,
    *,
    fading: bool,
) -> Networks:
    """Networks of a phase without values, to load a state into."""
    config = settings.generator(resolution, c_dim)
    if start is not None:
        config = settings.started_generator(start.config, resolution)
    discriminator = Discriminator(settings.discriminator(resolution, c_dim))
    if fading:
        half = Discriminator(settings.discriminator(resolution // 2, c_dim))
        discriminator.faded_rgb = getattr(half, f"b{resolution // 2}").fromrgb
    return assemble(Generator(config), Generator(config), discriminator, settings, device, start)
