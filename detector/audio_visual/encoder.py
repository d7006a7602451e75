"""A small encoder of mouths and sound, 128 numbers each at 25 frames a second, learnt from real clips alone.

Contrastive: each frame of the picture finds its own sound among those within 15 frames, and each frame of
sound its picture (InfoNCE; van den Oord et al., arXiv 1807.03748). Small enough for two processor cores;
frozen afterwards.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.audio_visual.filterbanks import DIM
from detector.audio_visual.windows import candidates, own_place, window_loss

WIDTH = 128
MOUTH_SIDE = 32
"""Pixels of a mouth crop."""
LIP_POINTS = 40
TEMPERATURE = 0.07
Streams = Literal["both", "crops", "lips"]
"""What an encoder sees of a mouth."""


class _Norm(nn.Module):
    """Layer normalisation over channels of float [N, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return out


def _temporal(channels: int, width: int) -> nn.Sequential:
    """Two convolutions over five frames each: float [N, channels, T] to [N, width, T]."""
    return nn.Sequential(
        nn.Conv1d(channels, width, 5, padding=2),
        _Norm(width),
        nn.ReLU(),
        nn.Conv1d(width, width, 5, padding=2),
        _Norm(width),
        nn.ReLU(),
        nn.Conv1d(width, width, 1),
    )


class MouthTower(nn.Module):
    """What is seen of a mouth to features: its crops, its lip points, or both.

    Args:
        width: of the features.
        streams: what is looked at; `lips` sees no pixel, and so no skin, light or camera.
    """

    def __init__(self, width: int = WIDTH, streams: Streams = "both") -> None:
        super().__init__()
        self.streams = streams
        if streams != "lips":
            self.crops = nn.Sequential(
                nn.Conv2d(1, 16, 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(32, 32, 3, 2, 1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(32 * (MOUTH_SIDE // 8) ** 2, width - 32 if streams == "both" else width),
            )
        if streams != "crops":
            self.lips = nn.Linear(2 * LIP_POINTS, 32 if streams == "both" else width)
        self.time = _temporal(width, width)

    def forward(self, mouths: Tensor, lips: Tensor) -> Tensor:
        """Float [T, S, S] and float [T, 40, 2], normalised by `prepared`, to unit vectors float [T,
        width].
        """
        seen = [self.crops(mouths[:, None])] if self.streams != "lips" else []
        seen += [self.lips(lips.flatten(1))] if self.streams != "crops" else []
        return F.normalize(self.time(torch.cat(seen, 1).T[None])[0].T, dim=1)


class SoundTower(nn.Module):
    """Stacked filterbanks to features."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.time = _temporal(DIM, width)

    def forward(self, banks: Tensor) -> Tensor:
        """Float [T, 104] to unit vectors float [T, width]."""
        return F.normalize(self.time(banks.T[None])[0].T, dim=1)


def prepared(mouths: Tensor, lips: Tensor, motion: bool = False) -> tuple[Tensor, Tensor]:
    """Mouths of one clip with mean 0 and spread 1: the skin's colour is no matter.

    Args:
        mouths: uint8 or float [T, S, S].
        lips: float [T, 40, 2].
        motion: less what does not move, the mean over time: whose mouth it is is no matter, either.

    Returns:
        Float [T, S, S] and float [T, 40, 2].
    """
    x = mouths.float()
    x = x - (x.mean(0) if motion else x.mean())
    points = lips - (lips.mean(0) if motion else lips.mean((0, 1)))
    return x / x.std().clamp_min(1), points / points.std().clamp_min(1e-3)


class Encoder(nn.Module):
    """Both towers.

    Args:
        width: of the features.
        streams: what is seen of a mouth, see `MouthTower`.
        motion: whether only what moves is seen, see `prepared`.
    """

    def __init__(self, width: int = WIDTH, streams: Streams = "both", motion: bool = False) -> None:
        super().__init__()
        if streams not in get_args(Streams):
            raise ValueError(f"streams {streams!r} is none of {', '.join(get_args(Streams))}")
        self.width, self.streams, self.motion = width, streams, motion
        self.mouth, self.sound = MouthTower(width, streams), SoundTower(width)

    @property
    def config(self) -> dict[str, Any]:
        """What it is built from."""
        return {"width": self.width, "streams": self.streams, "motion": self.motion}

    def forward(self, mouths: Tensor, lips: Tensor, banks: Tensor) -> tuple[Tensor, Tensor]:
        """Features of picture and sound: unit vectors, float [T, width] each, T the shorter of both."""
        length = min(len(mouths), len(banks))
        x, points = prepared(mouths[:length], lips[:length], self.motion)
        return self.mouth(x, points), self.sound(banks[:length])


def similarities(picture: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of each frame's picture with the sound of its candidates: float [T, 31], and which of them are
    in the clip.

    Args:
        picture: unit vectors, float [T, D].
        sound: unit vectors, float [T, D].
    """
    at, inside = candidates(len(picture))
    return (picture[:, None] * sound[at]).sum(2), inside


def contrastive_loss(picture: Tensor, sound: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """InfoNCE within 15 frames, both ways, mean over frames: a scalar. Arguments as `similarities`."""
    losses = []
    for one, other in ((picture, sound), (sound, picture)):
        scores, inside = similarities(one, other)
        losses.append(window_loss(scores / temperature, inside).mean())
    return (losses[0] + losses[1]) / 2


@torch.no_grad()
def found_share(picture: Tensor, sound: Tensor) -> float:
    """Share of frames whose own sound is the nearest of their candidates."""
    return float(own_place(*similarities(picture, sound)).float().mean())
