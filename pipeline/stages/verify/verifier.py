"""A verification policy at work: reading its file, judging faces by it, and what is known of its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from manifests.atomic import digest_file
from manifests.errors import DataError, UsageError
from manifests.proportions import corrected_counts
from manifests.taxonomy import Taxonomy, get_taxonomy
from pipeline.engine import models
from pipeline.engine.config_file import read_toml
from pipeline.stages.verify.faces import VerifiedFace

if TYPE_CHECKING:
    from attribute_models.attributes.policy import Policy
    from pipeline.engine.config import Config

Axes = Mapping[str, npt.NDArray[np.float32]]
REMEDY = "make it: fairforge verification-policy --data FACES --out FILE, or leave the key empty"


def read_policy(path: Path, taxonomy: str) -> Policy:
    """A policy file.

    Raises:
        MissingError: no such file. UsageError: not TOML, another taxonomy. DataError: a cell lacks its rule
            or confusion.
    """
    from attribute_models.attributes.policy import CellRule, Policy

    document = read_toml(path)
    if document.get("taxonomy") != taxonomy:
        raise UsageError(
            str(path),
            f"is for taxonomy {document.get('taxonomy')!r}, the dataset has {taxonomy!r}",
            f"fairforge verification-policy --taxonomy {taxonomy}",
        )
    cells, rules = get_taxonomy(taxonomy).cells, {}
    for cell in cells:
        try:
            one = document["cells"][cell]
            rules[cell] = CellRule(
                float(one["threshold"]), float(one["margin"]), bool(one.get("reached", True))
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                str(path), f"cell {cell!r} lacks threshold or margin", "make the policy again"
            ) from error
    counts = _confusion(path, document.get("confusion"), cells)
    return Policy(
        taxonomy,
        rules,
        counts,
        str(document.get("second_model", "")),
        str(document.get("attribute_model", "")),
        document,
    )


def _confusion(path: Path, found: Any, cells: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    try:
        counts = tuple(tuple(int(n) for n in row) for row in found["counts"])
        named = tuple(found["cells"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(str(path), "holds no confusion of cells", "make the policy again") from error
    if (
        named != cells
        or len(counts) != len(cells)
        or any(len(row) != len(cells) or min(row) < 0 for row in counts)
    ):
        raise DataError(str(path), "has the confusion of other cells", "make the policy again")
    return counts


def checked_policy(path: str, config: Config) -> str:
    """The digest of a run's policy, once it is known to fit the run's taxonomy and attribute model.

    Raises:
        MissingError, UsageError, DataError: as `read_policy`; UsageError when it was made for another model.
    """
    policy = read_policy(Path(path), config.dataset.taxonomy)
    weight = models.weight_of(config.verify.attribute_model, "attributes")
    label = f"model:{weight.name}@{weight.digest8}"
    if policy.model != label:
        raise UsageError(
            f"verify.policy {path}",
            f"was made for {policy.model or 'an unknown model'}, verify uses {label}",
            REMEDY,
        )
    return digest_file(Path(path))


def second_model(path: str, taxonomy: str) -> str:
    """The model that a policy wants to agree; empty for none."""
    return read_policy(Path(path), taxonomy).second_model


class Verifier:
    """Judges faces by a policy file, with its second model where it names one."""

    def __init__(self, path: str, taxonomy: Taxonomy, device: str) -> None:
        self.policy, self.taxonomy = read_policy(Path(path), taxonomy.name), taxonomy
        self.second = (
            models.attribute_model(self.policy.second_model, device) if self.policy.second_model else None
        )

    def judge(self, crops: npt.NDArray[np.uint8], axes: Axes) -> list[tuple[str | None, str | None]]:
        """Per face the cell that the policy is sure of, or None and why not.

        Args:
            crops: uint8 [N, H, W, 3], aligned. axes: what the first model says of them, by axis of the
                taxonomy.
        """
        mine = self._cells(axes)
        other = (
            mine
            if self.second is None
            else self._cells(self.second.axes(self.second.predict(crops), self.taxonomy))
        )
        out: list[tuple[str | None, str | None]] = []
        for i, (cell, same) in enumerate(zip(mine, other, strict=True)):
            if not self.policy.accepts(cell, {axis: axes[axis][i] for axis in self.taxonomy.axes}):
                out.append((None, "low_confidence"))
            else:
                out.append((cell, None) if cell == same else (None, "models_disagree"))
        return out

    def _cells(self, axes: Axes) -> list[str]:
        best = [[names[k] for k in axes[axis].argmax(1)] for axis, names in self.taxonomy.axes.items()]
        return ["/".join(parts) for parts in zip(*best, strict=True)]


def verifier_figures(path: Path, taxonomy: Taxonomy, faces: Sequence[VerifiedFace]) -> dict[str, Any]:
    """What the dataset card says of the verifier: its precision and confusion on labelled faces, and
    corrected cell counts.

    faces: of the verify stage. Faces whose cell an annotation
    gives do not count.
    """
    policy = read_policy(path, taxonomy.name)
    document, place = dict(policy.facts), {cell: k for k, cell in enumerate(taxonomy.cells)}
    seen, kept = np.zeros((len(place), len(place)), int), [0] * len(place)
    for face in faces:
        cell, perceived = place.get(face.cell or ""), place.get(face.perceived or "")
        if perceived is not None and cell is not None and face.reason != "blurred":
            seen[cell, perceived] += 1
            kept[cell] += face.accepted
    figures = {
        key: document.get(key)
        for key in ("target", "data", "data_sha256", "held_out", "confusion", "second_model")
    }
    figures |= {"model": policy.model, "policy_sha256": digest_file(path), "seen": seen.tolist()}
    if not sum(kept):
        return figures
    counts = corrected_counts(seen.tolist(), kept, policy.confusion or ())
    return {
        **figures,
        "counts": [
            {"cell": cell, **one} for cell, one in zip(taxonomy.cells, counts, strict=True) if one["n"]
        ],
    }
