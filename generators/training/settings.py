"""Settings of generator training; names follow StyleGAN2-ADA (arXiv 2006.06676)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from generators.stylegan2.config import GeneratorConfig, MappingConfig, SynthesisConfig
from generators.stylegan2.discriminator import DiscriminatorConfig, EpilogueConfig
from manifests.registry import Params
from nn.precision import Precision

FEATURE_SETTINGS = (
    "feature_networks",
    "features_alone",
    "feature_weight",
    "feature_width",
    "learning_rate_f",
    "feature_augment",
)
"""Settings of the discriminator on frozen features."""
OF_A_START = ("warmup_kimg", "widen_to", "widen_max_to", "widen_d_to", "frozen_kimg", "start_rate")
"""Settings that say how training goes on from a generator."""
LATER = ("compile", "draw_once", "feature_augment", "mapping_rate", "widen_max_to")
"""Settings that earlier versions did not have: with the default, a run's key is what it was."""


class Phase(Params):
    """One resolution of a progressive schedule, and how many thousand real images the discriminator sees
    there.
    """

    resolution: int = Field(ge=8, le=4096)
    kimg: float = Field(gt=0)


class TrainSettings(Params):
    """What a training run is. Two runs with equal settings, data and world size give equal bytes on one
    machine.

    Attributes:
        phases: resolutions in order, each the double of the one before.
        batch: images per step over all processes.
        learning_rate_g, learning_rate_d: of Adam, betas (0, 0.99).
        gamma: R1 weight; None is 2e-4 * resolution^2 / batch of each phase.
        r1_interval, path_interval: lazy regularisation, steps.
        path_weight: path length regularisation; 0 is off (arXiv 1912.04958 uses 2).
        style_mixing: share of images made of two styles.
        ema_kimg: half-life of the averaged weights.
        ada_target: wanted mean sign of D on real images (None: no augmentation).
        ada_kimg: images it takes p to go from 0 to 1.
        mirror: every image also mirrored.
        fade_kimg: over which a new block of D is faded in.
        warmup_kimg: how long D trains alone, at each of three resolutions, before a generator that comes
            without its discriminator goes on (see `training.warmup`), against `warmup_fakes` of its images.
        widen_to: channel_base of a generator that goes on from a narrower one.
        widen_max_to: its channel_max.
        widen_d_to: channel_base of its discriminator, whose channel_base was `channel_base`.
        frozen_kimg: how long the weights that came with `start` stay as they are in the first phase, while a
            grown block, and D, learn.
        start_rate: their learning rate afterwards, as a share of learning_rate_g.
        mapping_rate: times learning_rate_g, that of the mapping network, whose weights count a hundredth
            (arXiv 1812.04948), so that a late, low rate hardly moves it.
        precision: `float32`, `bfloat16` by autocast (R1 and path length stay in float32), or `auto`: bfloat16
            where the device computes it natively (`nn.precision`).
        threads: of one process on the CPU.
        feature_networks: frozen networks whose features a discriminator sees (`feature_discriminator`),
            beside StyleGAN2's (vision-aided, arXiv 2112.09130) or alone (projected, arXiv 2111.01007: no R1,
            no adaptive augmentation).
        feature_weight: of their loss beside StyleGAN2's.
        feature_width: channels of their heads.
        learning_rate_f: of their heads.
        feature_augment: how images are augmented before they see them (`policy_augmentation`).
        compile: networks by `torch.compile` (`generators.training.compiled`): quicker, other last digits.
        draw_once: the generator learns from the images that the step's discriminators were shown, which are
            then drawn once a step and not twice.
    """

    phases: tuple[Phase, ...] = Field(min_length=1)
    batch: int = Field(32, ge=2)
    z_dim: int = Field(128, ge=1)
    w_dim: int = Field(128, ge=1)
    mapping_layers: int = Field(4, ge=1, le=64)
    channel_base: int = Field(2048, ge=8)
    channel_max: int = Field(128, ge=1)
    architecture: Literal["skip", "resnet", "orig"] = "skip"
    d_architecture: Literal["resnet", "skip", "orig"] = "resnet"
    learning_rate_g: float = Field(0.0025, gt=0)
    learning_rate_d: float = Field(0.0025, gt=0)
    gamma: float | None = Field(None, ge=0)
    r1_interval: int = Field(16, ge=1)
    path_weight: float = Field(0.0, ge=0)
    path_interval: int = Field(4, ge=1)
    style_mixing: float = Field(0.9, ge=0, le=1)
    ema_kimg: float = Field(5.0, gt=0)
    ada_target: float | None = Field(0.6, gt=0, le=1)
    ada_kimg: float = Field(500.0, gt=0)
    mirror: bool = True
    fade_kimg: float = Field(8.0, ge=0)
    warmup_kimg: float = Field(0.0, ge=0)
    warmup_fakes: int = Field(16384, ge=64)
    widen_to: int | None = Field(None, ge=8)
    widen_max_to: int | None = Field(None, ge=1)
    widen_d_to: int | None = Field(None, ge=8)
    frozen_kimg: float = Field(0.0, ge=0)
    start_rate: float = Field(1.0, gt=0, le=1)
    mapping_rate: float = Field(1.0, ge=0, le=1000)
    precision: Precision = "auto"
    seed: int = Field(2026, ge=0)
    threads: int = Field(2, ge=1)
    snapshot_kimg: float = Field(4.0, gt=0)
    feature_networks: tuple[str, ...] = ()
    features_alone: bool = False
    feature_weight: float = Field(1.0, gt=0)
    feature_width: int = Field(64, ge=4, le=1024)
    learning_rate_f: float = Field(0.002, gt=0)
    feature_augment: tuple[Literal["colour", "translation", "cutout"], ...] = (
        "colour",
        "translation",
        "cutout",
    )
    compile: bool = False
    draw_once: bool = False

    @model_validator(mode="after")
    def _doubling(self) -> TrainSettings:
        sizes = [phase.resolution for phase in self.phases]
        if any(size & (size - 1) for size in sizes):
            raise ValueError("resolutions are powers of two")
        if any(after != 2 * before for before, after in pairwise(sizes)):
            raise ValueError("each phase doubles the resolution of the one before")
        return self

    @model_validator(mode="after")
    def _features(self) -> TrainSettings:
        if len(set(self.feature_networks)) < len(self.feature_networks):
            raise ValueError("feature_networks names one twice")
        if self.features_alone and not self.feature_networks:
            raise ValueError("features_alone needs feature_networks")
        if self.features_alone and (self.warmup_kimg or self.widen_d_to):
            raise ValueError(
                "warmup_kimg and widen_d_to are of StyleGAN2's discriminator: features_alone has none"
            )
        return self

    def key_values(self) -> dict[str, object]:
        """What makes two runs different, as JSON values; phases and precision are told apart elsewhere. What
        says how features are used is left out where there are none, as in runs of earlier versions.
        """
        unused = set() if self.feature_networks else set(FEATURE_SETTINGS)
        unused |= {name for name in LATER if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(mode="json", exclude={"threads", "snapshot_kimg", "phases"} | unused)

    def of_a_start(self) -> list[str]:
        """Names of `OF_A_START` that are not what they are by default."""
        return [name for name in OF_A_START if getattr(self, name) != type(self).model_fields[name].default]

    def generator(self, resolution: int, c_dim: int) -> GeneratorConfig:
        """The generator of a phase. Channels depend on the resolution alone, so growing keeps what was
        learned.
        """
        return GeneratorConfig(
            z_dim=self.z_dim,
            c_dim=c_dim,
            w_dim=self.w_dim,
            img_resolution=resolution,
            mapping_kwargs=MappingConfig(num_layers=self.mapping_layers),
            synthesis_kwargs=SynthesisConfig(
                channel_base=self.channel_base,
                channel_max=self.channel_max,
                architecture=self.architecture,
            ),
        )

    def started_generator(self, start: GeneratorConfig, resolution: int) -> GeneratorConfig:
        """The generator of a phase that went on from one of config `start`: its sizes, wider where `widen_to`
        and `widen_max_to` say so.
        """
        config = start.model_copy(update={"img_resolution": resolution})
        wanted = {"channel_base": self.widen_to, "channel_max": self.widen_max_to}
        wider = config.synthesis_kwargs.model_copy(update={k: v for k, v in wanted.items() if v is not None})
        return config.model_copy(update={"synthesis_kwargs": wider})

    def discriminator(
        self, resolution: int, c_dim: int, channel_base: int | None = None
    ) -> DiscriminatorConfig:
        """The discriminator of a phase; the groups of its minibatch deviation divide the batch.
        `channel_base`: before widening.
        """
        group = next(size for size in (4, 3, 2, 1) if self.batch % size == 0)
        return DiscriminatorConfig(
            c_dim=c_dim,
            img_resolution=resolution,
            architecture=self.d_architecture,
            channel_base=channel_base or self.widen_d_to or self.channel_base,
            channel_max=self.channel_max,
            mapping_kwargs=MappingConfig(num_layers=self.mapping_layers),
            epilogue_kwargs=EpilogueConfig(mbstd_group_size=group),
        )

    def r1_gamma(self, resolution: int) -> float:
        """Weight of R1 at a resolution."""
        return 2e-4 * resolution**2 / self.batch if self.gamma is None else self.gamma
