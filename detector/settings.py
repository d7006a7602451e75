"""How a detector is trained: `TrainSettings`, frozen, checked, and light to import.

Every field enters the result: the same settings on the same manifest give the same bytes on one machine.
Names of backbones and losses are checked where they are used, since that takes torch and timm.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nn.precision import Precision, without_bf16

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
HEADS = ("race", "gender")
DEMOGRAPHIC = ("race", "gender", "cell")
"""Groups and heads that say who is seen; the other head tells the forgery's `family`."""


class TrainSettings(BaseModel):
    """The settings of one training.

    backbone: a preset or any timm name. input_size: side of the square input, pixels; none: the backbone's own.
    stem_stride: how much the first layers reduce the input (1, 2 or 4 for ResNets; none: as the backbone has it);
    blending traces are small, so little is better. residual_input: add a fixed high-pass of the image as three channels.
    residual_norm: divide it by its deviation over the image, so that sharp and smooth pictures weigh alike.
    pretrained: weights of the backbone, a file or a name of `weights import --kind backbone`; empty: the ImageNet weights
    that come with a preset's package (`efficientnet_lite0`), else random; `random`: always random.
    tune: what is trained: `all`, the normalisation layers and heads (`norms`), or the heads alone (`head`).
    online: fakes drawn anew at every step, by weights per method such as `{blend-self = 2, swap-delaunay = 1}`; the
    manifest's stored training fakes are then left aside. online_params: parameters by method.
    start: a detector to go on from, a checkpoint or its name; its backbone, heads and classes must be these.
    loss, loss_params: a registered loss with its parameters, or a sum such as `daw-fdd + 0.5 * bido-hsic` with a table
    of parameters by loss. heads: beside real/fake; `cell` is race x gender, `family` the forgery's.
    head_mode: what demographic heads do to the trunk: `shared` trains it, `reversed` by the negative gradient times
    `reversal` (rising from 0 over the training), `detached` not at all: a probe. mask_decoder: tells where it is forged.
    qualities: every image stands in the batch once at each (`detector.qualities`), so a step sees batch x qualities.
    augment, augment_params: label-blind augmentation, see `detector.augmentation.AugmentParams`.
    optimizer: `sam`, `asam` and `gsam` ascend by `rho` before each step of `base_optimizer` (see `detector.sharpness`;
    eta is ASAM's, alpha GSAM's); the others are plain. ascent: with several processes, ascend by the gradient of the whole
    `batch` (the result is that of one process) or each `process` by its own rows (one message less).
    batch: images per step, of all processes together. accumulate: pieces that each process cuts its share into; same loss,
    less memory. clip: largest norm of the gradient; 0 for none.
    epoch_batches: at most so many batches an epoch, drawn anew each time, for validation and saved states more often; 0: all.
    schedule: of the rate after warmup: half a `cosine`, `step` (times `decay` at each of `milestones`, shares of all
    steps) or `constant`. patience: stop when the validation AUC has not risen for so many epochs; 0 for never.
    sampling: `balanced` (real:fake 1:1 in each cell, cells spread over each batch), `stratified` (each cell x method equally
    often, each fake with a real image of its cell) or `shuffle`.
    pairs: put a fake and the real image of its pair into one batch, augmented by the same draws.
    warmup: share of all steps in which the rate rises. ema: decay of the weights' moving average, 0 for none.
    mirror: predictions are means over an image and its mirror image. dropout: on the trunk's features.
    l2_features: the heads see the features at length 1.
    threads: CPU threads; another number may give other last bits.
    precision: `float32`, `bfloat16` by autocast, or `auto`: bfloat16 where the device computes it natively (`nn.precision`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet10t-narrow"
    pretrained: str = ""
    start: str = ""
    tune: Literal["all", "norms", "head"] = "all"
    online: dict[str, Annotated[float, Field(ge=0.0, allow_inf_nan=False)]] = {}
    online_params: dict[str, dict[str, Any]] = {}
    input_size: Annotated[int, Field(ge=16, le=1024)] | None = None
    stem_stride: Literal[1, 2, 4] | None = None
    residual_input: bool = True
    residual_norm: bool = True
    loss: str = "multi-task"
    loss_params: dict[str, Any] = {}
    heads: tuple[Literal["race", "gender", "cell", "family"], ...] = HEADS
    head_mode: Literal["shared", "reversed", "detached"] = "shared"
    reversal: Annotated[float, Field(ge=0.0, le=100.0)] = 1.0
    mask_decoder: bool = False
    qualities: tuple[str, ...] = ()
    optimizer: Literal["sam", "asam", "gsam", "sgd", "adamw"] = "sam"
    base_optimizer: Literal["sgd", "adamw"] = "adamw"
    rho: Annotated[float, Field(ge=0.0, le=10.0)] = 0.05
    eta: Annotated[float, Field(ge=0.0, le=10.0)] = 0.01
    alpha: Annotated[float, Field(ge=0.0, le=10.0)] = 0.2
    ascent: Literal["batch", "process"] = "batch"
    lr: Annotated[float, Field(gt=0.0, le=10.0)] = 3e-3
    momentum: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0.0, le=10.0)] = 0.02
    batch: Annotated[int, Field(ge=2, le=65536)] = 32
    accumulate: Annotated[int, Field(ge=1, le=4096)] = 1
    clip: Annotated[float, Field(ge=0.0)] = 0.0
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: tuple[Share, ...] = (0.5, 0.75)
    decay: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 35
    epoch_batches: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    warmup: Share = 0.1
    ema: Share = 0.97
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    augment: bool = True
    augment_params: dict[str, Any] = {}
    sampling: Literal["balanced", "stratified", "shuffle"] = "balanced"
    pairs: bool = True
    dropout: Share = 0.0
    l2_features: bool = False
    mirror: bool = True
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    precision: Precision = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 2026

    _older_key = model_validator(mode="before")(without_bf16)

    @field_validator("heads")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("name each head once")
        return value

    @model_validator(mode="after")
    def _even_batch(self) -> TrainSettings:
        if self.sampling != "shuffle" and self.batch % 2:
            raise ValueError(f"batch must be even when sampling is {self.sampling}: half of it is real, half fake")
        if self.batch % self.accumulate:
            raise ValueError(f"batch = {self.batch} does not split into accumulate = {self.accumulate} equal pieces")
        if self.optimizer == "gsam" and self.ascent == "process":
            raise ValueError("gsam compares gradients of the whole batch: leave ascent = \"batch\"")
        return self
