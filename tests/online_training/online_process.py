"""What each of two processes does in `test_online_training.py`: train on fakes drawn anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from detector.training.loop import train
from detector.training.settings import TrainSettings
from pipeline.stages.train.online import forge_of


def main(manifest: str, out: str, values: str) -> None:
    settings = TrainSettings(**json.loads(values))
    train(
        settings,
        Path(manifest),
        Path(out),
        lambda event: None,
        workers=1,
        build_forge=forge_of(settings.model_dump()),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
