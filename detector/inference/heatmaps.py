"""Where in a picture a detector sees the forgery: Grad-CAM of the fake logit on the trunk's last feature map.

Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization", ICCV
2017, eq. 1-2: each channel is weighted by the mean of the logit's gradient over it; the positive part of the
weighted sum is the map. It is coarse (one value per cell of the feature map), and it tells what moved this
score, not what was forged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from detector.inference.prediction import MICRO_BATCH, Detector, fit_images
from detector.models.network import DetectorNetwork, normalise
from manifests.errors import UsageError
from manifests.images import Image, resize

Maps = npt.NDArray[np.float32]


def _feature_layer(trunk: nn.Module) -> nn.Module | None:
    """The layer whose output is taken for a transformer: the first normalisation of its last block."""
    blocks = getattr(trunk, "blocks", None)
    return getattr(blocks[-1], "norm1", None) if isinstance(blocks, nn.Sequential) and len(blocks) else None


@contextmanager
def _captured(trunk: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, the feature maps of each forward pass are appended to the list, as part of the graph."""
    kept: list[Tensor] = []
    layer = _feature_layer(trunk) if getattr(trunk, "num_prefix_tokens", None) is not None else None
    if layer is not None:
        hook = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
        try:
            yield kept
        finally:
            hook.remove()
        return
    plain = getattr(trunk, "forward_features", None)
    if plain is None:
        raise UsageError(
            "heat map", f"this backbone ({type(trunk).__name__}) has no feature map", "leave --heatmap out"
        )

    def keeping(*inputs: Tensor) -> Tensor:
        output = plain(*inputs)
        kept.append(output)
        return output

    object.__setattr__(trunk, "forward_features", keeping)
    try:
        yield kept
    finally:
        object.__delattr__(trunk, "forward_features")


def _as_map(features: Tensor, prefix: int) -> Tensor:
    """[N, C, H, W] of a feature map or of a transformer's tokens [N, T, C]."""
    if features.ndim == 4:
        return features
    tokens = features[:, prefix:]
    side = round(tokens.shape[1] ** 0.5)
    if features.ndim != 3 or side * side != tokens.shape[1]:
        raise UsageError(
            "heat map", f"features {list(features.shape)} are no square map", "leave --heatmap out"
        )
    return tokens.transpose(1, 2).reshape(len(features), -1, side, side)


def _weighted(network: DetectorNetwork, inputs: Tensor) -> Tensor:
    """Grad-CAM before scaling: float32 [N, h, w], not negative."""
    with _captured(network.seen) as kept, torch.enable_grad():
        logits = network(inputs.requires_grad_(True))["fake"]
        gradients = torch.autograd.grad(logits.sum(), kept[0])[0]
    prefix = int(getattr(network.seen, "num_prefix_tokens", 0) or 0)
    maps, slopes = (_as_map(t.detach().float(), prefix) for t in (kept[0], gradients))
    return (maps * slopes.mean((2, 3), keepdim=True)).sum(1).clamp(min=0)


def grad_cam(model: Detector, images: Image) -> Maps:
    """How much each place speaks for `fake`: float32 [N, S, S] in [0, 1], the largest value of each image 1
    (or all 0).

    Args:
        model: a detector.
        images: uint8 [N, H, W, 3] RGB, any size; S is the detector's input size.

    Raises:
        UsageError: images of another type, or a backbone without a square feature map.
    """
    size, network = model.input_size, model.network
    fitted = fit_images(images, size)
    out = np.zeros((len(fitted), size, size), np.float32)
    for start in range(0, len(fitted), MICRO_BATCH):
        rows = np.ascontiguousarray(fitted[start : start + MICRO_BATCH])
        inputs = normalise(torch.from_numpy(rows).to(model.device), network.config)
        for k, row in enumerate(_weighted(network, inputs).cpu().numpy()):
            peak = float(row.max())
            if peak > 0:
                out[start + k] = cv2.resize(row / peak, (size, size), interpolation=cv2.INTER_LINEAR)
    return out


def overlay(image: Image, heat: Maps, side: int = 256) -> Image:
    """A picture with its heat map over it, for looking at: uint8 [T, T, 3], T at least `side`.

    Args:
        image: uint8 [H, W, 3].
        heat: float32 [S, S] in [0, 1].
    """
    size = max(side, heat.shape[0])
    colours = cv2.applyColorMap(
        (255 * cv2.resize(heat, (size, size))).round().clip(0, 255).astype(np.uint8), cv2.COLORMAP_JET
    )
    mixed = 0.55 * resize(image, size).astype(np.float32) + 0.45 * colours[:, :, ::-1]
    return mixed.round().astype(np.uint8)
