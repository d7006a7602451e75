"""How the encoder and the alignment are trained."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from detector.audio_visual.encoder import WIDTH, Streams


class AlignmentSettings(BaseModel):
    """Settings of a training.

    kind: `alignment` sees real clips alone, `supervised` both classes. encoder_steps, encoder_clips: steps of
    the encoder and clips of each, where there is none yet. encoder_width, streams: its features, and what it
    sees of a mouth: crops, lip points, or both. motion: whether it sees what moves alone. augment: how far
    clips are changed in training (`detector.audio_visual.augmentation`), 0 to 1. steps: of the alignment.
    batch: frames of a step, about; whole clips are taken. lr: of Adam; None: 1e-5 as published for features
    of 1,024 numbers, 1e-3 for our own. longest: frames that a step takes of a clip, from a place that is
    drawn. held_out: share of the people who fix the threshold, where no clip is of split val.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["alignment", "supervised"] = "alignment"
    encoder_steps: int = Field(1500, ge=0)
    encoder_clips: int = Field(8, ge=1)
    encoder_lr: float = Field(1e-3, gt=0)
    encoder_width: int = Field(WIDTH, ge=64, le=1024)
    streams: Streams = "both"
    motion: bool = False
    augment: float = Field(0.0, ge=0, le=1)
    steps: int = Field(600, ge=1)
    batch: int = Field(1024, ge=1)
    lr: float | None = Field(None, gt=0)
    hidden: int = Field(512, ge=4)
    longest: int = Field(150, ge=8)
    held_out: float = Field(0.2, gt=0, lt=1)
    save_every: int = Field(50, ge=1)
    seed: int = Field(2026, ge=0)
    threads: int = Field(2, ge=1)
