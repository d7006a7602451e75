"""Feature maps of a trunk's stages, taken on the way through it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from manifests.errors import UsageError


def stage_names(trunk: nn.Module, name: str, count: int) -> list[str]:
    """Module names of the last `count` stages, the deepest last, as timm's `feature_info` lists them.

    Raises:
        UsageError: the trunk lists fewer.
    """
    found = [str(entry["module"]) for entry in getattr(trunk, "feature_info", [])]
    if len(found) < count:
        raise UsageError(
            f"backbone {name!r}",
            f"has {len(found)} stages to look at, the losses need {count}",
            "choose a smaller number of layers in loss_params, or another backbone",
        )
    return found[len(found) - count :]


def channels_first(trunk: nn.Module, features: Tensor) -> Tensor:
    """Maps of trunks that keep channels last ([N, H, W, C]) as [N, C, H, W]; others as they are."""
    last = getattr(trunk, "output_fmt", None) == "NHWC" and features.ndim == 4
    return features.permute(0, 3, 1, 2) if last else features


def with_stages(trunk: nn.Module, names: list[str], images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """`(features, [stage output])` of one pass. Outputs: [N, C, H, W], or tokens [N, T, C]."""
    kept: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            kept[name] = channels_first(trunk, output)

        return keep

    handles = [trunk.get_submodule(name).register_forward_hook(keeper(name)) for name in names]
    try:
        features = trunk(images)
    finally:
        for handle in handles:
            handle.remove()
    return features, [kept[name] for name in names]


@torch.no_grad()
def stage_shapes(trunk: nn.Module, names: list[str], channels: int, size: int) -> list[tuple[int, ...]]:
    """Shapes of the stages' outputs for one image of this size; the trunk and its statistics are left as they
    were.
    """
    training = trunk.training
    maps = with_stages(trunk.eval(), names, torch.zeros(1, channels, size, size))[1]
    trunk.train(training)
    return [tuple(m.shape) for m in maps]
