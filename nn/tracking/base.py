"""What a tracker is, how one is found by name, and how a training speaks to those that listen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

from manifests.errors import UsageError
from manifests.registry import Params, Registry


class TrackerParams(Params):
    """`folder`: where the tracker writes; made when the first figures come."""

    folder: Path


class Tracker(Protocol):
    """Keeps the figures of one training."""

    def start(self, settings: Mapping[str, str]) -> None:
        """A training begins, or goes on.

        Args:
            settings: what it was asked for, by name.
        """
        ...

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep figures.

        Args:
            step: an epoch, a step, or thousands of images; it only grows.
            figures: by name.
        """
        ...

    def end(self, *, finished: bool) -> None:
        """Nothing more comes.

        Args:
            finished: whether the training ended without an error.
        """
        ...


TRACKERS: Registry[Tracker] = Registry("trackers", "nn.tracking")
"""Trackers by name; each is built from its folder."""

_LISTENING: ContextVar[tuple[Tracker, ...]] = ContextVar("trackers", default=())


def parse_track(text: str) -> tuple[str, Path]:
    """Name and folder of `NAME:FOLDER`.

    Raises:
        UsageError: it has another form, or no tracker has that name.
    """
    name, colon, folder = text.partition(":")
    if not colon or not folder:
        raise UsageError(
            f"--track {text}",
            "is not NAME:FOLDER",
            f"for example --track {TRACKERS.names()[-1]}:runs/figures",
        )
    return TRACKERS.get(name).name, Path(folder)


@contextmanager
def tracked_by(tracks: Sequence[str], settings: Mapping[str, Any]) -> Iterator[None]:
    """Tell trackers of all that is trained inside, in this thread.

    Args:
        tracks: `NAME:FOLDER` each.
        settings: JSON-able values, which trackers get as text.

    Raises:
        UsageError: as `parse_track`. MissingError: the tracker's package is not installed; before anything is
            trained.
    """
    with listening(
        [TRACKERS.create(name, {"folder": folder}) for name, folder in map(parse_track, tracks)], settings
    ):
        yield


@contextmanager
def listening(made: Sequence[Tracker], settings: Mapping[str, Any]) -> Iterator[None]:
    """As `tracked_by`, with trackers that are there already."""
    text = {name: str(value) for name, value in settings.items()}
    with ExitStack() as stack:
        for one in made:
            stack.enter_context(_started(one, text))
        token = _LISTENING.set((*_LISTENING.get(), *made))
        try:
            yield
        finally:
            _LISTENING.reset(token)


@contextmanager
def _started(tracker: Tracker, settings: Mapping[str, str]) -> Iterator[None]:
    tracker.start(settings)
    try:
        yield
    except BaseException:
        tracker.end(finished=False)
        raise
    tracker.end(finished=True)


def log_figures(step: int, figures: Mapping[str, Any]) -> None:
    """Give every number of `figures` to the trackers that listen; other values are left out."""
    numbers = {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    for tracker in _LISTENING.get():
        tracker.log(step, numbers)
