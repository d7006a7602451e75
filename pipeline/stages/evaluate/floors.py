"""What stands below a detector in every table, beside the constant predictor: a linear probe, and the
detector before it.

A floor that cannot be had is left out with its reason, never made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from manifests.atomic import digest_bytes, digest_value
from manifests.errors import DataError, MissingError
from manifests.seeding import seed_of
from manifests.store import manifest_file, read_images

if TYPE_CHECKING:
    from detector.inference.prediction import Detector

PROBE, PREVIOUS = "linear-probe", "previous"
TITLES = {PROBE: "linear probe", PREVIOUS: "previous detector"}
MOST = 1000
"""Training images of each class that the probe is fitted to."""
LARGEST_SIDE = 128
"""Pixels of the side that the probe looks at, at most."""
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Floors:
    """Which floors stand below a detector. previous: the detector before it, "" for none. See
    `[evaluate]`.
    """

    floors: Sequence[str] = ()
    previous: str = ""


@dataclass(frozen=True)
class Training:
    """Where a probe is fitted. settings: `detector.training.settings.ONLINE`, how fakes are drawn where the
    split stores none.
    """

    manifest: Path
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Predictor:
    """A detector, or what stands below it. title: as tables call it. digest: of its weights."""

    title: str
    model: Detector
    digest: str


def training_of(manifests: Sequence[Path], settings: Mapping[str, Any]) -> Training | None:
    """The first manifest whose train split has both classes, or real images that the training's own methods
    can forge.

    settings: of the detector's training, as `training.json` has them; none: fakes must be stored.
    """
    for file in map(manifest_file, manifests):
        rows = read_images(file).select(["label", "split"]).to_pylist()
        labels = {row["label"] for row in rows if row["split"] == "train"}
        if labels == {0, 1} or (labels == {0} and settings.get("online")):
            return Training(file, settings)
    return None


def _some(table: pa.Table) -> pa.Table:
    """At most `MOST` training rows of each class, by an order hashed from their names."""
    rows = table.select(["image_id", "label", "split"]).to_pylist()
    kept: set[int] = set()
    for label in (0, 1):
        mine = [k for k, row in enumerate(rows) if row["label"] == label and row["split"] == "train"]
        kept.update(sorted(mine, key=lambda k: seed_of(0, "linear probe", rows[k]["image_id"]))[:MOST])
    return table.take(pa.array(sorted(kept), pa.int64()))


def fit(training: Training, device: str) -> Predictor:
    """The linear probe of a training split.

    Raises:
        MissingError, DataError: no weights, unreadable images, or no fake could be drawn.
    """
    from detector.inference.linear_probe import fit_probe
    from detector.training.data import open_manifest
    from detector.training.online import judged_split
    from pipeline.stages.train.online import forge_of

    table, folder, classes = open_manifest(training.manifest)
    some = _some(table)
    size = min(some["width"][0].as_py() or LARGEST_SIDE, LARGEST_SIDE)
    data, _ = judged_split(
        some, folder, "train", classes, size, forge_of(training.settings), 0, digests="whole"
    )
    model = fit_probe(data, device)
    fake = model.network.get_submodule("fake")
    head = {name: value.detach().cpu().numpy().tobytes() for name, value in fake.named_parameters()}
    return Predictor(TITLES[PROBE], model, digest_value([size, *map(digest_bytes, head.values())]))


def build_floors(
    wanted: Floors,
    training: Training | None,
    device: str,
) -> tuple[list[Predictor], dict[str, str]]:
    """The floors that the configuration asks for, and why others of these are left out, by title.

    Args:
        wanted: which. training: where the probe is fitted; None: nowhere. device: torch device.

    Raises:
        MissingError, DataError: `evaluate.previous` names a detector that is not there, or damaged.
    """
    found: list[Predictor] = []
    left_out: dict[str, str] = {}
    if PROBE in wanted.floors and training is None:
        left_out[TITLES[PROBE]] = "no manifest here has a train split of real and fake images to fit it to"
    elif PROBE in wanted.floors and training is not None:
        try:
            found.append(fit(training, device))
        except (DataError, MissingError) as error:
            left_out[TITLES[PROBE]] = f"{error.what} {error.why}"
    if PREVIOUS in wanted.floors and not wanted.previous:
        left_out[TITLES[PREVIOUS]] = "evaluate.previous names none"
    elif PREVIOUS in wanted.floors:
        from detector import load_detector
        from detector.inference.checkpoints import find_detector

        digest = find_detector(wanted.previous).sha256
        found.append(Predictor(TITLES[PREVIOUS], load_detector(wanted.previous, device=device), digest))
    return found, left_out


def previous_digest(wanted: Floors) -> dict[str, str]:
    """Digest of the file of the previous detector, for keys of stages; nothing where there is none.

    Raises:
        MissingError: it is not there.
    """
    if PREVIOUS not in wanted.floors or not wanted.previous:
        return {}
    from detector.inference.checkpoints import find_detector

    return {PREVIOUS: find_detector(wanted.previous).sha256}


def probe_digest(wanted: Floors) -> dict[str, str]:
    """Digest of the frozen weights of the probe, for keys of stages; nothing where there is none."""
    if PROBE not in wanted.floors:
        return {}
    from nn.packaged import EFFICIENTNET_LITE0

    return {PROBE: EFFICIENTNET_LITE0.sha256}


def policy_threshold(policy: str, validation: Callable[[], Rows]) -> float:
    """The threshold of a policy for one predictor. validation: gives its scored validation rows, where these
    are needed.

    Raises:
        UsageError: see `detector.metrics.thresholds.threshold_of`.
    """
    from detector.metrics.thresholds import needs_validation, threshold_of

    if not needs_validation(policy):
        return threshold_of(policy)
    rows = validation()
    return threshold_of(policy, [row["label"] for row in rows], [row["score"] for row in rows])
