"""A trained model of sound and picture: its file, and the scores of a clip."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from detector.audio_visual.alignment import (
    SCORERS,
    Alignment,
    clip_score,
    frame_scores,
    mean_score,
    sync_score,
)
from detector.audio_visual.chance import ALPHA, chance_score
from detector.audio_visual.encoder import Encoder
from detector.audio_visual.feature_files import unit_features
from manifests.atomic import canonical_json, write_bytes
from manifests.errors import DataError
from manifests.weights import catalogue, find_weight
from nn.blueprint import check_blueprint
from nn.safetensors_files import read_header, read_tensors, tensor_bytes

KIND = "audio-visual-alignment"
FILE = "model.safetensors"
TALKING = "talking-faces"
"""Name of the embedded model."""
WEIGHT_KIND = "audio-visual"
"""Of such a model in the catalogue of weights."""


@dataclass(frozen=True)
class ClipScores:
    """Scores of a clip, higher for fakes. clip: by scorer. frames: -Phi of each frame, float32 [T], 25 a
    second.
    """

    clip: Mapping[str, float]
    frames: npt.NDArray[np.float32]


@dataclass
class AudioVisualModel:
    """The alignment, and the encoder that its features come from (None: published ones). facts: the rest of
    the header.
    """

    alignment: Alignment
    encoder: Encoder | None
    facts: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def score(self, kind: str, arrays: Mapping[str, npt.NDArray[Any]], skipped: int = 0) -> ClipScores:
        """Scores of one clip.

        Args:
            kind: as `detector.audio_visual.feature_files.read_features` gives it.
            arrays: as `read_features` gives them.
            skipped: frames that are left out at the start.

        Raises:
            DataError: features of another kind or size than the model's, or none left.
        """
        return self.score_units(*unit_features(kind, dict(arrays), self.encoder, skipped))

    @torch.no_grad()
    def score_units(self, picture: Tensor, sound: Tensor) -> ClipScores:
        """Scores of one clip from unit vectors float [T, D]. Errors as `score`."""
        wanted = (self.alignment.picture_dim, self.alignment.sound_dim)
        if (picture.shape[1], sound.shape[1]) != wanted:
            why = (
                f"have {picture.shape[1]} and {sound.shape[1]} numbers a frame, the model has {wanted[0]} and"
                f" {wanted[1]}"
            )
            raise DataError("features", why, "extract them alike")
        frames = frame_scores(self.alignment, picture, sound)
        scores = {"avh": float(clip_score(frames)), "avh-mean": float(mean_score(frames))}
        if wanted[0] == wanted[1]:
            scores["sync"] = float(sync_score(picture, sound))
            scores["chance"] = chance_score(picture, sound)
        return ClipScores(scores, frames.numpy().astype(np.float32))

    def parts(self) -> list[nn.Module]:
        """The networks that it has."""
        return [self.alignment, *([self.encoder] if self.encoder is not None else [])]

    def thresholds(self) -> dict[str, float]:
        """Score from which on a clip is called fake, by scorer: 5 % of the held-out real clips are above it;
        of `chance`, which needs none of them, always `ALPHA`.
        """
        found = {**self.facts.get("thresholds", {}), "chance": ALPHA}
        return {name: float(found[name]) for name in SCORERS if name in found}


def save_model(path: Path, model: AudioVisualModel, *, half: bool = False) -> None:
    """Write a model atomically as safetensors; the same content gives the same bytes.

    Args:
        path: of the file.
        model: what is written, with its facts.
        half: as float16.
    """
    phi = model.alignment
    header = {
        **model.facts,
        "kind": KIND,
        "encoder": model.encoder.config if model.encoder else None,
        "alignment": {"picture_dim": phi.picture_dim, "sound_dim": phi.sound_dim, "hidden": phi.hidden},
    }
    parts = {"alignment": phi, **({"encoder": model.encoder} if model.encoder else {})}
    tensors = {
        f"{part}.{name}": (value.detach().half() if half else value.detach()).contiguous().clone()
        for part, network in parts.items()
        for name, value in network.state_dict().items()
    }
    write_bytes(path, tensor_bytes(tensors, {"config": canonical_json(header)}, sort=False))


def model_file(place: Path | str) -> Path:
    """The model in a folder of a training, a file as it is, or the file of a catalogued name.

    Raises:
        MissingError: a known name whose file is not there. DataError: it is not the one catalogued.
    """
    path = Path(place)
    if path.is_dir():
        return path / FILE
    if not path.is_file() and str(path) in catalogue(WEIGHT_KIND):
        return find_weight(str(path), WEIGHT_KIND).path
    return path


def _networks(header: Mapping[str, Any]) -> nn.ModuleDict:
    """The networks that a header describes, their weights random."""
    sizes = header["alignment"]
    parts: dict[str, nn.Module] = {
        "alignment": Alignment(int(sizes["picture_dim"]), int(sizes["sound_dim"]), int(sizes["hidden"]))
    }
    if header.get("encoder"):
        built = header["encoder"]
        parts["encoder"] = Encoder(
            int(built["width"]), built.get("streams", "both"), bool(built.get("motion"))
        )
    return nn.ModuleDict(parts)


def load_model(place: Path | str) -> AudioVisualModel:
    """A model from its file, its training's folder, or its name, ready to score.

    Raises:
        MissingError: no such file. DataError: no safetensors, damaged, or another kind of model.
    """
    path = model_file(place)
    again = "train it again, or fetch the file again"
    header = read_header(path, "config", "train one: `fairforge av train`", again)
    state = {name: value.float() for name, value in read_tensors(path, fix=again).items()}
    if header.get("kind") != KIND:
        found = header.get("kind", "something else")
        raise DataError(
            str(path),
            f"holds {found!r}, not a model of sound and picture",
            "give one of `fairforge av train`",
        )
    limits = header.get("thresholds", {})
    if not isinstance(limits, dict) or not all(
        type(one) in (int, float) and math.isfinite(one) for one in limits.values()
    ):
        raise DataError(str(path), "its header has thresholds that are no numbers", again)
    check_blueprint(lambda: _networks(header), state, str(path), again)
    networks = _networks(header)
    networks.load_state_dict(state)
    networks.eval()
    has_encoder = bool(header.get("encoder"))
    facts = {name: value for name, value in header.items() if name not in ("kind", "encoder", "alignment")}
    alignment: Any = networks["alignment"]
    encoder: Any = networks["encoder"] if has_encoder else None
    return AudioVisualModel(alignment, encoder, facts)
