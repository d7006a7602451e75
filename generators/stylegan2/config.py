"""The constructor's arguments of a StyleGAN2 generator, in the official spelling.

The same JSON stands in the header of our safetensors checkpoints and, as init kwargs, in official snapshots.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from manifests.errors import DataError
from manifests.registry import Params

Architecture = Literal["orig", "skip", "resnet"]


class MappingConfig(Params):
    """The mapping network f: Z -> W. `None` features mean `w_dim`."""

    num_layers: int = Field(8, ge=1, le=64)
    embed_features: int | None = Field(None, ge=1)
    layer_features: int | None = Field(None, ge=1)
    activation: Literal["lrelu"] = "lrelu"
    lr_multiplier: float = Field(0.01, gt=0)
    w_avg_beta: float = Field(0.998, ge=0, le=1)


class SynthesisConfig(Params):
    """The synthesis network g: W -> image.

    Channels at a resolution are min(channel_base / resolution, channel_max). `num_fp16_res` (how many of the
    highest resolutions were trained in half precision) says which ones run so when asked.
    `fp16_channels_last` and `fused_modconv_default` are read and kept, and change nothing. `conv_clamp`
    bounds activations in any precision.
    """

    channel_base: int = Field(32768, ge=1)
    channel_max: int = Field(512, ge=1)
    num_fp16_res: int = Field(0, ge=0)
    architecture: Architecture = "skip"
    conv_clamp: float | None = Field(None, gt=0)
    resample_filter: tuple[float, ...] = Field((1.0, 3.0, 3.0, 1.0), min_length=4, max_length=4)
    activation: Literal["lrelu"] = "lrelu"
    use_noise: bool = True
    fp16_channels_last: bool = False
    fused_modconv_default: bool | str = True


class GeneratorConfig(Params):
    """A whole generator; sizes are those of the official constructor."""

    z_dim: int = Field(ge=1)
    c_dim: int = Field(0, ge=0)
    w_dim: int = Field(ge=1)
    img_resolution: int = Field(ge=8, le=4096)
    img_channels: int = Field(3, ge=1)
    mapping_kwargs: MappingConfig = MappingConfig()
    synthesis_kwargs: SynthesisConfig = SynthesisConfig()

    @field_validator("img_resolution")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two")
        return value

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """4, 8, ..., img_resolution."""
        return tuple(2**k for k in range(2, self.img_resolution.bit_length()))

    def channels(self, resolution: int) -> int:
        """Feature maps at `resolution`."""
        return min(self.synthesis_kwargs.channel_base // resolution, self.synthesis_kwargs.channel_max)

    @property
    def largest_map(self) -> int:
        """Bytes of an image's largest feature map in float32."""
        return max(4 * self.channels(side) * side**2 for side in self.block_resolutions)

    @property
    def num_ws(self) -> int:
        """Latents that the synthesis takes: one per convolution and one for the last toRGB."""
        return 2 * len(self.block_resolutions)


def parse_config(value: Any, source: str) -> GeneratorConfig:
    """`value` (a mapping) as a `GeneratorConfig`.

    Raises:
        DataError: a key or a value that no generator of this family has; all of them are named, with
            `source`.
    """
    try:
        return GeneratorConfig.model_validate(value)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc']))}: {e['msg']} (given {e['input']!r:.80})" for e in error.errors()
        ]
        raise DataError(
            source,
            f"does not describe a StyleGAN2 generator: {'; '.join(lines)}",
            "use a StyleGAN2-ADA checkpoint (StyleGAN3 and other families are not read)",
        ) from error
