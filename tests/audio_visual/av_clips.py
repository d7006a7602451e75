"""Features of made-up people: lips that move as the sound is loud, so that an encoder can learn which belongs
to which.
"""

import numpy as np

from detector.audio_visual.feature_files import write_features
from detector.audio_visual.filterbanks import stacked_filterbanks
from detector.audio_visual.training import FeatureClip
from manifests.atomic import digest_file
from manifests.seeding import rng_of
from pipeline.commands.audio_visual.mouths import Mouths


def speech(key, frames):
    """How open the mouth is, and a sound whose colour follows it."""
    rng = rng_of(11, "speech", key)
    level = np.convolve(rng.uniform(0, 1, frames + 4), np.ones(3) / 3, "same")[:frames].astype(np.float32)
    time = np.arange(frames * 640) / 16_000
    loud = np.repeat(level, 640)
    return level, (
        0.3 * np.sin(2 * np.pi * (300 + 2000 * loud) * time) + 0.01 * rng.standard_normal(len(time))
    ).astype(np.float32)


def picture_arrays(level):
    """Mouth crops and lip points of openings."""
    mouths = np.full((len(level), 32, 32), 90, np.uint8)
    lips = np.zeros((len(level), 40, 2), np.float32)
    for k, one in enumerate(level):
        mouths[k, 16 - round(12 * float(one)) : 16 + round(12 * float(one)), 6:26] = 230
        lips[k, :20, 1], lips[k, 20:, 1] = -one, one
        lips[k, :, 0] = np.linspace(-1, 1, 40)
    return {"mouths": mouths, "lips": lips}


def write_clip(folder, key, label=0, frames=40, split=None, shift=0):
    """A clip's features; a fake has the sound of another, or its own shifted by frames."""
    level, sound = speech(key, frames)
    if label:
        sound = np.roll(sound, 640 * shift) if shift else speech(f"{key} other", frames)[1]
    path = folder / f"{key}-{label}-{shift}.npz"
    write_features(path, {**picture_arrays(level), "banks": stacked_filterbanks(sound)})
    return FeatureClip(path.stem, path, digest_file(path), label, split, f"p{key}")


class BarReader:
    """In place of the face models: the clips of `tests.clips.clip_files` show a bar that is as high as the
    sound is loud.
    """

    def read(self, frames, name="clip"):
        rows = [
            image[:: max(1, image.shape[0] // 32), :: max(1, image.shape[1] // 32), 0][:32, :32]
            for image in frames
        ]
        mouths = np.stack(rows)
        level = (mouths[:, :, 16] > 140).mean(1)
        lips = np.zeros((len(mouths), 40, 2), np.float32)
        lips[:, :, 1] = level[:, None] * np.linspace(-1, 1, 40)
        return Mouths(mouths, lips, 1.0)
