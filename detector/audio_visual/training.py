"""Train on files of features: the encoder where there is none, then the alignment on its frozen features.

Held-out real clips (split val, else a share of the people) fix the thresholds, and never anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detector.audio_visual.alignment import SCORERS, Alignment, alignment_loss, supervised_loss
from detector.audio_visual.augmentation import augmented
from detector.audio_visual.encoder import Encoder, contrastive_loss, found_share
from detector.audio_visual.feature_files import OWN, Arrays, own_tensors, read_features, unit_features
from detector.audio_visual.loop import train_steps
from detector.audio_visual.model import FILE, AudioVisualModel, save_model
from detector.audio_visual.settings import AlignmentSettings
from manifests.atomic import digest_arrays, digest_value
from manifests.errors import DataError, UsageError
from manifests.seeding import rng_of, seed_of
from nn.devices import torch_threads

FORMAT = 1
KEPT = 1024
"""Clips whose features are held in memory."""
FALSE_POSITIVES = 0.05
Report = Callable[[str], None]


@dataclass(frozen=True)
class FeatureClip:
    """A clip's file of features, the digest of that file, and what is known of the clip. person: of the
    split.
    """

    clip_id: str
    path: Path
    digest: str
    label: int
    split: str | None
    person: str


@dataclass(frozen=True)
class Parts:
    """Clips to learn from, and real clips held out."""

    train: tuple[FeatureClip, ...]
    held_out: tuple[FeatureClip, ...]


def parts_of(clips: Sequence[FeatureClip], settings: AlignmentSettings) -> Parts:
    """Who is learnt from: split `train`, or where no clip has a split all people but a share; real clips
    alone unless supervised.

    Raises:
        DataError: no real clip to learn from or to hold out; supervised, no fake.
    """
    real = [clip for clip in clips if clip.label == 0]
    if any(clip.split == "val" for clip in real):
        held = [clip for clip in real if clip.split == "val"]
    else:
        rest = [clip for clip in real if clip.split in (None, "train")]
        people = sorted(
            {clip.person for clip in rest}, key=lambda one: (seed_of(settings.seed, "held-out", one), one)
        )
        chosen = set(people[: max(1, round(settings.held_out * len(people)))] if len(people) > 1 else ())
        held = [clip for clip in rest if clip.person in chosen]
    away = {clip.person for clip in held}
    supervised = settings.kind == "supervised"
    train = [
        clip
        for clip in clips
        if clip.split in (None, "train") and clip.person not in away and (supervised or clip.label == 0)
    ]
    for found, what in ((train, "clips to learn from"), (held, "real clips of other people to hold out")):
        if not found:
            raise DataError(
                "the features",
                f"have no {what}",
                "give clips of several people, or of the splits train and val",
            )
    if supervised and len({clip.label for clip in train}) < 2:
        raise DataError(
            "the features",
            "have clips of one label alone to learn from",
            "give both, or train without --supervised",
        )
    return Parts(tuple(train), tuple(held))


class _Reader:
    """Files of features, the last ones in memory."""

    def __init__(self) -> None:
        self.arrays = lru_cache(KEPT)(read_features)

    def piece(self, clip: FeatureClip, longest: int, rng: np.random.Generator) -> tuple[str, Arrays]:
        """At most so many frames of a clip, from a place that is drawn."""
        kind, arrays = self.arrays(clip.path, clip.digest)
        length = min(map(len, arrays.values()))
        start = int(rng.integers(max(1, length - longest + 1)))
        return kind, {key: value[start : start + longest] for key, value in arrays.items()}


def _drawn(clips: Sequence[FeatureClip], rng: np.random.Generator) -> list[FeatureClip]:
    return [clips[k] for k in rng.permutation(len(clips))]


def _weights(network: torch.nn.Module) -> str:
    return digest_arrays({name: value.numpy() for name, value in network.state_dict().items()})


def _encoder(
    train: Sequence[FeatureClip], settings: AlignmentSettings, out: Path, reader: _Reader, key: str
) -> tuple[Encoder, list[float]]:
    """A new encoder, learnt from real clips, and its losses."""
    torch.manual_seed(seed_of(settings.seed, "encoder"))
    encoder = Encoder(settings.encoder_width, settings.streams, settings.motion)
    real = [clip for clip in train if clip.label == 0]

    def loss_of(step: int) -> Tensor:
        rng = rng_of(settings.seed, "encoder-batch", step)
        losses = []
        for clip in _drawn(real, rng)[: settings.encoder_clips]:
            _, arrays = reader.piece(clip, settings.longest, rng)
            seen = augmented(*own_tensors(arrays), settings.augment, rng)
            losses.append(contrastive_loss(*encoder(*seen)))
        return torch.stack(losses).mean()

    losses = train_steps(
        encoder,
        loss_of,
        steps=settings.encoder_steps,
        lr=settings.encoder_lr,
        state=out / "encoder.state",
        key=digest_value([key, "encoder"]),
        seed=settings.seed,
        every=settings.save_every,
        what="encoder",
    )
    return encoder, losses


def _alignment(
    train: Sequence[FeatureClip],
    settings: AlignmentSettings,
    out: Path,
    reader: _Reader,
    encoder: Encoder | None,
    key: str,
) -> tuple[Alignment, list[float]]:
    """A new alignment on frozen features."""
    kind, arrays = reader.arrays(train[0].path, train[0].digest)
    picture, sound = unit_features(kind, arrays, encoder)
    torch.manual_seed(seed_of(settings.seed, "alignment"))
    phi = Alignment(picture.shape[1], sound.shape[1], settings.hidden)

    def units(clip: FeatureClip, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        kind, arrays = reader.piece(clip, settings.longest, rng)
        if kind == OWN and encoder is not None and settings.augment:
            with torch.no_grad():
                found = encoder(*augmented(*own_tensors(arrays), settings.augment, rng))
        else:
            found = unit_features(kind, arrays, encoder)
        if (found[0].shape[1], found[1].shape[1]) != (phi.picture_dim, phi.sound_dim):
            raise DataError(
                str(clip.path),
                "has features of another size than the first clip's",
                "extract all of them alike",
            )
        return found

    def loss_of(step: int) -> Tensor:
        rng = rng_of(settings.seed, "alignment-batch", step)
        losses: list[Tensor] = []
        frames = 0
        for clip in _drawn(train, rng):
            one = units(clip, rng)
            frames += len(one[0])
            supervised = settings.kind == "supervised"
            losses.append(
                supervised_loss(phi, *one, clip.label)[None] if supervised else alignment_loss(phi, *one)
            )
            if frames >= settings.batch:
                break
        return torch.cat(losses).mean()

    lr = settings.lr if settings.lr is not None else 1e-3 if kind == OWN else 1e-5
    losses = train_steps(
        phi,
        loss_of,
        steps=settings.steps,
        lr=lr,
        state=out / "alignment.state",
        key=digest_value([key, "alignment", _weights(encoder) if encoder else None]),
        seed=settings.seed,
        every=settings.save_every,
        what="alignment",
    )
    return phi, losses


def _held_out_figures(
    model: AudioVisualModel, clips: Sequence[FeatureClip], reader: _Reader
) -> dict[str, Any]:
    """Thresholds on held-out real clips, and the share of frames whose own sound the encoder finds."""
    scores: dict[str, list[float]] = {}
    found: list[float] = []
    for clip in clips:
        picture, sound = unit_features(*reader.arrays(clip.path, clip.digest), model.encoder)
        for name, value in model.score_units(picture, sound).clip.items():
            scores.setdefault(name, []).append(value)
        if model.encoder is not None:
            found.append(found_share(picture, sound))
    limits = {
        name: float(np.quantile(values, 1 - FALSE_POSITIVES))
        for name, values in scores.items()
        if name in SCORERS and name != "chance"
    }
    return {
        "thresholds": limits,
        "held_out": len(clips),
        "found_share": float(np.mean(found)) if found else None,
    }


def train_alignment(
    clips: Sequence[FeatureClip],
    out: Path,
    settings: AlignmentSettings,
    encoder: Encoder | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Train a model into `out/model.safetensors`; killed and called again it goes on, and ends in the same
    bytes.

    Args:
        clips: with their files of features.
        out: folder.
        settings: how.
        encoder: a frozen one; None: one is trained where the features are our own.

    Returns:
        The model's file, and the facts in its header.

    Raises:
        DataError: see `parts_of`; features that cannot be read or do not fit. UsageError: `out` has the state
            of another training.
    """
    parts, reader = parts_of(clips, settings), _Reader()
    kinds = {reader.arrays(clip.path, clip.digest)[0] for clip in parts.train[:1]}
    if settings.encoder_steps == 0 and encoder is None and kinds == {OWN}:
        raise UsageError(
            "encoder_steps = 0", "leaves our own features without an encoder", "give --encoder, or more steps"
        )
    key = digest_value(
        {
            "format": FORMAT,
            "settings": settings.model_dump(exclude={"threads", "save_every"}),
            "train": [[clip.digest, clip.label] for clip in parts.train],
            "held_out": [clip.digest for clip in parts.held_out],
            "encoder": _weights(encoder) if encoder else None,
        }
    )
    curve: list[float] = []
    with torch_threads(settings.threads):
        if encoder is None and kinds == {OWN}:
            encoder, curve = _encoder(parts.train, settings, out, reader, key)
        if encoder is not None:
            encoder.eval().requires_grad_(False)
        phi, losses = _alignment(parts.train, settings, out, reader, encoder, key)
        model = AudioVisualModel(phi, encoder if kinds == {OWN} else None)
        phi.eval()
        model.facts = {
            "training": settings.model_dump(),
            "train_clips": len(parts.train),
            "key": key,
            "loss": round(float(np.mean(losses[-20:])), 6),
            "encoder_losses": [
                round(float(part.mean()), 4) for part in np.array_split(curve, 10) if len(part)
            ],
            **_held_out_figures(model, parts.held_out, reader),
        }
    save_model(out / FILE, model)
    return out / FILE, model.facts
