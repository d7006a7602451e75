"""Presets: the backbones of the deepfake literature out of timm, and small ones that train on a CPU.

`timm`: the model whose data configuration gives mean, standard deviation and input size; facts given here go
before it. Weights start random, or as a package's where a preset has one; `pretrained` in the settings names
a file that the user has.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from detector.models.backbones import BACKBONES, TrunkParams, timm_trunk
from manifests.errors import UsageError
from nn.packaged import EFFICIENTNET_LITE0, EFFICIENTNET_LITE1


@BACKBONES.register(
    "xception",
    family="cnn",
    params=TrunkParams,
    paper="Chollet, CVPR 2017; FaceForensics++'s detector",
    input_size=299,
    timm="legacy_xception",
)
def xception(params: TrunkParams) -> nn.Module:
    """Xception: the reference backbone of deepfake detection, 21 M parameters."""
    return timm_trunk("legacy_xception", params)


@BACKBONES.register(
    "efficientnet_b4",
    family="cnn",
    params=TrunkParams,
    paper="Tan & Le, ICML 2019",
    input_size=380,
    timm="efficientnet_b4",
)
def efficientnet_b4(params: TrunkParams) -> nn.Module:
    """EfficientNet-B4: the other common backbone of the field, 18 M parameters."""
    return timm_trunk("efficientnet_b4", params)


@BACKBONES.register(
    "resnet50",
    family="cnn",
    params=TrunkParams,
    paper="He et al., CVPR 2016",
    input_size=224,
    timm="resnet50",
)
def resnet50(params: TrunkParams) -> nn.Module:
    """ResNet-50, 24 M parameters."""
    return timm_trunk("resnet50", params)


@BACKBONES.register(
    "convnext_tiny",
    family="cnn",
    params=TrunkParams,
    paper="Liu et al., CVPR 2022",
    input_size=224,
    timm="convnext_tiny",
)
def convnext_tiny(params: TrunkParams) -> nn.Module:
    """ConvNeXt-Tiny, 28 M parameters."""
    return timm_trunk("convnext_tiny", params)


@BACKBONES.register(
    "resnet10t",
    family="cnn",
    params=TrunkParams,
    paper="He et al., CVPR 2016; timm",
    input_size=176,
    timm="resnet10t",
)
def resnet10t(params: TrunkParams) -> nn.Module:
    """ResNet-10 with a deep tiered stem, 5 M parameters."""
    return timm_trunk("resnet10t", params)


def _late_resnet10t(params: TrunkParams, channels: tuple[int, ...], stem_width: int) -> nn.Module:
    """ResNet-10t whose stem, unless `stem_stride` is given, down-samples in its last layer alone: two layers
    see all pixels.
    """
    late = params.stem_stride is None
    if late:
        params = params.model_copy(update={"stem_stride": 1})
    trunk: Any = timm_trunk("resnet10t", params, channels=channels, stem_width=stem_width)
    if late:
        last = [layer for layer in trunk.conv1 if isinstance(layer, nn.Conv2d)][-1]
        last.stride = (2, 2)
    return trunk


@BACKBONES.register(
    "resnet10t-narrow",
    family="cnn",
    params=TrunkParams,
    paper="He et al., CVPR 2016; timm",
    input_size=64,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
def resnet10t_narrow(params: TrunkParams) -> nn.Module:
    """ResNet-10t at a quarter of its width (16 to 128 channels), 0.3 M parameters: for small images and CPU
    cores.
    """
    return _late_resnet10t(params, (16, 32, 64, 128), 16)


@BACKBONES.register(
    "resnet10t-half",
    family="cnn",
    params=TrunkParams,
    paper="He et al., CVPR 2016; timm",
    input_size=128,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
def resnet10t_half(params: TrunkParams) -> nn.Module:
    """ResNet-10t at about half of its width (32 to 320 channels), 1.9 M parameters: for photographs on CPU
    cores.
    """
    return _late_resnet10t(params, (32, 64, 160, 320), 16)


@BACKBONES.register(
    "efficientnet_lite0",
    family="cnn",
    params=TrunkParams,
    paper="Tan & Le, ICML 2019; EfficientNet-Lite, 2020",
    input_size=128,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    timm="tf_efficientnet_lite0",
    packaged=EFFICIENTNET_LITE0,
    licence="weights: Apache-2.0, ImageNet-1k, as a package",
)
def efficientnet_lite0(params: TrunkParams) -> nn.Module:
    """EfficientNet-Lite0, 3.4 M parameters, ImageNet weights that install offline."""
    return _lite("efficientnet_lite0", params)


@BACKBONES.register(
    "efficientnet_lite1",
    family="cnn",
    params=TrunkParams,
    paper="Tan & Le, ICML 2019; EfficientNet-Lite, 2020",
    input_size=128,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    timm="tf_efficientnet_lite1",
    packaged=EFFICIENTNET_LITE1,
    licence="weights: Apache-2.0, ImageNet-1k, as a package",
)
def efficientnet_lite1(params: TrunkParams) -> nn.Module:
    """EfficientNet-Lite1, 4.1 M parameters and half as many layers again as Lite0, ImageNet weights that
    install offline.
    """
    return _lite("efficientnet_lite1", params)


def _lite(name: str, params: TrunkParams) -> nn.Module:
    trunk: Any = timm_trunk(f"tf_{name}", params.model_copy(update={"stem_stride": None}))
    if params.stem_stride == 1:
        trunk.conv_stem.stride = (1, 1)
    elif params.stem_stride == 4:
        raise UsageError("stem_stride = 4", f"backbone {name!r} has a stem of stride 2", "choose 1 or 2")
    return trunk


@BACKBONES.register(
    "clip_vit_b16",
    family="vit",
    params=TrunkParams,
    paper="Radford et al., ICML 2021; detection: Ojha et al., CVPR 2023",
    input_size=224,
    timm="vit_base_patch16_clip_224",
    licence="weights: MIT, by the user",
)
def clip_vit_b16(params: TrunkParams) -> nn.Module:
    """CLIP's image encoder ViT-B/16, 86 M parameters: for weights that the user has (`pretrained`); random
    ones learn little.
    """
    return timm_trunk("vit_base_patch16_clip_224", params, dynamic_img_size=True, dynamic_img_pad=True)


@BACKBONES.register(
    "dinov2_vits14",
    family="vit",
    params=TrunkParams,
    paper="Oquab et al., TMLR 2024, arXiv 2304.07193",
    input_size=224,
    timm="vit_small_patch14_dinov2",
    licence="weights: Apache-2.0, by the user",
)
def dinov2_vits14(params: TrunkParams) -> nn.Module:
    """DINOv2's ViT-S/14, 22 M parameters: for weights that the user has (`pretrained`); any input, padded to
    patches.
    """
    return timm_trunk("vit_small_patch14_dinov2", params, dynamic_img_size=True, dynamic_img_pad=True)
