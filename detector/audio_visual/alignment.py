"""AVH-Align: how well sound goes with picture, learnt from real clips alone (Smeu et al., CVPR 2025, arXiv
2412.00175).

Phi(v, a) is a small network on frozen features. It learns, in real clips, to give a frame's own sound a
higher value than the sounds up to 15 frames away. A clip's score is logsumexp over its frames of -Phi(v_i,
a_i): high where some frame's sound does not go with its picture. The score grows with the logarithm of the
number of frames; `avh-mean` is without that.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.audio_visual.encoder import similarities
from detector.audio_visual.windows import candidates, window_loss

HIDDEN = 512
SCORERS = ("avh", "avh-mean", "sync", "chance")
"""`avh` as published, `avh-mean` for clips of different lengths, `sync` of SpeechForensics, `chance` of
`chance_score`, which each clip calibrates by itself; all higher for fakes.
"""


class Alignment(nn.Module):
    """Phi: a linear layer each, then 1024-512-256-128-1 with layer normalisation and ReLU.

    picture_dim, sound_dim: of the features. hidden: of each linear layer, 512 as published.
    """

    def __init__(self, picture_dim: int, sound_dim: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.picture_dim, self.sound_dim, self.hidden = picture_dim, sound_dim, hidden
        self.picture, self.sound = nn.Linear(picture_dim, hidden), nn.Linear(sound_dim, hidden)
        self.joint = nn.Linear(2 * hidden, hidden)
        sizes = (hidden, hidden // 2, hidden // 4)
        layers: list[nn.Module] = [nn.LayerNorm(hidden), nn.ReLU()]
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.ReLU()]
        self.rest = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, picture: Tensor, sound: Tensor) -> Tensor:
        """Phi of each pair: float [..., picture_dim] and [..., sound_dim] to float [...]."""
        both = torch.cat([self.picture(picture), self.sound(sound)], -1)
        out: Tensor = self.rest(self.joint(both))[..., 0]
        return out

    def windows(self, picture: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Phi(v_i, a_j) of each frame i with its 31 candidates j: float [T, 31], and which of them are in the
        clip.

        The joint layer is taken apart, so that it is computed once per frame and not once per pair.
        """
        at, inside = candidates(len(picture))
        left = F.linear(self.picture(picture), self.joint.weight[:, : self.hidden], self.joint.bias)
        right = F.linear(self.sound(sound), self.joint.weight[:, self.hidden :])
        return self.rest(left[:, None] + right[at])[..., 0], inside


def alignment_loss(phi: Alignment, picture: Tensor, sound: Tensor) -> Tensor:
    """Cross entropy of each frame's own sound among its candidates, of one real clip: float [T].

    Args:
        phi: the network.
        picture: unit vectors, float [T, D].
        sound: unit vectors, float [T, D].
    """
    return window_loss(*phi.windows(picture, sound))


def frame_scores(phi: Alignment, picture: Tensor, sound: Tensor) -> Tensor:
    """-Phi(v_i, a_i) of each frame: float [T], higher where sound and picture do not go together."""
    return -phi(picture, sound)


def clip_score(frames: Tensor) -> Tensor:
    """Logsumexp over frames, as published: a scalar."""
    return frames.logsumexp(0)


def mean_score(frames: Tensor) -> Tensor:
    """`clip_score` less the logarithm of the number of frames, so that long clips are no more fake than short
    ones.
    """
    return frames.logsumexp(0) - math.log(len(frames))


def supervised_loss(phi: Alignment, picture: Tensor, sound: Tensor, label: int) -> Tensor:
    """The twin that sees labels: binary cross entropy of a clip's `mean_score`: a scalar. label: 1 for a
    fake.
    """
    score = mean_score(frame_scores(phi, picture, sound))
    return F.binary_cross_entropy_with_logits(score, torch.tensor(float(label)))


def sync_score(picture: Tensor, sound: Tensor) -> Tensor:
    """SpeechForensics (Liang et al., NeurIPS 2024), without training: less the highest mean cosine over
    shifts of up to 15 frames.

    Args:
        picture: unit vectors, float [T, D].
        sound: unit vectors, float [T, D].

    Returns:
        A scalar in [-1, 1], higher for fakes. A mean is over the frames that both have; shifts that leave
        less than half of them are not tried.
    """
    cosines, inside = similarities(picture, sound)
    shared = inside.sum(0)
    means = (cosines * inside).sum(0) / shared.clamp_min(1)
    return -means[2 * shared >= len(picture)].max()
