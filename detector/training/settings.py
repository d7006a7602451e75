"""How a detector is trained: `TrainSettings`, frozen, checked, and light to import.

Every field enters the result: the same settings on the same manifest give the same bytes on one machine.
A field's meaning is its description; `fairforge config reference` prints them all.
Names of backbones and losses are checked where they are used, since that takes torch and timm.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from detector.models.head_names import HEADS
from detector.models.network_config import MOST_BESIDE
from manifests.errors import UsageError
from nn.precision import Precision, without_bf16

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
AUTO = "auto"
"""How a value that is None is written in TOML, which has no null."""
DEFAULT_SEED = 2026
THRESHOLD = r"^(fixed|val-eer|val-fpr@(0?\.\d+|[01](\.0*)?)|(0?\.\d+|[01](\.0*)?))$"
"""What a threshold policy may look like: a name, with a number for X of val-fpr@X, or a number in [0, 1]."""
ONLINE = ("online", "online_params", "base_scale")
"""The fields of `TrainSettings` that say how fakes are drawn anew."""


class TrainSettings(BaseModel):
    """How a detector is trained.

    `auto` in a file stands for a field that is None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backbone: str = Field(
        "resnet10t-narrow", description="A preset (`fairforge list backbones`) or any timm name."
    )
    pretrained: str = Field(
        "",
        description=(
            "Weights of the backbone: a file, or a name of `weights import --kind backbone`; empty: the"
            " ImageNet weights that come with a preset's package (efficientnet_lite0, efficientnet_lite1),"
            " else random; random: always random."
        ),
    )
    tune: Literal["all", "norms", "head"] = Field(
        "all",
        description=(
            "What is trained: all, the normalisation layers and heads (norms), or the heads alone (head)."
        ),
    )
    online: dict[str, Annotated[float, Field(ge=0.0, allow_inf_nan=False)]] = Field(
        {},
        description=(
            "Fakes drawn anew at every step, by weights per method such as {blend-self = 2, swap-delaunay ="
            " 1}; the manifest's stored training fakes are then left aside."
        ),
    )
    online_params: dict[str, dict[str, Any]] = Field(
        {}, description="Parameters of these methods, by method."
    )
    base_scale: tuple[Annotated[float, Field(ge=0.1, le=2.0)], ...] = Field(
        (),
        description=(
            "With `online`: the smallest and largest share of its sides that a real picture is resampled to"
            " before it is forged, itself and its fake alike, by a kernel and a shift drawn anew; for crops"
            " that were compressed at the size they are stored at. Empty: as they are stored."
        ),
    )
    start: str = Field(
        "",
        description=(
            "A detector to go on from, a checkpoint or its name; its backbone, heads and classes must be"
            " these."
        ),
    )
    start_share: Share = Field(
        0.0,
        description=(
            "Share of the weights of `start` in the checkpoint's, which are otherwise the trained ones: the"
            " mean of both often holds better on data of other kinds than either."
        ),
    )
    beside: tuple[str, ...] = Field(
        (),
        max_length=MOST_BESIDE,
        description=(
            "Detectors that stay as they are, checkpoints or names: after the training their logits are added"
            " to its own, with the largest share that the validation split cannot tell from the likeliest."
        ),
    )
    input_size: Annotated[int, Field(ge=16, le=1024)] | None = Field(
        None, description="Side of the square input, pixels; auto: the backbone's own."
    )
    stem_stride: Literal[1, 2, 4] | None = Field(
        None,
        description=(
            "How much the first layers of a ResNet reduce the input; blending traces are small, so little is "
            "better; auto: as "
            "the backbone has it."
        ),
    )
    residual_input: bool = Field(True, description="Add a fixed high-pass of the image as three channels.")
    residual_norm: bool = Field(
        True,
        description=(
            "Divide the high-pass by its deviation over the image, so that sharp and smooth pictures weigh "
            "alike."
        ),
    )
    loss: str = Field(
        "multi-task",
        description=(
            "A registered loss (`fairforge list losses`), or a sum such as daw-fdd + 0.5 * bido-hsic."
        ),
    )
    loss_params: dict[str, Any] = Field({}, description="Parameters of the loss; of a sum, a table by loss.")
    heads: tuple[Literal["race", "gender", "cell", "family"], ...] = Field(
        HEADS,
        description="What is predicted beside real/fake; cell is race x gender, family the forgery's.",
    )
    head_mode: Literal["shared", "reversed", "detached"] = Field(
        "shared",
        description=(
            "What demographic heads do to the trunk: shared trains it, reversed by the negative gradient "
            "times `reversal`, "
            "detached not at all: a probe."
        ),
    )
    reversal: Annotated[float, Field(ge=0.0, le=100.0)] = Field(
        1.0, description="Of head_mode reversed; rises from 0 over the training."
    )
    mask_decoder: bool = Field(False, description="Train a decoder that tells where an image is forged.")
    qualities: tuple[str, ...] = Field(
        (),
        description=(
            "Every image stands in the batch once at each of these, e.g. raw, jpeg:30-60: a step sees batch x"
            " qualities."
        ),
    )
    optimizer: Literal["sam", "asam", "gsam", "sgd", "adamw"] = Field(
        "sam",
        description=(
            "sam, asam and gsam ascend by `rho` before each step of `base_optimizer`; the others are plain."
        ),
    )
    base_optimizer: Literal["sgd", "adamw"] = Field("adamw", description="Of sam, asam and gsam.")
    rho: Annotated[float, Field(ge=0.0, le=10.0)] = Field(0.05, description="Radius of the ascent.")
    eta: Annotated[float, Field(ge=0.0, le=10.0)] = Field(0.01, description="Of asam.")
    alpha: Annotated[float, Field(ge=0.0, le=10.0)] = Field(0.2, description="Of gsam.")
    ascent: Literal["batch", "process"] = Field(
        "batch",
        description=(
            "With several processes, ascend by the gradient of the whole batch (the result is that of one "
            "process) or each "
            "process by its own rows (one message less)."
        ),
    )
    lr: Annotated[float, Field(gt=0.0, le=10.0)] = Field(3e-3, description="Learning rate after the warmup.")
    momentum: Share = Field(0.9, description="Of sgd.")
    weight_decay: Annotated[float, Field(ge=0.0, le=10.0)] = Field(0.02, description="Of the optimizer.")
    batch: Annotated[int, Field(ge=2, le=65536)] = Field(
        32, description="Images per step, of all processes together."
    )
    accumulate: Annotated[int, Field(ge=1, le=4096)] = Field(
        1, description="Pieces that each process cuts its share of the batch into; same loss, less memory."
    )
    clip: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="Largest norm of the gradient; 0 for none."
    )
    schedule: Literal["cosine", "step", "constant"] = Field(
        "cosine",
        description=(
            "Of the rate after the warmup: half a cosine, steps (times `decay` at each of `milestones`), or "
            "constant."
        ),
    )
    milestones: tuple[Share, ...] = Field((0.5, 0.75), description="Of schedule step: shares of all steps.")
    decay: Annotated[float, Field(gt=0.0, le=1.0)] = Field(0.1, description="Of schedule step.")
    patience: Annotated[int, Field(ge=0)] = Field(
        0, description="Stop when the validation AUC has not risen for so many epochs; 0 for never."
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description=(
            "Which epoch's averaged weights the checkpoint has: the one with the highest validation AUC, or"
            " the last, where the validation split is too small to tell epochs apart."
        ),
    )
    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        35, description="Passes over the training images."
    )
    epoch_batches: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        0,
        description=(
            "At most so many batches an epoch, drawn anew each time, for validation and saved states more"
            " often; 0: all."
        ),
    )
    warmup: Share = Field(0.1, description="Share of all steps in which the rate rises.")
    ema: Share = Field(0.97, description="Decay of the weights' moving average; 0 for none.")
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        0.0, description="Of the targets of every head."
    )
    augment: bool = Field(True, description="Label-blind augmentation.")
    augment_params: dict[str, Any] = Field(
        {}, description="Its chances and ranges: `detector.training.augmentation.AugmentParams`."
    )
    sampling: Literal["balanced", "stratified", "shuffle"] = Field(
        "balanced",
        description=(
            "balanced: real and fake 1:1 in each cell, cells spread over each batch; stratified: each cell x "
            "method equally "
            "often, each fake with a real image of its cell; shuffle: as they come."
        ),
    )
    pairs: bool = Field(
        True,
        description="Put a fake and the real image of its pair into one batch, augmented by the same draws.",
    )
    dropout: Share = Field(0.0, description="On the trunk's features.")
    l2_features: bool = Field(False, description="The heads see the features at length 1.")
    mirror: bool = Field(True, description="Predictions are means over an image and its mirror image.")
    threads: Annotated[int, Field(ge=1, le=1024)] = Field(
        2,
        description=(
            "CPU threads of torch; another number may give other last bits. An ablation's trainings have one "
            "each."
        ),
    )
    precision: Precision = Field(
        "auto",
        description="float32, bfloat16 by autocast, or auto: bfloat16 where the device computes it natively.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="Of weights, order, augmentation and dropout; auto: `run.seed`."
    )

    @field_validator("input_size", "stem_stride", "seed", mode="before")
    @classmethod
    def _auto(cls, value: Any) -> Any:
        return None if value == AUTO else value

    @field_validator("base_scale")
    @classmethod
    def _two_scales(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if value and (len(value) != 2 or value[0] > value[1]):
            raise ValueError("give the smallest and the largest scale, such as [0.5, 0.9], or nothing")
        return value

    @field_validator("augment_params")
    @classmethod
    def _ranges(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value:  # its model brings OpenCV, which most commands do without
            from detector.training.augmentation import AugmentParams

            try:
                AugmentParams.model_validate(value)
            except ValidationError as error:
                wrong = [f"{one['loc'][0]}: {one['msg']} (given {one['input']!r})" for one in error.errors()]
                known = ", ".join(AugmentParams.model_fields)
                raise ValueError(f"{'; '.join(wrong)}; its parameters are: {known}") from None
        return value

    _older_key = model_validator(mode="before")(without_bf16)

    @field_validator("heads", "beside")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("name each one once")
        return value

    @model_validator(mode="after")
    def _even_batch(self) -> TrainSettings:
        if self.sampling != "shuffle" and self.batch % 2:
            raise ValueError(
                f"batch must be even when sampling is {self.sampling}: half of it is real, half fake"
            )
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch = {self.batch} does not split into accumulate = {self.accumulate} equal pieces"
            )
        if self.start_share and not self.start:
            raise ValueError("start_share is the share of a detector's weights: give it as start")
        if self.optimizer == "gsam" and self.ascent == "process":
            raise ValueError('gsam compares gradients of the whole batch: leave ascent = "batch"')
        if self.loss_params:
            from detector.losses import build_loss  # brings torch, which most commands do without

            try:
                build_loss(self.loss, self.loss_params)
            except UsageError as error:
                raise ValueError(str(error)) from None
        return self

    @property
    def own_seed(self) -> int:
        """The seed, `DEFAULT_SEED` where none is given."""
        return DEFAULT_SEED if self.seed is None else self.seed

    def seeded(self, seed: int = DEFAULT_SEED) -> TrainSettings:
        """These settings with their own seed, or with this one where they have none."""
        return self if self.seed is not None else self.model_copy(update={"seed": seed})
