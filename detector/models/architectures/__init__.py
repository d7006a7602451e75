"""Networks of detectors by name: a file each, and what a training must know of it."""

from detector.models.architectures.base import ARCHITECTURES, DEFAULT, Architecture, DetectorNetwork

__all__ = ["ARCHITECTURES", "DEFAULT", "Architecture", "DetectorNetwork"]
