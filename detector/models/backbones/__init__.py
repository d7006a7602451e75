"""Trunks: images to one feature vector each, by preset name or by any timm name. Weights start random:
offline.

A trunk is an `nn.Module` with `num_features` that maps float32 [N, C, S, S] to [N, num_features].
"""

from __future__ import annotations

from typing import Any

from torch import nn

from manifests.errors import UsageError
from manifests.registry import Params, Registry, nearest


class TrunkParams(Params):
    """in_channels: channels of the input. stem_stride: 1, 2 or 4 (ResNets), None: as it comes. dropout: in
    [0, 1).
    """

    in_channels: int = 3
    stem_stride: int | None = None
    dropout: float = 0.0


BACKBONES: Registry[nn.Module] = Registry("backbones", "detector.models.backbones")


def reduce_stem(trunk: nn.Module, name: str, stride: int) -> None:
    """Make a timm ResNet's stem down-sample by `stride` (1 or 2) instead of 4, in place; no weight changes
    shape.

    Raises:
        UsageError: the trunk has no ResNet stem.
    """
    first = getattr(trunk, "conv1", None)
    if first is None or not hasattr(trunk, "maxpool"):
        raise UsageError(
            f"stem_stride = {stride}",
            f"backbone {name!r} has no ResNet stem",
            "leave stem_stride out, or take a ResNet",
        )
    if stride < 4:
        trunk.maxpool = nn.Identity()
    if stride < 2:
        (first[0] if isinstance(first, nn.Sequential) else first).stride = (1, 1)


def timm_trunk(name: str, params: TrunkParams, **changes: Any) -> nn.Module:
    """A timm model without its classifier, weights random; `changes` go to `timm.create_model`.

    Raises:
        UsageError: timm has no such model (nearest names in the message), or the stem cannot be changed.
    """
    import timm

    if not timm.is_model(name):
        names = sorted({*BACKBONES.names(), *timm.list_models()})
        raise UsageError(
            f"backbone {name!r}",
            f"is not known{nearest(name, names)}",
            f"choose one of {', '.join(BACKBONES.names())}, or a name of timm.list_models()",
        )
    trunk = timm.create_model(
        name,
        pretrained=False,
        num_classes=0,
        in_chans=params.in_channels,
        drop_rate=params.dropout,
        **changes,
    )
    if params.stem_stride is not None:
        reduce_stem(trunk, name, params.stem_stride)
    return trunk


def build_backbone(name: str, params: TrunkParams) -> nn.Module:
    """The trunk called `name`: a registered preset, else timm's model of that name.

    Raises:
        UsageError: unknown to both.
    """
    if name in BACKBONES.names():
        return BACKBONES.create(name, params)
    return timm_trunk(name, params)
