"""`fairforge causal-check`: change one suspect feature of the pictures, and see whether the detector's score
moves.

The audit says which trivial features *could* tell real from fake. Whether a detector uses one is a question
of cause: each intervention changes one of them, in real and fake pictures alike and so little that a face
stays what it is, and the scores before and after are compared. A detector that reads faces hardly moves; one
that learned the feature does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.atomic import write_json
from manifests.containment import inside
from manifests.contents import compared
from manifests.errors import DataError, UsageError, UserError
from manifests.escaping import one_line
from manifests.images import Image, read_image, resize
from manifests.seeding import rng_of
from manifests.store import manifest_file, read_images
from pipeline.commands.evaluate.perturbations import PERTURBATIONS
from pipeline.stages.evaluate.image_scores import Model
from pipeline.stages.evaluate.score_reports import table_text

BATCH = 256
LEVEL = 0.05
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Intervention:
    """`features`: of the audit `shortcut`, those that it changes; `said`: in words; `apply(image, image_id)`
    keeps the shape.
    """

    features: tuple[str, ...]
    said: str
    apply: Callable[[Image, str], Image]


def _bordered(image: Image, image_id: str) -> Image:
    out = image.copy()
    wide = max(1, round(min(image.shape[:2]) / 32))
    out[:wide], out[-wide:], out[:, :wide], out[:, -wide:] = 0, 0, 0, 0
    return out


def _redder(image: Image, image_id: str) -> Image:
    return np.asarray((image.astype(np.int16) + np.array([20, 0, -20])).clip(0, 255).astype(np.uint8))


def _by(name: str, strength: float) -> Callable[[Image, str], Image]:
    apply = PERTURBATIONS[name].apply
    return lambda image, image_id: apply(image, strength, image_id)


INTERVENTIONS: Mapping[str, Intervention] = {
    "codec": Intervention(
        ("bytes", "is_jpeg", "jpeg_luma_table", "jpeg_chroma_table"),
        "saved again as JPEG of quality 70",
        _by("jpeg", 70),
    ),
    "size": Intervention(
        ("width", "height", "bytes", "sharpness"), "three quarters of the side, and back", _by("resize", 0.75)
    ),
    "border": Intervention(("border", "border_gradient"), "a black border of 1/32 of the side", _bordered),
    "noise": Intervention(("noise", "spectrum_slope"), "noise of 4 grey levels", _by("noise", 4)),
    "brightness": Intervention(("brightness", "contrast"), "a fifth brighter", _by("brightness", 1.2)),
    "colour": Intervention(("red", "green", "blue"), "20 grey levels from blue to red", _redder),
    "sharpness": Intervention(("sharpness", "spectrum_slope"), "blurred by 0.7 pixels", _by("blur", 0.7)),
}


def suspects(features: Sequence[str]) -> list[str]:
    """The interventions that change one of these features, all of them where none is named.

    Raises:
        UsageError: no intervention changes one of the features.
    """
    known = {feature for one in INTERVENTIONS.values() for feature in one.features} | set(INTERVENTIONS)
    wrong = [name for name in features if name not in known]
    if wrong:
        raise UsageError(
            ", ".join(wrong),
            "is nothing that can be changed by itself",
            f"choose among {', '.join(sorted(known))}",
        )
    return [
        name
        for name, one in INTERVENTIONS.items()
        if not features or name in features or set(features) & set(one.features)
    ]


def scores_under(
    model: Model,
    manifest: Path,
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> tuple[list[Mapping[str, Any]], dict[str, Floats], list[str]]:
    """Rows that could be read, their scores as they are (`""`) and under each intervention, and what was left
    out.
    """
    kept: list[Mapping[str, Any]] = []
    left: list[str] = []
    scores: dict[str, list[float]] = {name: [] for name in ("", *names)}
    for start in range(0, len(rows), BATCH):
        batch: list[tuple[Mapping[str, Any], Image]] = []
        for row in rows[start : start + BATCH]:
            try:
                batch.append(
                    (
                        row,
                        read_image(inside(manifest.parent, row["path"]), compared(row["sha256"], "sampled")),
                    )
                )
            except UserError as error:
                left.append(f"{row['image_id']}: {error.why}")
        if not batch:
            continue
        kept += [row for row, _ in batch]
        for name, found in scores.items():
            images = [
                resize(
                    INTERVENTIONS[name].apply(image, str(row["image_id"])) if name else image,
                    model.input_size,
                )
                for row, image in batch
            ]
            found += map(float, model.predict(np.stack(images)))
    return kept, {name: np.array(found) for name, found in scores.items()}, left


def _interval(
    move: Floats, group: npt.NDArray[np.int64], replicates: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95 % interval of the mean move, by a bootstrap over pairs."""
    total, count = np.bincount(group, move), np.bincount(group)
    drawn = rng.integers(0, len(count), (replicates, len(count)))
    low, high = np.quantile(total[drawn].sum(1) / count[drawn].sum(1), [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)


def moves(
    label: npt.NDArray[np.int64],
    pairs: Sequence[str],
    scores: Mapping[str, Floats],
    threshold: float,
    limit: float,
    replicates: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """By intervention: how the scores of real and of fake pictures move, and how many decisions change.

    Args:
        label: int64 [N], 1 fake, 0 real.
        pairs: what belongs together, [N].
        scores: float64 [N] by intervention, `""` as they are.
        threshold: called fake from here on.
        limit: a mean move of either label beyond it, its interval too on that side of 0, is a use of the
            feature.
        replicates: of the bootstrap.
        seed: of the bootstrap.
    """
    out = {}
    group = np.unique(np.array(pairs, dtype=str), return_inverse=True)[1].reshape(-1)
    for name, after in scores.items():
        if not name:
            continue
        found: dict[str, Any] = {
            "features": list(INTERVENTIONS[name].features),
            "said": INTERVENTIONS[name].said,
        }
        uses = False
        for word, one in (("real", 0), ("fake", 1)):
            mine = label == one
            if not mine.any():
                found[word] = None
                continue
            move = (after - scores[""])[mine]
            place = np.unique(group[mine], return_inverse=True)[1].reshape(-1)
            low, high = _interval(move, place, replicates, rng_of(seed, "causal", name, word))
            mean = float(move.mean())
            flips = float(((after >= threshold) != (scores[""] >= threshold))[mine].mean())
            found[word] = {
                "n": int(mine.sum()),
                "mean": round(mean, 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "flips": round(flips, 4),
            }
            uses |= abs(mean) > limit and low * high > 0
        out[name] = {**found, "moves": uses}
    return out


def as_text(value: Mapping[str, Any]) -> str:
    """A table, one row per intervention, the one that moves scores most first."""

    def most(item: tuple[str, Any]) -> float:
        return -max(abs(float(item[1][word]["mean"])) for word in ("real", "fake") if item[1][word])

    def cell(one: Mapping[str, Any] | None) -> str:
        return "n/a" if one is None else f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"

    rows = [
        [
            name,
            one["said"],
            cell(one["real"]),
            cell(one["fake"]),
            *(f"{100 * one[word]['flips']:.1f} %" if one[word] else "n/a" for word in ("real", "fake")),
            "yes" if one["moves"] else "no",
        ]
        for name, one in sorted(value["interventions"].items(), key=most)
    ]
    head = [
        "changed",
        "how",
        "score of real",
        "score of fake",
        "real decided anew",
        "fake decided anew",
        "moves",
    ]
    return "\n".join(
        [
            *(f"warning: {one_line(text)}" for text in value["warnings"]),
            table_text(head, rows),
            "",
            (
                "Mean change of the fake probability, with a 95 % interval over pairs; it moves where the"
                f" mean is beyond {value['limit']:g} and the interval on one side of 0."
            ),
        ]
    )


def causal_check(
    checkpoint: Path,
    manifest: Path,
    out: Path | None,
    split: str | None,
    features: Sequence[str],
    threshold: float,
    limit: float,
    replicates: int,
    seed: int,
    device: str,
) -> tuple[dict[str, Any], str]:
    """Which suspect features a checkpoint's scores depend on, as values and text; into `causal.json` where
    there is an `out`.

    Raises:
        UsageError: an unknown feature. MissingError, DataError: no manifest, or no image that can be read in
            the split.
    """
    from detector import load_detector
    from pipeline.engine.executors import one_thread

    names = suspects(features)
    one_thread()
    path = manifest_file(manifest)
    rows = [row for row in read_images(path).to_pylist() if split in (None, row["split"])]
    kept, scores, left = scores_under(load_detector(checkpoint, device=device), path, rows, names)
    if not kept:
        raise DataError(
            str(path), f"has no readable image in split {split}", "choose another --split, or make it again"
        )
    label = np.array([row["label"] for row in kept], np.int64)
    pairs = [str(row["pair_id"] or row["image_id"]) for row in kept]
    value = {
        "limit": limit,
        "threshold": threshold,
        "images": len(kept),
        "warnings": [f"left out {text}" for text in left],
        "interventions": moves(label, pairs, scores, threshold, limit, replicates, seed),
    }
    if out:
        write_json(out / "causal.json", value)
    return value, as_text(value)
