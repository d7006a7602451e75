"""The sections `forge` and `pair`: which fakes there are, and how real and fake are stored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from pipeline.engine.config_section import Count, Section, Share, check_names, check_params

DEFAULT_METHODS = ("swap-delaunay", "blend-self", "reenact-warp")
"""Known without their registry."""


class ForgeSection(Section):
    """Which fakes, and the gates each must pass; distances are between identity embeddings."""

    methods: tuple[str, ...] = Field(
        ("swap-delaunay", "blend-self"), description="Made for every split: see `fairforge list forgeries`."
    )
    held_out: tuple[str, ...] = Field(
        ("reenact-warp",), description="Made for the test split alone, never trained on."
    )
    params: dict[str, dict[str, Any]] = Field(
        {}, description="Parameters of a method, by its name: [forge.params.NAME]."
    )
    min_mask_share: Share = Field(0.02, description="Least share of the pixels that a fake must change.")
    max_mask_share: Share = Field(0.9, description="Largest share of the pixels that a fake may change.")
    gates: bool = Field(
        True,
        description=(
            "A fake that fails a gate is made again with another second face, then refused with the reason."
        ),
    )
    tries: Annotated[int, Field(ge=1, le=24)] = Field(
        6,
        description=(
            "Second faces (of methods without: draws) that a fake is tried with. More lose fewer targets, "
            "and take longer."
        ),
    )
    swap_margin: Annotated[float, Field(ge=-2.0, le=2.0)] = Field(
        0.0, description="By how much nearer the source than the target a swap must be."
    )
    max_identity_drift: Annotated[float, Field(ge=0.0, le=2.0)] = Field(
        0.6, description="How far from the target a reenactment may be."
    )
    min_transferred: Annotated[float, Field(ge=-10.0, le=10.0)] = Field(
        0.25, description="Share of the driver's motion that must arrive."
    )
    max_seam: Annotated[float, Field(ge=0.0)] = Field(
        4.0,
        description=(
            "Grey levels per 1/64 face width by which the mask's edge may be steeper than in the target."
        ),
    )
    shard_size: Count = Field(64, description="Fakes per shard.")

    @field_validator("methods", "held_out")
    @classmethod
    def _registered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if set(names) - set(DEFAULT_METHODS):  # the registry brings torch, which most commands do without
            from generators.forgeries import FORGERIES

            check_names(FORGERIES, names)
        return names

    @field_validator("params")
    @classmethod
    def _taken(cls, params: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if params:
            from generators.forgeries import FORGERIES

            check_params(FORGERIES, params)
        return params

    @model_validator(mode="after")
    def _apart(self) -> ForgeSection:
        both = sorted(set(self.methods) & set(self.held_out))
        if both:
            raise ValueError(f"{', '.join(both)} cannot be trained on and held out at once")
        if not self.methods:
            raise ValueError("name at least one method")
        return self


class PairSection(Section):
    """How real and fake are encoded: one codec, one quality draw per pair."""

    qualities: tuple[Literal["raw", "c23", "c40", "jpeg", "webp"], ...] = Field(
        (),
        description=(
            "Where any are named, every image is there once in each, aligned pixel by pixel, with a common "
            "`tuple_id`, and `codec` "
            "is not used: raw is PNG, c23 and c40 are H.264 at that rate factor kept as PNG, jpeg and webp "
            "take the quality draw."
        ),
    )
    codec: Literal["jpeg", "webp", "png"] = Field("jpeg", description="Of every image, real and fake.")
    quality: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = Field(
        (80, 95), description="Lowest and highest of the quality draw, one per pair."
    )
    allow_short: bool = Field(
        False,
        description="Go on where a cell is short, and record the shortfall in the manifest; `--allow-short`.",
    )
    shard_size: Count = Field(128, description="Pairs per shard.")
    store: Literal["files", "shards"] = Field(
        "files",
        description=(
            "Where the pictures of the dataset are: a file each, or `shards/NNNNN.tar`, WebDatasets that "
            "file systems bear by the million; the pixels are the same."
        ),
    )

    @field_validator("quality")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError("the lower quality comes first")
        return value

    @field_validator("qualities")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each quality is named once")
        return value

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if not self.qualities:
            del values["qualities"]
        if self.store == "files":
            del values["store"]
        return values
