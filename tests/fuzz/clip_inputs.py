"""A small valid input of the readers of clips, of features of clips, and of models of sound and picture."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from manifests.clips.facts import clip_facts, sound_facts
from manifests.clips.reading import clip_sound, frames_at
from tests.clips.clip_files import clip_bytes, sound_bytes
from tests.fuzz.harness import Target


def watched(place: Path) -> Any:
    path = place / "a.mp4"
    return clip_facts(path), [image.mean() for image in frames_at(path)], len(clip_sound(path))


def heard(place: Path) -> Any:
    return sound_facts(place / "a.wav"), len(clip_sound(place / "a.wav", place / "a.wav"))


@lru_cache
def features() -> bytes:
    from detector.audio_visual.feature_files import write_features

    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        write_features(
            path, {name: rng.standard_normal((6, 8)).astype(np.float32) for name in ("visual", "audio")}
        )
        return path.read_bytes()


@lru_cache
def model() -> bytes:
    import torch

    from detector.audio_visual.alignment import Alignment
    from detector.audio_visual.model import AudioVisualModel, save_model

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        save_model(path, AudioVisualModel(Alignment(8, 8, 8), None, {"thresholds": {"avh": 1.0}}))
        return path.read_bytes()


def read_arrays(place: Path) -> Any:
    from detector.audio_visual.feature_files import read_features

    return read_features(place / "a.npz")


def read_model(place: Path) -> Any:
    from detector.audio_visual.model import load_model

    return load_model(place / "m.safetensors").thresholds()


def clip_targets() -> list[Target]:
    return [
        Target(
            "clip",
            lambda: {"a.mp4": clip_bytes(0, 2)},
            watched,
            ("manifests.clips.facts", "manifests.clips.reading"),
            30,
        ),
        Target("sound of a clip", lambda: {"a.wav": sound_bytes()}, heard, ("manifests.clips.reading",), 30),
        Target(
            "features of a clip",
            lambda: {"a.npz": features()},
            read_arrays,
            ("detector.audio_visual.feature_files",),
            60,
        ),
        Target(
            "model of sound and picture",
            lambda: {"m.safetensors": model()},
            read_model,
            ("detector.audio_visual.model",),
            40,
        ),
    ]
