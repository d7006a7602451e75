"""What builds a detector's network again: the configuration that travels in a checkpoint's header."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

KIND = "detector"
DEFAULT = "single"
"""The architecture of losses that name none."""
BESIDE = "beside"
"""The architecture of a network that is weighed with others."""
MOST_BESIDE = 8
"""So many others at most; none of them may have others itself."""
LARGEST_INPUT = 2048
"""Pixels of a side: an image is scaled to the size that a checkpoint's header says."""
Deviation = Annotated[float, Field(gt=0)]


class NetworkConfig(BaseModel):
    """What builds the network again: it travels in the checkpoint's header.

    heads: class names per head, in the order of its logits. mean, std: of RGB in [0, 1]. mirror: predictions
    are means over an image and its mirror image (of logits). architecture: a name of
    `detector.models.architectures`. cosine: scale of heads that are cosine classifiers. temperature: what the
    fake logit is divided by in predictions (Guo et al., ICML 2017); 1 where none was fitted. head_mode,
    reversal, mask_decoder, l2_features: see `TrainSettings`. layers: so many last stages are put out in
    training. beside: networks whose logits are added to its own, at most `MOST_BESIDE`; own_weight, bias: see
    `detector.models.architectures.beside`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str = KIND
    backbone: str
    input_size: int = Field(ge=1, le=LARGEST_INPUT)
    stem_stride: int | None = None
    residual_input: bool = False
    residual_norm: bool = False
    dropout: float = 0.0
    mirror: bool = False
    heads: dict[str, tuple[str, ...]] = {}
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[Deviation, Deviation, Deviation] = (0.5, 0.5, 0.5)
    architecture: str = DEFAULT
    cosine: dict[str, float] = {}
    head_mode: Literal["shared", "reversed", "detached"] = "shared"
    reversal: float = 1.0
    mask_decoder: bool = False
    layers: int = 0
    l2_features: bool = False
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    beside: tuple[Other, ...] = Field((), max_length=MOST_BESIDE)
    own_weight: float = Field(1.0, ge=0)
    bias: float = 0.0

    @model_validator(mode="after")
    def _flat(self) -> NetworkConfig:
        if self.beside and self.architecture != BESIDE:
            raise ValueError(f"architecture {self.architecture!r} has no networks beside it")
        if any(other.config.architecture == BESIDE for other in self.beside):
            raise ValueError("a network beside another may have none beside itself")
        return self


class Other(BaseModel):
    """A network beside another: what it is called and what file it came from, what builds it, and how much
    its logit weighs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(max_length=200)
    sha256: str = Field(max_length=64)
    weight: float = Field(1.0, ge=0)
    config: NetworkConfig


NetworkConfig.model_rebuild()


def config_from(header: dict[str, Any]) -> NetworkConfig:
    """The network's configuration out of a checkpoint's header (other keys are left aside)."""
    return NetworkConfig.model_validate({k: v for k, v in header.items() if k in NetworkConfig.model_fields})
